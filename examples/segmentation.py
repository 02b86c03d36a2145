r"""What is each pixel? Segmentation by an encoder and a decoder, with four kinds of upsampling.

A scene of 64x64 pixels holds up to four digits on noise. Each pixel gets one of eleven classes: background, or the
digit that it belongs to, which a pixel cannot know by itself. The encoder halves the image three times, so that 8x8
places see much of it; the decoder doubles three times, back to a softmax for every pixel:

    64x64   3x3 to 16 maps         3x3 to a softmax of 11
    32x32   3x3 to 32              3x3 to 16
    16x16   3x3 to 32              3x3 to 32
     8x8    3x3 to 64         ->   3x3 to 32

After each convolution but the last come batch normalization and ReLU. Down is max pooling. Up is one of four:
duplication; bilinear interpolation; max unpooling, which puts values to where the encoder found its maxima (V.
Badrinarayanan, A. Kendall, R. Cipolla, "SegNet", arXiv:1511.00561); transposed convolution of 4x4 with stride 2, which
is learnt (J. Long, E. Shelhamer, T. Darrell, "Fully Convolutional Networks for Semantic Segmentation",
arXiv:1411.4038). `upsampling.py` shows what each does.

From the confusion matrix C of all test pixels, intersection over union of class c:

    IoU_c = C[c, c] / (sum_j C[c, j] + sum_i C[i, c] - C[c, c])

and its mean over the classes present. Beside accuracy, to which background alone gives much, it counts classes alike.
Test scenes are made of test digits, which no training scene has.

Settings, fixed beforehand: 3,000 scenes and 500 for the test, 8 epochs of Adam, batches of 16, a learning rate that
falls from 0.005 to 0 as half a cosine wave, seed 0, the last epoch counts. With --small: 40 scenes of scikit-learn's
digits, batches of 2, 5 epochs.

Run it with ``python examples/segmentation.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture, images, scores, train
from matplotlib.figure import Figure

import fastconv as fc
from fastconv import metrics
from fastconv.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    MaxPooling2D,
    MaxUnpooling2D,
    ReLU,
    UpSampling2D,
)

SOURCE = "lecture on segmentation"
SIDE, CELL, DIGIT = 64, 32, 28
BACKGROUND, CLASSES = 10, 11
LEARNING_RATE = 0.005

UPSAMPLINGS = {
    "duplication": lambda pool, filters: UpSampling2D(2),
    "bilinear": lambda pool, filters: UpSampling2D(2, interpolation="bilinear"),
    "max unpooling": lambda pool, filters: MaxUnpooling2D.from_pooling(pool),
    "transposed convolution": lambda pool, filters: Conv2DTranspose(filters, 4, strides=2, padding="same"),
}


def scenes(rng, digits, labels, count):
    """Return scenes (count, 64, 64, 1) and the classes of their pixels (count, 64, 64).

    Each quarter holds a digit with probability 3/4, with the frame of 28x28 moved at random.
    """
    x = rng.uniform(0, 0.3, (count, SIDE, SIDE, 1)).astype(np.float32)
    classes = np.full((count, SIDE, SIDE), BACKGROUND, np.uint8)
    for n, row, column in np.ndindex(count, SIDE // CELL, SIDE // CELL):
        if rng.random() < 0.25:
            continue
        chosen = rng.integers(len(digits))
        top, left = CELL * np.array([row, column]) + rng.integers(CELL - DIGIT + 1, size=2)
        place = np.s_[n, top : top + DIGIT, left : left + DIGIT]
        x[place] = np.maximum(x[place], digits[chosen])
        classes[place][digits[chosen, :, :, 0] > 0.4] = labels[chosen]
    return x, classes


def network(upsampling):
    """Return encoder and decoder with a kind of upsampling."""

    def block(filters, **options):
        return [Conv2D(filters, 3, padding="same", use_bias=False, **options), BatchNormalization(momentum=0.9), ReLU()]

    pools = [MaxPooling2D(2, name=f"pool_{number}") for number in (1, 2, 3)]
    encoder = [*block(16, input_shape=(SIDE, SIDE, 1)), pools[0], *block(32), pools[1], *block(32), pools[2]]
    decoder = [
        *block(64),
        *block(32),
        upsampling(pools[2], 32),
        *block(32),
        upsampling(pools[1], 32),
        *block(16),
        upsampling(pools[0], 16),
        Conv2D(CLASSES, 3, padding="same", activation="softmax"),
    ]
    return [*encoder, *decoder]


def mean_iou(classes, found):
    """Return the mean over the classes present of their intersection over union."""
    matrix = metrics.confusion_matrix(classes.ravel(), found.ravel(), CLASSES)
    common, rows, columns = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    present = rows > 0
    return float((common[present] / (rows + columns - common)[present]).mean())


def draw(x, classes, found):
    """Draw scenes, the classes of their pixels, and what each network found."""
    figure = Figure(figsize=(1.8 * (len(found) + 2), 5.6), layout="constrained")
    panels = figure.subplots(3, len(found) + 2)
    for column, (name, pictures) in enumerate({"scene": x[..., 0], "classes": classes, **found}.items()):
        panels[0, column].set_title(name, fontsize=9)
        for row in range(3):
            colours = {"cmap": "gray"} if column == 0 else {"cmap": "tab20b", "vmin": 0, "vmax": BACKGROUND}
            panels[row, column].imshow(pictures[row], interpolation="nearest", **colours)
            panels[row, column].set_axis_off()
    return figure


def main() -> int:
    """Train a network with each kind of upsampling and compare its classes with the right ones."""
    lecture = Lecture("Segmentation by an encoder and a decoder")
    digits, test_digits = images(fc.datasets.load_mnist, lecture.small)
    rng = np.random.default_rng(0)
    count, test_count, batch_size, epochs = (40, 16, 2, 5) if lecture.small else (3000, 500, 16, 8)
    train_set = scenes(rng, *digits, count)
    x, classes = scenes(rng, *test_digits, test_count)

    blank = mean_iou(classes, np.full_like(classes, BACKGROUND))
    lecture.check("mean IoU, background everywhere", "below 0.1", blank, blank < 0.1)
    shares = np.bincount(classes.ravel(), minlength=CLASSES) / classes.size
    entropy = -(shares @ np.log(shares))
    found = {}
    for name, upsampling in UPSAMPLINGS.items():
        model = train(network(upsampling), train_set, epochs, batch_size, LEARNING_RATE)
        loss, _ = scores(model, (x, classes))
        wanted = f"below {entropy:.3f}, that of the classes' shares"
        lecture.check(f"cross-entropy, {name}", wanted, loss, loss < entropy)
        found[name] = model.predict(x, batch_size=64).argmax(-1)
        # The small form ends before any digit is known.
        if not lecture.small:
            reached = mean_iou(classes, found[name])
            lecture.check(f"mean IoU, {name}", "at least 0.8", reached, reached >= 0.8, SOURCE)
    lecture.picture(draw(x, classes, found), "scenes")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
