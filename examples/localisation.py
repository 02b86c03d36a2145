r"""Where is it? Localisation as regression of one box.

A scene of 64x64 pixels holds one digit, enlarged by 1 to 2 times, somewhere; the background is noise. The network gets
the scene and returns four numbers: left, top, right and bottom edge of the digit's bounding box, in parts of the side.
It is trained by the mean squared error of these four, as are the localisation networks of K. Simonyan, A. Zisserman,
"Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv:1409.1556, appendix A.

Boxes are judged by intersection over union:

    IoU(A, B) = |A and B| / |A or B|,   |A or B| = |A| + |B| - |A and B|

1 for equal boxes, 0 for boxes apart. Beside the network's stands that of the mean box of the training scenes: what is
reached without a look at the scene.

Test scenes are made of test digits, which no training scene has.

Settings, fixed beforehand: 8,000 scenes and 1,000 for the test, 10 epochs of Adam, batches of 32, a learning rate that
falls from 0.002 to 0 as half a cosine wave, seed 0, the last epoch counts. With --small: 1,000 scenes of scikit-learn's
digits, 5 epochs.

Run it with ``python examples/localisation.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture, images
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import fastconv as fc
import fastconv.functional as F
from fastconv.layers import Conv2D, Dense, Flatten, MaxPooling2D

SOURCE = "lecture on localisation"
SIDE, BATCH_SIZE, LEARNING_RATE = 64, 32, 0.002


def iou(a, b):
    """Return the intersection over union of boxes (n, 4): left, top, right, bottom."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    common = np.maximum(sides, 0).prod(1)
    areas = [np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(1) for boxes in (a, b)]
    return common / (sum(areas) - common)


def scenes(rng, digits, count):
    """Return scenes (count, 64, 64, 1) and boxes (count, 4) in parts of the side."""
    x = rng.uniform(0, 0.3, (count, SIDE, SIDE, 1)).astype(np.float32)
    boxes = np.empty((count, 4), np.float32)
    for scene, box, digit in zip(x, boxes, digits[rng.integers(len(digits), size=count)], strict=True):
        size = int(rng.integers(28, 57))
        enlarged = F.interpolate(digit.transpose(2, 0, 1)[np.newaxis], (size, size), mode="bilinear")[0, 0]
        rows, columns = (np.flatnonzero((enlarged > 0.2).any(axis)) for axis in (1, 0))
        cut = enlarged[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        top, left = (int(rng.integers(SIDE - length + 1)) for length in cut.shape)
        bottom, right = top + cut.shape[0], left + cut.shape[1]
        scene[top:bottom, left:right, 0] = np.maximum(scene[top:bottom, left:right, 0], cut)
        box[:] = np.array([left, top, right, bottom]) / SIDE
    return x, boxes


def network():
    """Return four convolutions with pooling, and two dense layers with four outputs."""
    convolutions = []
    for filters in (8, 16, 32, 32):
        convolutions += [Conv2D(filters, 3, padding="same", activation="relu"), MaxPooling2D(2)]
    return fc.Sequential([*convolutions, Flatten(), Dense(64, activation="relu"), Dense(4)])


def check_formula(lecture):
    """Compare the IoU of boxes for which it is plain."""
    a = np.array([[0, 0, 2, 2]] * 4)
    b = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [0, 0, 1, 1], [2, 2, 3, 3]])
    found = iou(a, b)
    text = ", ".join(f"{value:.4f}" for value in found)
    holds = np.allclose(found, [1, 1 / 3, 1 / 4, 0], rtol=0, atol=1e-15)
    lecture.check("IoU of a 2x2 box: itself, moved by 1, a quarter, apart", "1, 1/3, 1/4, 0", text, holds)


def draw(x, boxes, found):
    """Draw scenes with their boxes and those found."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    values = iou(boxes, found)
    for i, axes in enumerate(figure.subplots(2, 6).flat):
        axes.imshow(x[i, :, :, 0], cmap="gray")
        for (left, top, right, bottom), colour in ((boxes[i] * SIDE, "tab:blue"), (found[i] * SIDE, "tab:orange")):
            size = right - left, bottom - top
            axes.add_patch(Rectangle((left - 0.5, top - 0.5), *size, fill=False, edgecolor=colour, linewidth=1.5))
        axes.set_title(f"IoU {values[i]:.2f}", fontsize=9)
        axes.set_axis_off()
    figure.suptitle("blue: the box; orange: the network's", fontsize=10)
    return figure


def main() -> int:
    """Train the network, compare its boxes with the mean box, draw some."""
    lecture = Lecture("Localisation as regression of one box")
    check_formula(lecture)
    (train_digits, _), (test_digits, _) = images(fc.datasets.load_mnist, lecture.small)
    rng = np.random.default_rng(0)
    count, test_count, epochs = (1000, 200, 5) if lecture.small else (8000, 1000, 10)
    x, boxes = scenes(rng, train_digits, count)
    x_test, boxes_test = scenes(rng, test_digits, test_count)

    fc.utils.set_random_seed(0)
    model = network()
    rate = fc.schedules.CosineDecay(LEARNING_RATE, epochs * -(-count // BATCH_SIZE))
    model.compile(fc.optimizers.Adam(rate), "mean_squared_error")
    model.fit(x, boxes, BATCH_SIZE, epochs, verbose=0, seed=0)
    found = model.predict(x_test, batch_size=256)

    mean_box = np.broadcast_to(boxes.mean(0), boxes_test.shape)
    reached, without_a_look = (float(iou(boxes_test, guess).mean()) for guess in (found, mean_box))
    least = 0.5 if lecture.small else 0.7
    lecture.check("mean IoU of the network's boxes", f"at least {least}", reached, reached >= least, SOURCE)
    lecture.check("mean IoU of the mean box", "less by 0.1", without_a_look, without_a_look <= reached - 0.1, SOURCE)
    lecture.picture(draw(x_test, boxes_test, found), "boxes")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
