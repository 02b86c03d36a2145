r"""AlexNet as published, in two groups: its weights and units, one step of training, and what its depth is worth.

A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NeurIPS 2012.
The network was split over two GPUs, so that layers 2, 4 and 5 see half of the channels: two groups. The weights of a
convolution of g groups are K x K x C_i / g x C_o + C_o. Images are 227x227x3 (the paper says 224, which does not fit):

    layer                                       output         units       weights
    1  96 of 11x11, stride 4                    55x55x96     290,400        34,944
       normalization, max pooling 3x3, stride 2 27x27x96
    2  256 of 5x5, 2 groups                     27x27x256    186,624       307,456
       normalization, max pooling               13x13x256
    3  384 of 3x3                               13x13x384     64,896       885,120
    4  384 of 3x3, 2 groups                     13x13x384     64,896       663,936
    5  256 of 3x3, 2 groups                     13x13x256     43,264       442,624
       max pooling                              6x6x256
    6  dense, dropout                           4,096          4,096    37,752,832
    7  dense, dropout                           4,096          4,096    16,781,312
    8  softmax                                  1,000          1,000     4,097,000
                                                             659,272    60,965,224

**What a layer is worth.** M. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks",
arXiv:1311.2901, table 3, took layers out and trained what was left. Without 7 there are 16,781,312 weights less;
without 6 and 7, where layer 8 sees 9,216 numbers, 49,414,144; without 3 and 4, where layer 5 sees 128 channels in place
of 192, 1,696,512 less, and still it is about as bad: it is the depth that counts. Without all four, accuracy falls
apart.

This is repeated here on a small scale: a network of the same build with 16 to 48 filters on Fashion-MNIST. The dense
layers 6 and 7 count for little there, the convolutions 3 and 4 for more, though they have fewer weights.

Normalization (section 3.3 of the paper) is written here as a layer of its own, on two functions of the library: that
is all it takes to add one.

Settings, fixed beforehand. The step: weights from N(0, 0.01^2), biases 1 in layers 2, 4, 5, 6 and 7, momentum 0.9,
learning rate 0.01, weight decay 0.0005 (section 5), 8 images of noise. The ablation: 4 epochs of Adam, batches of 64, a
learning rate that falls from 0.002 to 0 as half a cosine wave, seed 0, the last epoch counts. On a tenth of the
training set, held out, all eight layers got 0.8923, and without 3, 4, 6 and 7 0.8790. With --small: a step on 1 image,
and 5 epochs of two of the five networks on scikit-learn's digits.

Run it with ``python examples/alexnet.py``. It exits with 1 if a figure does not hold.
"""

import math
import sys
import time

import numpy as np
from lecture import Lecture, images, scores, train
from matplotlib.figure import Figure

import fastconv as fc
import fastconv.functional as F
from fastconv.initializers import Constant, RandomNormal
from fastconv.layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D

KRIZHEVSKY = "Krizhevsky et al. 2012"
ZEILER = "Zeiler & Fergus 2014, arXiv:1311.2901, table 3"
IMAGE, CLASSES = (227, 227, 3), 1000

UNITS = {1: 290_400, 2: 186_624, 3: 64_896, 4: 64_896, 5: 43_264, 6: 4_096, 7: 4_096, 8: 1_000}
WEIGHTS = {
    1: 34_944,
    2: 307_456,
    3: 885_120,
    4: 663_936,
    5: 442_624,
    6: 37_752_832,
    7: 16_781_312,
    8: 4_097_000,
}
# Layers that are taken out, and how many weights go with them.
ABLATIONS = {(7,): 16_781_312, (6, 7): 49_414_144, (3, 4): 1_696_512}
SMALL_ABLATIONS = ((), *ABLATIONS, (3, 4, 6, 7))

# The function divides alpha by the number of channels in the sum.
NORMALIZATION = {"size": 5, "alpha": 5e-4, "beta": 0.75, "k": 2.0, "data_format": "channels_last"}

EPOCHS, LEARNING_RATE = 4, 0.002


class LocalResponseNormalization(Layer):
    """The paper's normalization by five neighbouring channels: x / (2 + 0.0001 * the sum of their squares)^0.75."""

    def _forward(self, x, training):
        return F.local_response_norm(x, **NORMALIZATION), x

    def _backward(self, saved, grad_y, needs_input):
        return F.local_response_norm_backward(grad_y, saved, **NORMALIZATION) if needs_input else None


def alexnet():
    """Return the layers as published, in a list for each number."""
    start = {"kernel_initializer": RandomNormal(stddev=0.01)}
    one = {**start, "bias_initializer": Constant(1.0)}
    relu = {"activation": "relu"}
    return {
        1: [Conv2D(96, 11, 4, **relu, **start), LocalResponseNormalization(), MaxPooling2D(3, 2)],
        2: [
            Conv2D(256, 5, padding="same", groups=2, **relu, **one),
            LocalResponseNormalization(),
            MaxPooling2D(3, 2),
        ],
        3: [Conv2D(384, 3, padding="same", **relu, **start)],
        4: [Conv2D(384, 3, padding="same", groups=2, **relu, **one)],
        5: [Conv2D(256, 3, padding="same", groups=2, **relu, **one), MaxPooling2D(3, 2), Flatten()],
        6: [Dense(4096, **relu, **one), Dropout(0.5)],
        7: [Dense(4096, **relu, **one), Dropout(0.5)],
        8: [Dense(CLASSES, activation="softmax", **start)],
    }


