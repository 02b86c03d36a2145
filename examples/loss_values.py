r"""Why networks learn by cross-entropy: two networks that err equally often, and are not equally good.

Two networks classify three images. Their outputs, as probabilities of two classes, and the targets:

    target    network A    network B
    1 0       0.9 0.1      0.6 0.4
    0 1       0.1 0.9      0.3 0.7
    1 0       0.4 0.6      0.1 0.9

Both get the third wrong. But A is sure where it is right and barely wrong where it errs; B is the other way round. With
p the outputs, t the targets, and means over the three rows:

    classification error   mean of [argmax p != argmax t]   1/3 and 1/3    blind to the difference, and has no gradient
    squared error          mean of sum_c (p_c - t_c)^2      0.25 and 0.71
    cross-entropy          mean of -sum_c t_c ln p_c        0.38 and 1.06

by hand, for A: (0.02 + 0.02 + 0.72)/3 = 0.253 and -(2 ln 0.9 + ln 0.4)/3 = 0.376, for B: (0.32 + 0.18 + 1.62)/3 =
0.707 and -(ln 0.6 + ln 0.7 + ln 0.1)/3 = 1.057. Keras' "mean_squared_error" takes the mean over the classes, too, and
so half of that: 0.127 and 0.353.

The picture shows what each row contributes. Cross-entropy punishes what was sure and wrong without limit; the squared
error of one row is at most 2.

The comparison is that of J. D. McCaffrey, "Why You Should Use Cross-Entropy Error Instead of Classification Error or
Mean Squared Error for Neural Network Classifier Training", 2013, there with three classes.

Run it with ``python examples/loss_values.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture
from matplotlib.figure import Figure

import fastconv.functional as F
from fastconv import losses, metrics

TARGETS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
OUTPUTS = {
    "A": np.array([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6]]),
    "B": np.array([[0.6, 0.4], [0.3, 0.7], [0.1, 0.9]]),
}

# Each is rounded to the digits of the lecture.
WANTED = {
    "classification error": ("0.333", "0.333"),
    "squared error, summed over classes": ("0.25", "0.71"),
    "squared error, Keras' mean": ("0.127", "0.353"),
    "cross-entropy": ("0.38", "1.06"),
}


def values(outputs):
    """Return the losses of one network by name."""
    return {
        "classification error": 1 - metrics.accuracy(TARGETS.argmax(1), outputs),
        "squared error, summed over classes": float(F.mse_loss(outputs, TARGETS, reduction="sum")) / len(TARGETS),
        "squared error, Keras' mean": losses.MeanSquaredError()(TARGETS, outputs),
        "cross-entropy": losses.CategoricalCrossentropy()(TARGETS, outputs),
    }


def check_values(lecture):
    """Compare the losses with those by hand, and the ways to compute them with each other."""
    for network, outputs in OUTPUTS.items():
        for name, got in values(outputs).items():
            wanted = WANTED[name]["AB".index(network)]
            digits = len(wanted.partition(".")[2])
            lecture.check(f"{name}, network {network}", wanted, got, f"{got:.{digits}f}" == wanted, "by hand, above")
        labels = TARGETS.argmax(1)
        alike = [
            losses.CategoricalCrossentropy()(TARGETS, outputs),
            losses.SparseCategoricalCrossentropy()(labels, outputs),
            metrics.cross_entropy(labels, outputs),
            float(F.nll_loss(np.log(outputs), labels)),
            float(F.cross_entropy(np.log(outputs), labels)),
        ]
        spread = max(alike) - min(alike)
        name = f"five ways to cross-entropy, network {network}"
        lecture.check(name, "difference at most 1e-7", spread, spread <= 1e-7, "-ln of the right class's probability")


def check_gradients(lecture):
    """Compare how strongly the wrong row pulls, as it grows surer, by its logits."""
    logits = np.array([[-10.0, 10.0]])
    outputs = F.softmax(logits)
    _, by_output = losses.MeanSquaredError().with_gradient(TARGETS[:1], outputs)
    squared = float(np.abs(F.softmax_backward(by_output, logits)).max())
    entropy = float(np.abs(F.cross_entropy_backward(1.0, logits, [0])).max())
    source = "dp/dz = p (1 - p) -> 0"
    lecture.check(
        "gradient of the squared error where sure and wrong", "at most 1e-8", squared, squared <= 1e-8, source
    )
    lecture.check("gradient of cross-entropy there", "1 to 1e-8", entropy, abs(entropy - 1) <= 1e-8, "softmax(z) - t")


def draw():
    """Draw what each row contributes to each loss."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    rows = np.arange(3)
    losses_of_rows = {
        "wrong": lambda p: (p.argmax(1) != TARGETS.argmax(1)).astype(float),
        "squared error": lambda p: ((p - TARGETS) ** 2).sum(1),
        "cross-entropy": lambda p: -np.log((p * TARGETS).sum(1)),
    }
    for axes, (title, loss) in zip(figure.subplots(1, 3, sharey=True), losses_of_rows.items(), strict=True):
        for shift, (network, outputs) in zip((-0.2, 0.2), OUTPUTS.items(), strict=True):
            values = loss(outputs)
            axes.bar(rows + shift, values, 0.4, label=f"network {network}: mean {values.mean():.2f}")
        axes.set(title=title, ylim=(0, 3), xticks=rows, xticklabels=["row 1", "row 2", "row 3"])
        axes.legend(frameon=False, loc="upper left")
    return figure


def main() -> int:
    """Check the figures and draw them."""
    lecture = Lecture("Two networks on three rows: classification error, squared error, cross-entropy")
    check_values(lecture)
    check_gradients(lecture)
    lecture.picture(draw(), "rows")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
