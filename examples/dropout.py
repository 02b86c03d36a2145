r"""Dropout against none, where there are few images to learn from.

In training, each output of a layer is set to 0 with probability p, and the others are divided by 1 - p; otherwise
nothing happens:

    y = m x / (1 - p),   m = 0 with probability p, else 1
    E[y] = x,   Var[y] = x^2 p / (1 - p)

A unit that cannot count on the others has to be of use by itself, and the network that is left in the end stands for
the mean of very many thinned ones (N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
Overfitting", Journal of Machine Learning Research 15, 2014; here as in its section 10, scaled in training).

Checked first: mean and variance of y for many masks, and that the gradient passes where the input did. Then one dense
network of 784-512-512-10 units learns 1,000 images of MNIST, with p = 0.2 for the image and 0.5 for the hidden layers
as in the paper, and without. Both know their images by heart in the end; the one with dropout is better at others.

Settings, fixed beforehand: 60 epochs of Adam, batches of 50, a learning rate that falls from 0.001 to 0 as half a
cosine wave, seeds 0 to 2 (and the images with them), the last epoch counts. With --small: 200 of scikit-learn's digits,
seed 0.

Run it with ``python examples/dropout.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture, images, scores, train
from matplotlib.figure import Figure

import fastconv as fc
from fastconv.layers import Dense, Dropout, Flatten

SOURCE = "Srivastava et al. 2014"
EPOCHS, BATCH_SIZE = 60, 50


def check_masks(lecture):
    """Compare mean and variance of many masked numbers with the formulas, and the gradient with the mask."""
    p, x = 0.3, np.full((1, 200_000), 2.0)
    layer = Dropout(p, seed=0, dtype="float64")
    y = layer.forward(x, training=True)
    # Five standard errors: those of the mean, and of the variance of a variable with two values.
    variance = 4 * p / (1 - p)
    errors = 5 * np.sqrt(variance / x.size), 5 * abs(1 - 2 * p) / (1 - p) ** 2 * 4 * np.sqrt(p * (1 - p) / x.size)
    for name, wanted, got, most in zip(("mean", "variance"), (2.0, variance), (y.mean(), y.var()), errors, strict=True):
        holds = abs(got - wanted) <= most
        lecture.check(f"{name} of x = 2 after dropout with p = {p}", f"{wanted:.4f} +- {most:.4f}", got, holds, SOURCE)
    share = float(np.mean((layer.backward(np.ones_like(x)) == 1 / (1 - p)) == (y != 0)))
    lecture.check("share of places where the gradient passes as x did", "1", share, share == 1)
    same = float(np.abs(layer(x) - x).max())
    lecture.check("without training y - x", "0", same, same == 0)


def network(dropout):
    """Return the dense network, with dropout or without."""
    layers = [
        Flatten(input_shape=(28, 28, 1)),
        Dropout(0.2),
        Dense(512, activation="relu"),
        Dropout(0.5),
        Dense(512, activation="relu"),
        Dropout(0.5),
        Dense(10, activation="softmax"),
    ]
    return [layer for layer in layers if dropout or not isinstance(layer, Dropout)]


def learn(train_set, test_set, count, seeds):
    """Return accuracies on the images learnt and accuracies on others, each a row a seed: without, with dropout."""
    learnt, others = [], []
    for seed in seeds:
        chosen = np.random.default_rng(seed).permutation(len(train_set[0]))[:count]
        part = tuple(array[chosen] for array in train_set)
        models = [train(network(dropout), part, EPOCHS, BATCH_SIZE, seed=seed) for dropout in (False, True)]
        learnt.append([scores(model, part)[1] for model in models])
        others.append([scores(model, test_set)[1] for model in models])
    return np.array(learnt), np.array(others)


def check_networks(lecture):
    """Compare the networks; return their accuracies on the test images."""
    train_set, test_set = images(fc.datasets.load_mnist, lecture.small)
    count, seeds = (200, range(1)) if lecture.small else (1000, range(3))
    learnt, others = learn(train_set, test_set, count, seeds)
    for name, column in (("without", 0), ("with", 1)):
        least = learnt[:, column].min()
        lecture.check(f"accuracy on the {count} images learnt, {name} dropout", "at least 0.99", least, least >= 0.99)
    gains = 100 * (others[:, 1] - others[:, 0])
    means = others.mean(0)
    text = f"{means[1]:.4f} against {means[0]:.4f}"
    if lecture.small:
        lecture.check("accuracy on others, with against without", "at least 0.85", text, means.min() >= 0.85)
    else:
        lecture.check("accuracy on others, with against without", "more with", text, means[1] > means[0], SOURCE)
        lecture.check("points gained, by seed", "more than 0", ", ".join(f"{g:.2f}" for g in gains), (gains > 0).all())
    return others


def draw(others):
    """Draw the test error of each seed."""
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    for row in others:
        axes.plot(["without dropout", "with dropout"], 100 * (1 - row), "o-", color="tab:blue")
    axes.set(ylabel="wrong test images in percent", xlim=(-0.4, 1.4), ylim=(0, None))
    return figure


def main() -> int:
    """Check the masks and the networks, draw the errors."""
    lecture = Lecture("Dropout against none on few images")
    check_masks(lecture)
    lecture.picture(draw(check_networks(lecture)), "errors")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
