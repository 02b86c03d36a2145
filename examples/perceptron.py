r"""The perceptron: AND, OR and NOT, but not XOR, for which it takes two layers.

A perceptron fires if its weighted inputs reach a threshold (F. Rosenblatt, "The Perceptron", Psychological Review 65,
1958):

    y = 1 if w . x + b > 0, else 0

It learns from mistakes: w += (t - y) x and b += (t - y) for each sample, and after finitely many mistakes makes none
any more, if any weights do it (A. Novikoff, 1962).

**XOR is impossible** for one. It would take b <= 0, w_1 + b > 0, w_2 + b > 0 and w_1 + w_2 + b <= 0. The two in the
middle add up to w_1 + w_2 + 2b > 0, the others to w_1 + w_2 + 2b <= 0 (M. Minsky, S. Papert, Perceptrons, 1969). Here
it is shown over a grid of weights and thresholds, too, with what else a perceptron can do: of the 16 functions of two
bits, all but XOR and its negation.

**Two layers** do it: XOR(x) = AND(OR(x), NOT AND(x)), each of them a perceptron. To learn it, the steps must get a
slope: layers of tanh and sigmoid, and gradient descent (D. Rumelhart, G. Hinton, R. Williams, Nature 323, 1986).

Settings, fixed beforehand: 4 hidden units, Adam with learning rate 0.05, 500 epochs of all 4 samples, seeds 0 to 4; the
last epoch counts.

Run it with ``python examples/perceptron.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture
from matplotlib.figure import Figure

import fastconv as fc
import fastconv.functional as F
from fastconv.layers import Dense

ROSENBLATT, NOVIKOFF, MINSKY = "Rosenblatt 1958", "Novikoff 1962", "Minsky, Papert 1969"
BITS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
AND, OR, NAND, XOR = (np.array(values, float) for values in ([0, 0, 0, 1], [0, 1, 1, 1], [1, 1, 1, 0], [0, 1, 1, 0]))
TASKS = {
    "AND": (BITS, AND),
    "OR": (BITS, OR),
    "NOT": (np.array([[0.0], [1.0]]), np.array([1.0, 0.0])),
    "XOR": (BITS, XOR),
}


def fires(x, w, b):
    """Return 1 where a perceptron fires, else 0."""
    return (F.linear(x, w[None], np.array([b]))[:, 0] > 0).astype(float)


def learn(x, targets, most_epochs):
    """Return weights, threshold and in which epoch there was no mistake; None for never."""
    w, b = np.zeros(x.shape[1]), 0.0
    for epoch in range(1, most_epochs + 1):
        mistakes = 0
        for sample, target in zip(x, targets, strict=True):
            error = target - fires(sample[None], w, b)[0]
            w, b = w + error * sample, b + error
            mistakes += error != 0
        if not mistakes:
            return w, b, epoch
    return w, b, None


def check_learning(lecture):
    """Let a perceptron learn each function; return the weights."""
    found = {}
    for name, (x, targets) in TASKS.items():
        w, b, epoch = learn(x, targets, 1000)
        found[name] = (w, b)
        right = int((fires(x, w, b) == targets).sum())
        if name == "XOR":
            holds = epoch is None and right < 4
            lecture.check(f"{name} by one perceptron", "never in 1000 epochs", f"{right} of 4 right", holds, NOVIKOFF)
        else:
            text = f"{right} of {len(x)} right, w = {w.astype(int).tolist()}, b = {b:.0f}, epoch {epoch}"
            holds = epoch is not None and right == len(x)
            lecture.check(f"{name} by one perceptron", "learnt", text, holds, ROSENBLATT)
    return found


def check_grid(lecture):
    """Count the weights of a grid that compute each of the 16 functions of two bits."""
    axis = np.arange(-40, 41) / 16  # sums of sixteenths are not rounded
    w1, w2, b = (grid.ravel() for grid in np.meshgrid(axis, axis, axis, indexing="ij"))
    outputs = F.linear(BITS, np.stack([w1, w2], axis=1), b) > 0
    numbers, counts = np.unique(outputs.T @ [8, 4, 2, 1], return_counts=True)
    counts = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    for name, values in (("AND", AND), ("OR", OR), ("XOR", XOR)):
        count = counts.get(int(values @ [8, 4, 2, 1]), 0)
        wanted = "0" if name == "XOR" else "more than 0"
        holds = (count == 0) == (name == "XOR")
        lecture.check(f"{name}: of {len(b):,} perceptrons of a grid", wanted, f"{count:,}", holds, MINSKY)
    missing = sorted(set(range(16)) - set(counts))
    text = ", ".join(f"{number:04b}" for number in missing)
    wanted = "0110 and 1001, XOR and its negation"
    lecture.check("functions of two bits that none computes", wanted, text, missing == [0b0110, 0b1001], MINSKY)


def check_two_layers(lecture):
    """Build XOR from perceptrons, and learn it; return the last network."""
    hidden = np.stack([fires(BITS, np.array([1.0, 1.0]), -0.5), fires(BITS, np.array([-1.0, -1.0]), 1.5)], axis=1)
    right = int((fires(hidden, np.array([1.0, 1.0]), -1.5) == XOR).sum())
    text = f"{right} of 4 right"
    lecture.check("XOR = AND(OR, NAND), three perceptrons by hand", "4 of 4 right", text, right == 4, MINSKY)
    learnt = []
    for seed in range(5):
        fc.utils.set_random_seed(seed)
        model = fc.Sequential([Dense(4, activation="tanh", input_shape=(2,)), Dense(1, activation="sigmoid")])
        model.compile(fc.optimizers.Adam(0.05), "binary_crossentropy")
        model.fit(BITS, XOR[:, None], batch_size=4, epochs=500, verbose=0, seed=seed)
        learnt.append(int(((model.predict(BITS)[:, 0] > 0.5) == XOR).sum()))
    text = f"{learnt} of 4 right"
    lecture.check(
        "XOR learnt by two layers, five seeds",
        "4 of 4 right each time",
        text,
        min(learnt) == 4,
        "Rumelhart et al. 1986",
    )
    return model


def draw(found, model):
    """Draw where each network fires."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    axis = np.linspace(-0.5, 1.5, 201)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    areas = {name: fires(points, *found[name]) for name in ("AND", "OR", "XOR")}
    areas["XOR, two layers"] = model.predict(points)[:, 0]
    for axes, (name, area) in zip(figure.subplots(1, 4), areas.items(), strict=True):
        shades = area.reshape(201, 201)
        axes.imshow(shades, extent=(-0.5, 1.5, -0.5, 1.5), origin="lower", cmap="Blues", vmin=0, vmax=1.5)
        _, targets = TASKS[name.partition(",")[0]]
        axes.scatter(*BITS.T, c=targets, cmap="gray_r", edgecolors="k", s=60)
        axes.set(title=name, xlabel="$x_1$", ylabel="$x_2$", xticks=[0, 1], yticks=[0, 1])
    return figure


def main() -> int:
    """Check the figures and draw them."""
    lecture = Lecture("The perceptron: AND, OR, NOT, and XOR by two layers")
    found = check_learning(lecture)
    check_grid(lecture)
    lecture.picture(draw(found, check_two_layers(lecture)), "regions")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
