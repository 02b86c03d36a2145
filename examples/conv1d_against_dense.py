r"""Shifted templates in noise: a 1-D convolution finds them, a dense network of as many weights does not.

Each of ten classes is a template of 12 numbers. A signal of 64 is noise with the template of its class somewhere in it:

    x[i] = s[i - t] + sigma n[i],   s a template, t from 0 to 52 at random, n normal

A convolution looks for a template at every place with the same weights, and the largest of its outputs does not depend
on where it is (the matched filter with a maximum). A dense layer needs weights of its own for every place, and has to
learn each place from signals in which the template is there. That is what sharing weights is for: I. Goodfellow, Y.
Bengio, A. Courville, Deep Learning, 2016, section 9.2; S. Prince, Understanding Deep Learning, 2023, section 10.2.

    convolution   Conv1D(30, 12, relu), global max pooling, Dense(10): 390 + 310          =   700 weights
    dense         Dense(10, relu), Dense(10): 650 + 110                                   =   760 weights

Both learn the same 2,000 signals and are judged by 2,000 others, for five seeds of templates, signals and weights.

Settings, fixed beforehand: sigma 0.5, templates of mean 0 and variance 1, 60 epochs of Adam, batches of 64, a learning
rate that falls from 0.01 to 0 as half a cosine wave, the last epoch counts. With --small: 2 seeds and 20 epochs.

Run it with ``python examples/conv1d_against_dense.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture, scores, train
from matplotlib.figure import Figure

from fastconv.layers import Conv1D, Dense, Flatten, GlobalMaxPooling1D

SOURCE = "Goodfellow et al. 2016, section 9.2"
CLASSES, LENGTH, TEMPLATE, COUNT, NOISE = 10, 64, 12, 2000, 0.5


def signals(rng, templates):
    """Return signals (n, 64, 1) with a template each, and the numbers of the templates."""
    labels = rng.integers(CLASSES, size=COUNT)
    x = NOISE * rng.standard_normal((COUNT, LENGTH, 1))
    starts = rng.integers(LENGTH - TEMPLATE + 1, size=COUNT)
    x[np.arange(COUNT)[:, None], starts[:, None] + np.arange(TEMPLATE), 0] += templates[labels]
    return x.astype(np.float32), labels


def data(seed):
    """Return templates, signals to learn from and signals for the test."""
    rng = np.random.default_rng(seed)
    templates = rng.standard_normal((CLASSES, TEMPLATE))
    templates -= templates.mean(1, keepdims=True)
    templates /= templates.std(1, keepdims=True)
    return templates, signals(rng, templates), signals(rng, templates)


def networks():
    """Return the layers of both networks by name."""
    return {
        "convolution": [
            Conv1D(30, TEMPLATE, activation="relu", input_shape=(LENGTH, 1)),
            GlobalMaxPooling1D(),
            Dense(CLASSES, activation="softmax"),
        ],
        "dense": [
            Flatten(input_shape=(LENGTH, 1)),
            Dense(10, activation="relu"),
            Dense(CLASSES, activation="softmax"),
        ],
    }


def draw(signal_set, templates, accuracies):
    """Draw three signals with their templates, and the accuracies by seed."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for row, (x, label) in enumerate(zip(*(array[:3] for array in signal_set), strict=True)):
        fit = np.correlate(x[:, 0], templates[label], "valid").argmax()
        left.plot(x[:, 0] - 6 * row, color="tab:gray", linewidth=0.8)
        left.plot(fit + np.arange(TEMPLATE), templates[label] - 6 * row, color="tab:blue")
    left.set(title="signals, and where the template fits best", yticks=[])
    for name, values in accuracies.items():
        right.plot(values, "o-", label=name)
    right.set(xlabel="seed", ylabel="accuracy on new signals", ylim=(0, 1.03), xticks=range(len(values)))
    right.legend(frameon=False)
    return figure


def main() -> int:
    """Train both networks for each seed and compare them."""
    lecture = Lecture("A 1-D convolution against a dense network on shifted templates")
    seeds, epochs = (range(2), 20) if lecture.small else (range(5), 60)
    accuracies = {name: [] for name in networks()}
    weights = {}
    for seed in seeds:
        templates, train_set, test_set = data(seed)
        for name, layers in networks().items():
            model = train(layers, train_set, epochs, learning_rate=0.01, seed=seed)
            weights[name] = model.count_params()
            accuracies[name].append(scores(model, test_set)[1])
    text = " and ".join(f"{count} {name}" for name, count in weights.items())
    lecture.check("weights", "no more in the convolution", text, weights["convolution"] <= weights["dense"])
    for name, values in accuracies.items():
        print(f"  accuracy, {name}: {', '.join(f'{value:.4f}' for value in values)}")
    convolution, dense = (np.array(values) for values in accuracies.values())
    least = convolution.min()
    lecture.check("accuracy of the convolution, the worst seed", "at least 0.9", least, least >= 0.9)
    ahead = 100 * (convolution - dense)
    text = ", ".join(f"{points:.1f}" for points in ahead)
    lecture.check("points the convolution is ahead, by seed", "at least 10", text, (ahead >= 10).all(), SOURCE)
    lecture.picture(draw(train_set, templates, accuracies), "signals")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