def small_alexnet():
    """Return layers of the same build for 28x28 images of ten classes."""
    he = {"activation": "relu", "kernel_initializer": "he_uniform"}
    return {
        1: [Conv2D(16, 5, 2, input_shape=(28, 28, 1), **he)],
        2: [Conv2D(32, 3, padding="same", groups=2, **he), MaxPooling2D(3, 2)],
        3: [Conv2D(48, 3, padding="same", **he)],
        4: [Conv2D(48, 3, padding="same", groups=2, **he)],
        5: [Conv2D(32, 3, padding="same", groups=2, **he), MaxPooling2D(3, 2), Flatten()],
        6: [Dense(128, **he)],
        7: [Dense(128, **he)],
        8: [Dense(10, activation="softmax")],
    }


def joined(numbered, removed=()):
    """Return the layers one after the other, without those of some numbers."""
    return [layer for number, layers in numbered.items() if number not in removed for layer in layers]


def count(numbered, input_shape, removed=()):
    """Return units and weights by number, from the shapes alone: no weight is made."""
    units, weights, shape = {}, {}, (None, *input_shape)
    for number, layers in numbered.items():
        if number in removed:
            continue
        units[number] = math.prod(layers[0].output_shape(shape)[1:])
        weights[number] = 0
        for layer in layers:
            weights[number] += sum(math.prod(spec.shape) for spec in layer.weight_specs(shape).values())
            shape = layer.output_shape(shape)
    return units, weights


def check_counts(lecture):
    """Compare units and weights of all layers, and weights without some, with what was published."""
    units, weights = count(alexnet(), IMAGE)
    for name, wanted, got, total in (
        ("units", UNITS, units, 659_272),
        ("weights", WEIGHTS, weights, 60_965_224),
    ):
        holds = got == wanted and sum(got.values()) == total
        lecture.check(f"{name} of layers 1 to 8", f"{total:,}", f"{sum(got.values()):,}", holds, KRIZHEVSKY)
    for removed, wanted in ABLATIONS.items():
        fewer = sum(weights.values()) - sum(count(alexnet(), IMAGE, removed)[1].values())
        name = f"weights less without {' and '.join(map(str, removed))}"
        lecture.check(name, f"{wanted:,}", f"{fewer:,}", fewer == wanted, ZEILER)


def check_step(lecture):
    """Take one step on random images and look at the loss on them before and after."""
    fc.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    batch = 1 if lecture.small else 8
    x, y = rng.standard_normal((batch, *IMAGE), dtype=np.float32), rng.integers(CLASSES, size=batch)
    model = fc.Sequential(joined(alexnet()))
    model.build((None, *IMAGE))
    optimizer = fc.optimizers.SGD(0.01, momentum=0.9, weight_decay=5e-4)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    before = model.evaluate(x, y, verbose=0)
    # Every class would be as likely if the weights were 0; those of 0.01 make logits that vary by about 0.9.
    wanted = f"log({CLASSES:,}) = {math.log(CLASSES):.3f} +- 1.5"
    lecture.check("cross-entropy before the step", wanted, before, abs(before - math.log(CLASSES)) <= 1.5)
    start = time.perf_counter()
    model.train_on_batch(x, y)
    seconds = time.perf_counter() - start
    after = model.evaluate(x, y, verbose=0)
    name = f"cross-entropy after a step of {seconds:.1f} s on {batch} images"
    lecture.check(name, "less", after, after < before)


def check_depth(lecture):
    """Train small networks without some layers; return their accuracies."""
    train_set, test_set = images(fc.datasets.load_fashion_mnist, lecture.small)
    accuracies = {}
    for removed in SMALL_ABLATIONS[:: 4 if lecture.small else 1]:
        epochs = 5 if lecture.small else EPOCHS
        model = train(joined(small_alexnet(), removed), train_set, epochs, learning_rate=LEARNING_RATE)
        name = f"without {', '.join(map(str, removed))}" if removed else "all eight layers"
        _, accuracies[name] = scores(model, test_set)
        print(f"  {name}: {model.count_params():,} weights, accuracy {accuracies[name]:.4f}")
    names = list(accuracies)
    whole, least = accuracies[names[0]], accuracies[names[-1]]
    bound = 0.9 if lecture.small else 0.88
    lecture.check("accuracy of the small network, all eight layers", f"at least {bound}", whole, whole >= bound)
    if not lecture.small:
        lost = 100 * (whole - least)
        lecture.check("points lost without 3, 4, 6 and 7", "at least 0.5", lost, lost >= 0.5, ZEILER)
    return accuracies


def draw(accuracies):
    """Draw the errors of the small networks."""
    figure = Figure(figsize=(6, 2.6), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(list(accuracies), [100 * (1 - accuracy) for accuracy in accuracies.values()])
    axes.bar_label(bars, fmt="%.2f", padding=2)
    axes.set(xlabel="wrong test images in percent")
    axes.margins(x=0.1)
    axes.invert_yaxis()
    return figure


def main() -> int:
    """Count, take a step, and take layers out."""
    lecture = Lecture("AlexNet as published, and what its depth is worth")
    check_counts(lecture)
    check_step(lecture)
    lecture.picture(draw(check_depth(lecture)), "ablation")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
