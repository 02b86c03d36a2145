r"""Four ways to halve the maps of a network, compared on Fashion-MNIST.

    max          the largest of each 2x2 window
    average      the mean of each 2x2 window
    overlapping  the largest of each 3x3 window, every 2 pixels: neighbours share a row or column of the map
                 (D. Scherer, A. Mueller, S. Behnke, "Evaluation of Pooling Operations in Convolutional Architectures
                 for Object Recognition", ICANN 2010)
    stride 2     a convolution of 3x3 that moves by 2 pixels, learnt like all others: the all-convolutional net
                 (J. T. Springenberg et al., "Striving for Simplicity: The All Convolutional Net", arXiv:1412.6806)

All else is the same: a 3x3 convolution with ReLU and a halving, twice, then a softmax of ten 7x7 convolutions, each of
which sees the whole of the 7x7 maps (as a dense layer does, but with stride 2 the network is convolutions throughout).
The convolutions of stride 2 have weights, which the other halvings lack; the count is printed.

What max and average pooling have in common, and what sets them apart, is checked on one window: they are the limits of
the p-norm mean (sum x^p / n)^(1/p) at p = 1 and at p -> infinity for x >= 0, which is what follows a ReLU.

Settings, fixed beforehand: 5 epochs of Adam, batches of 64, a learning rate that falls from 0.003 to 0 as half a
cosine wave, seed 0, the last epoch counts. With --small: the same on scikit-learn's digits.

Run it with ``python examples/pooling_kinds.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture, images, scores, train
from matplotlib.figure import Figure

import fastconv as fc
import fastconv.functional as F
from fastconv.layers import AveragePooling2D, Conv2D, Flatten, MaxPooling2D, Softmax

SPRINGENBERG = "Springenberg et al. 2015, arXiv:1412.6806"
EPOCHS, LEARNING_RATE = 5, 0.003


def conv3x3(filters, strides=1, **options):
    """Return a convolution with ReLU that keeps the size, or with a stride of 2 halves it."""
    return Conv2D(filters, 3, strides, padding="same", activation="relu", kernel_initializer="he_uniform", **options)


HALVINGS = {
    "max": lambda filters: MaxPooling2D(2),
    "average": lambda filters: AveragePooling2D(2),
    "overlapping max": lambda filters: MaxPooling2D(3, strides=2, padding="same"),
    "stride 2": lambda filters: conv3x3(filters, strides=2),
}


def network(halving):
    """Return the layers, with `halving` twice."""
    return [
        conv3x3(16, input_shape=(28, 28, 1)),
        halving(16),
        conv3x3(32),
        halving(32),
        Conv2D(10, 7),
        Flatten(),
        Softmax(),
    ]


def check_window(lecture):
    """Compare the means of the p-th powers of a window with its average and its maximum."""
    rng = np.random.default_rng(0)
    x = rng.random((1, 1, 6, 6))
    one, many = (F.avg_pool2d(x**p, 2) ** (1 / p) for p in (1, 400))
    difference = float(np.abs(one - F.avg_pool2d(x, 2)).max())
    lecture.check("mean of p-th powers at p = 1 is the average", "difference 0", difference, difference == 0)
    # n^(-1/p) <= mean / maximum <= 1, here n = 4.
    ratio = float((many / F.max_pool2d(x, 2)).min())
    lecture.check("at p = 400 in parts of the maximum", "0.9965 to 1", ratio, 4 ** (-1 / 400) <= ratio <= 1)


def draw(model, image):
    """Draw what each kind of halving without weights makes of a map of the first layer."""
    maps = fc.Sequential(model.layers[:1]).predict(image[np.newaxis])
    shown = int(maps.sum((0, 1, 2)).argmax())
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    pictures = {"image": image, "a map": maps[0, :, :, shown]}
    pictures |= {name: make(1)(maps)[0, :, :, shown] for name, make in HALVINGS.items() if name != "stride 2"}
    for axes, (name, picture) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        axes.imshow(picture, cmap="gray_r")
        axes.set(title=name, xticks=[], yticks=[])
    return figure


def main() -> int:
    """Train a network with each kind, compare accuracies, and draw."""
    lecture = Lecture("Max, average and overlapping pooling against convolutions of stride 2")
    check_window(lecture)
    train_set, test_set = images(fc.datasets.load_fashion_mnist, lecture.small)
    least = 0.9 if lecture.small else 0.88
    accuracies = {}
    for name, halving in HALVINGS.items():
        model = train(network(halving), train_set, EPOCHS, learning_rate=LEARNING_RATE)
        _, accuracies[name] = scores(model, test_set)
        label = f"accuracy, {name}, {model.count_params():,} weights"
        lecture.check(label, f"at least {least}", accuracies[name], accuracies[name] >= least)
        if name == "max":
            lecture.picture(draw(model, test_set[0][0]), "maps")
    behind = 100 * (accuracies["max"] - accuracies["stride 2"])
    most = 3.0 if lecture.small else 0.5
    lecture.check("points of stride 2 behind max pooling", f"at most {most}", behind, behind <= most, SPRINGENBERG)
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
