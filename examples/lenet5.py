r"""LeNet-5 on MNIST.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings of
the IEEE 86, 1998, section II.B: convolutions of 5x5 and subsampling by 2 in turn, then dense layers.

    C1  6 filters of 5x5              28x28x6     6 (25 + 1)       =    156
    S2  subsampling by 2              14x14x6
    C3  16 filters of 5x5             10x10x16    16 (6 * 25 + 1)  =  2,416
    S4  subsampling by 2              5x5x16
    C5  120 units, all of 5x5x16      120         120 (400 + 1)    = 48,120
    F6  84 units                      84          84 (120 + 1)     = 10,164
    output, 10 classes                            10 (84 + 1)      =    850      together 61,706

The paper's image is 32x32, a digit of 28x28 in a frame, which padding does here. Four things are as they are made
today: C3 sees all six maps (the paper's table I leaves some out: 1,516 weights); S2 and S4 take the maximum and have no
weights; ReLU in place of a scaled tanh; softmax and cross-entropy in place of radial basis functions. The paper reports
an error of 0.95%, and 0.8% with distorted images to learn from.

Settings, fixed beforehand: 10 epochs of Adam, batches of 64, a learning rate that falls from 0.002 to 0 as half a
cosine wave, seed 0, the last epoch counts. With --small: the same on scikit-learn's digits.

Run it with ``python examples/lenet5.py``. It exits with 1 if a figure does not hold.
"""

import sys

from lecture import Lecture, images, scores, train
from matplotlib.figure import Figure

import fastconv as fc
from fastconv.layers import Conv2D, Dense, Flatten, MaxPooling2D

SOURCE = "LeCun et al. 1998, section II.B"
WEIGHTS = {"C1": 156, "S2": 0, "C3": 2416, "S4": 0, "flatten": 0, "C5": 48120, "F6": 10164, "output": 850}
SHAPES = {"C1": (28, 28, 6), "S2": (14, 14, 6), "C3": (10, 10, 16), "S4": (5, 5, 16), "C5": (120,), "F6": (84,)}
EPOCHS, LEARNING_RATE = 10, 0.002


def lenet5():
    """Return the layers by the paper's names."""
    return [
        Conv2D(6, 5, padding="same", activation="relu", input_shape=(28, 28, 1), name="C1"),
        MaxPooling2D(2, name="S2"),
        Conv2D(16, 5, activation="relu", name="C3"),
        MaxPooling2D(2, name="S4"),
        Flatten(name="flatten"),
        Dense(120, activation="relu", name="C5"),
        Dense(84, activation="relu", name="F6"),
        Dense(10, activation="softmax", name="output"),
    ]


def check_layers(lecture, model):
    """Compare shapes and weights of the layers with the paper's."""
    weights = {layer.name: layer.count_params() for layer in model.layers}
    holds = weights == WEIGHTS and model.count_params() == 61_706
    text = " + ".join(str(count) for count in weights.values() if count)
    wanted = "156 + 2416 + 48120 + 10164 + 850 = 61,706"
    lecture.check("weights", wanted, f"{text} = {model.count_params():,}", holds, SOURCE)
    shape, shapes = (None, 28, 28, 1), {}
    for layer in model.layers:
        shape = layer.output_shape(shape)
        shapes[layer.name] = shape[1:]
    agree = sum(shapes[name] == wanted for name, wanted in SHAPES.items())
    lecture.check("shapes of the maps, C1 to F6", "6 of 6 agree", f"{agree} of 6", agree == 6, SOURCE)


def draw(x, labels, probabilities):
    """Draw the mistakes the network was most sure of."""
    guesses = probabilities.argmax(1)
    wrong = sorted((guesses != labels).nonzero()[0], key=lambda i: -probabilities[i, guesses[i]])
    figure = Figure(figsize=(8, 4), layout="constrained")
    for axes, i in zip(figure.subplots(3, 8).flat, wrong, strict=False):
        axes.imshow(x[i, :, :, 0], cmap="gray_r")
        axes.set_title(f"{labels[i]}, not {guesses[i]}", fontsize=8)
    for axes in figure.axes:
        axes.set_axis_off()
    figure.suptitle(f"{len(wrong)} of {len(labels)} wrong, first those with the largest probability", fontsize=10)
    return figure


def main() -> int:
    """Train the network, check it, and draw its mistakes."""
    lecture = Lecture("LeNet-5 on MNIST")
    train_set, test_set = images(fc.datasets.load_mnist, lecture.small)
    model = train(lenet5(), train_set, EPOCHS, learning_rate=LEARNING_RATE)
    check_layers(lecture, model)
    _, accuracy = scores(model, test_set)
    least = 0.95 if lecture.small else 0.99
    lecture.check(
        "accuracy", f"at least {least}", accuracy, accuracy >= least, "lecture on LeNet-5; paper: error 0.95%"
    )
    lecture.picture(draw(*test_set, model.predict(test_set[0], batch_size=256)), "mistakes")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
