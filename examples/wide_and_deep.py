r"""Wide against deep at equal numbers of weights: what depth buys, and that width alone can learn anything by heart.

**Pieces of a line.** A function of one number that a network with ReLU computes is made of straight pieces. With one
layer of D units there are at most D + 1 of them: each unit adds one bend. A second layer can fold: what the tent map

    t(x) = 2 relu(x) - 4 relu(x - 1/2)      0 at 0, 1 at 1/2, 0 at 1

sends to the same height, all that follows treats alike, so each layer doubles the pieces. t applied K times has 2^K of
them (M. Telgarsky, "Benefits of depth in neural networks", arXiv:1602.04485; S. Prince, Understanding Deep Learning,
2023, sections 3.2 and 4.5). As K layers of 2 units it has 4 + 6 (K - 1) + 3 weights, 31 for K = 5. One layer of 10
units has as many and makes 11 pieces at most. Both are built, and the pieces of what they compute are counted.

**Learning by heart.** C. Zhang et al., "Understanding deep learning requires rethinking generalization",
arXiv:1611.03530: a network with more weights than images fits any labels, drawn at random as well. What it has learnt
from such labels is worth nothing for other images, so that the number of weights alone cannot say how well a network
generalizes. Here a wide network of 784-255-10 units and a deep one of 784-159-159-159-159-10, both with 202,735
weights, learn 1,000 images of Fashion-MNIST, first with labels at random, then with their own.

Settings, fixed beforehand: batches of 50, Adam with a learning rate that falls from 0.001 to 0 as half a cosine wave,
seed 0, the last epoch counts; 250 epochs. With --small: 100 of scikit-learn's digits.

Run it with ``python examples/wide_and_deep.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture, images, scores, train
from matplotlib.figure import Figure

import fastconv as fc
from fastconv.layers import Dense, Flatten

TELGARSKY = "Telgarsky 2016, arXiv:1602.04485"
ZHANG = "Zhang et al. 2017, arXiv:1611.03530"
DEPTH, UNITS = 5, 10
EPOCHS, BATCH_SIZE = 250, 50

# 0 to 1 in steps that no bend of the sawtooth falls between; numbers of so few bits make all of it exact.
GRID = np.linspace(0, 1, 2**12 + 1)[:, np.newaxis]


def tents(depth):
    """Return a network of `depth` layers of 2 units that computes the tent map `depth` times."""
    model = fc.Sequential([Dense(2, activation="relu", dtype="float64") for _ in range(depth)])
    model.add(Dense(1, dtype="float64"))
    model.build((None, 1))
    for layer in model.layers:
        first, last = layer is model.layers[0], layer is model.layers[-1]
        # Each layer takes relu(x) and relu(x - 1/2) of the one before to t(x), and hands t(x) to its two units.
        column = np.array([[1.0]] if first else [[2.0], [-4.0]])
        layer.params["kernel"] = column if last else np.hstack([column, column])
        layer.params["bias"] = np.zeros(1) if last else np.array([0.0, -0.5])
    return model


def pieces(y, rounding=1e-9):
    """Return of how many straight pieces a function on `GRID` is made."""
    bends = np.flatnonzero(np.abs(np.diff(y.ravel(), 2)) > rounding)
    # A bend between two points shows at both.
    return 1 + len(bends) - np.count_nonzero(np.diff(bends) == 1)


def check_pieces(lecture):
    """Count the pieces of the deep network and of many wide ones; return what the deep one computes."""
    deep = tents(DEPTH)
    y = deep.predict(GRID)
    teeth = 2**DEPTH
    error = float(np.abs(y[:, 0] - (1 - np.abs(teeth * GRID[:, 0] % 2 - 1))).max())
    lecture.check(f"{DEPTH} layers of tents against the sawtooth", "difference 0", error, error == 0, TELGARSKY)
    found = pieces(y)
    name = f"pieces, deep, {deep.count_params()} weights"
    lecture.check(name, f"2^{DEPTH} = {teeth}", found, found == teeth, TELGARSKY)

    most = 0
    for seed in range(100):
        fc.utils.set_random_seed(seed)
        # Bends anywhere in the picture: x - bias, with biases from -1 to 0.
        start = fc.initializers.RandomUniform(-1.0, 0.0)
        hidden = Dense(UNITS, activation="relu", kernel_initializer="ones", bias_initializer=start, dtype="float64")
        wide = fc.Sequential([hidden, Dense(1, dtype="float64")])
        most = max(most, pieces(wide.predict(GRID)))
    name = f"most pieces of 100 wide ones, {wide.count_params()} weights"
    lecture.check(name, f"at most {UNITS} + 1 = {UNITS + 1}", most, most <= UNITS + 1, "Prince 2023, section 3.2")
    equal = deep.count_params() == wide.count_params()
    lecture.check("weights, deep and wide", "equal", f"{deep.count_params()}, {wide.count_params()}", equal)
    return y


def network(*units):
    """Return a dense network with hidden layers of so many units."""
    hidden = [Dense(count, activation="relu", kernel_initializer="he_uniform") for count in units]
    return [Flatten(input_shape=(28, 28, 1)), *hidden, Dense(10, activation="softmax")]


def check_memory(lecture):
    """Train both on labels at random and on right ones; return accuracies."""
    (x, y), test_set = images(fc.datasets.load_fashion_mnist, lecture.small)
    count = 100 if lecture.small else 1000
    x, y = x[:count], y[:count]
    labels = {"at random": np.random.default_rng(0).integers(10, size=count), "their own": y}
    found, weights = {}, []
    for name, units in {"wide": (255,), "deep": (159,) * 4}.items():
        for kind, targets in labels.items():
            model = train(network(*units), (x, targets), EPOCHS, BATCH_SIZE)
            found[name, kind] = scores(model, (x, targets))[1], scores(model, test_set)[1]
        weights.append(model.count_params())
    equal = weights == [202_735, 202_735]
    lecture.check("weights, wide and deep", "202,735 each", ", ".join(f"{n:,}" for n in weights), equal)
    for (name, kind), (learnt, others) in found.items():
        lecture.check(f"{name}, labels {kind}: accuracy on the {count} images", "1", learnt, learnt == 1, ZHANG)
        # Five standard errors of a guess among ten classes.
        wanted, holds = ("at least 0.7", others >= 0.7)
        if kind == "at random":
            error = 5 * np.sqrt(0.09 / len(test_set[1]) + 0.09 / count)
            wanted, holds = f"0.1 +- {error:.3f}", abs(others - 0.1) <= error
        lecture.check(f"{name}, labels {kind}: accuracy on others", wanted, others, holds, ZHANG)
    return found


def draw(y):
    """Draw the sawtooth of the deep network, and the best that straight pieces between 11 equal steps make of it."""
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(GRID, y, label=f"{DEPTH} layers of 2 units: {pieces(y)} pieces")
    hats = np.maximum(1 - np.abs((UNITS + 1) * GRID - np.arange(UNITS + 2)), 0)
    axes.plot(GRID, hats @ np.linalg.lstsq(hats, y)[0], label=f"1 layer of {UNITS} units: {UNITS + 1} pieces")
    axes.set(xlabel="input", ylabel="output", ylim=(-0.05, 1.4))
    axes.legend(frameon=False, loc="upper center", ncols=2)
    return figure


def main() -> int:
    """Count pieces, learn labels by heart, draw."""
    lecture = Lecture("Wide against deep at equal numbers of weights")
    lecture.picture(draw(check_pieces(lecture)), "pieces")
    check_memory(lecture)
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
