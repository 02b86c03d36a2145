r"""Looking into the Fashion-MNIST network: its filters, its maps, what excites it most, what it guesses.

Four pictures:

- filters: the 32 kernels of 3x3 of the first layer. Many are edges: one side positive, the other negative;
- feature maps: what every layer makes of one image;
- crops: for eight channels of the second convolution, the pieces of test images that make them largest (M. Zeiler,
  R. Fergus, "Visualizing and Understanding Convolutional Networks", arXiv:1311.2901, figure 2; here the pieces
  themselves, without their deconvolution);
- guesses: the five most probable classes of some images (Krizhevsky et al. 2012, figure 4), wrong ones in front.

Pictures cannot fail, so what they rest on is checked: maps are what the filters drawn make by the formula; a crop by
itself, without the rest of its image, excites its channel by as much; the right class is among the five most probable
ones.

The network is the one that `fashion_mnist.py` has saved in the same folder, if it is there. Otherwise, and with --small
on scikit-learn's digits, one of the same build is trained for 3 epochs (6 with --small), with the settings there.

Run it with ``python examples/feature_pictures.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from fashion_mnist import convolutional
from lecture import Lecture, images, train

import fastconv as fc
from fastconv import metrics, plot, reference
from fastconv.datasets import FASHION_MNIST_CLASSES
from fastconv.layers import Conv2D

ZEILER = "Zeiler & Fergus 2014, arXiv:1311.2901, figure 2"
KRIZHEVSKY = "Krizhevsky et al. 2012, figure 4"
# Sums of 288 products in float32, in parts of the largest.
ROUNDING = 1e-5


def network(lecture, train_set):
    """Return the network that fashion_mnist.py has saved, or a new one."""
    path = lecture.output / "fashion_mnist.npz"
    if path.exists() and not lecture.small:
        print(f"  {path}")
        return fc.load_model(path)
    return train(convolutional(), train_set, 6 if lecture.small else 3)


def check_maps(lecture, model, image):
    """Compare the maps of the first layer with the formula."""
    first = model.layers[0]
    found = first(image[np.newaxis])[0]
    kernel = first.params["kernel"].astype(np.float64).transpose(3, 2, 0, 1)
    wanted = reference.conv2d(image.transpose(2, 0, 1), kernel, first.params["bias"], padding=1)
    difference = float(np.abs(found - np.maximum(wanted, 0).transpose(1, 2, 0)).max() / wanted.max())
    lecture.check(
        "maps against the filters by the formula", f"at most {ROUNDING:.0e}", difference, difference <= ROUNDING
    )


def check_crops(lecture, model, name, x):
    """Cut out what the strongest place of each channel sees, and see what it does alone."""
    stop = [layer.name for layer in model.layers].index(name) + 1
    upto = fc.Sequential(model.layers[:stop])
    maps = upto.predict(x, batch_size=256)
    field = model.receptive_field()[name]
    (size, _), (stride, _), (start, _) = field
    found = []
    for channel in range(maps.shape[-1]):
        n, row, column = np.unravel_index(maps[..., channel].argmax(), maps.shape[:3])
        strongest = maps[n, row, column, channel]
        top, left = start + stride * row, start + stride * column
        if strongest == 0 or min(top, left) < 0 or max(top, left) + size > x.shape[1]:
            continue
        alone = np.zeros_like(x[n])
        alone[top : top + size, left : left + size] = x[n, top : top + size, left : left + size]
        found.append(abs(upto(alone[np.newaxis])[0, row, column, channel] / strongest - 1))
    worst = float(max(found))
    label = f"crops of {size}x{size} alone, {len(found)} channels whose strongest place is inside the image"
    lecture.check(label, f"at most {ROUNDING:.0e}", worst, worst <= ROUNDING, ZEILER)


def check_guesses(lecture, labels, probabilities):
    """Count the images whose class is among the five most probable."""
    accuracy, best = metrics.accuracy(labels, probabilities), metrics.top_k(labels, probabilities, 5)
    lecture.check("right class among the best five", "at least 0.99", best, best >= 0.99, KRIZHEVSKY)
    lecture.check("right class is the best", "no more often", accuracy, 0.85 <= accuracy <= best)


def main() -> int:
    """Draw the four pictures and check what they rest on."""
    lecture = Lecture("Filters, feature maps, strongest crops and guesses of the Fashion-MNIST network")
    train_set, (x, labels) = images(fc.datasets.load_fashion_mnist, lecture.small)
    classes = None if lecture.small else FASHION_MNIST_CLASSES
    model = network(lecture, train_set)
    probabilities = model.predict(x, batch_size=256)
    second = [layer.name for layer in model.layers if isinstance(layer, Conv2D)][1]

    check_maps(lecture, model, x[0])
    check_crops(lecture, model, second, x[:1000])
    check_guesses(lecture, labels, probabilities)

    wrong, right = (np.flatnonzero((probabilities.argmax(1) == labels) == value)[:6] for value in (False, True))
    shown = np.concatenate([wrong, right])
    lecture.picture(plot.filters(model), "filters")
    lecture.picture(plot.feature_maps(model, x[0], classes), "maps")
    lecture.picture(plot.activating_crops(model, x[:1000], second), "crops")
    lecture.picture(plot.guesses(model, x[shown], labels[shown], classes), "guesses")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
