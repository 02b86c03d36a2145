r"""What happens when the image moves: convolution moves along, and pooling makes a network nearly blind to it.

Let T be a translation. A function f is equivariant to it if f(T x) = T f(x), and invariant if f(T x) = f(x).

**Convolution is equivariant.** (T x)[i] = x[i - t] gives y[i] = sum_u w[u] x[i - t + u], the old y[i - t]. At the
border of an image it is so if the image goes on like a ring (circular padding). With a stride s, it is so for those t
that s divides, and the output moves by t / s: other moves end between two outputs.

**The mean over all places is invariant**: a sum does not depend on the order. So convolutions with circular padding and
then global average pooling make a network that is blind to translation.

**Pooling is nearly invariant**: a maximum over a window stays the same as long as it stays in its window. The more
pooling, the less an output changes. A dense network has nothing of the sort: to it, a moved image is another one.

That "nearly" is measured twice. First by the features of random convolutions with more and more pooling after them, for
images moved by one pixel: ||f(T x) - f(x)|| / ||f(x)||. Then by two trained networks, one with convolutions and pooling
and a dense one: the share of test images whose guess stays when they move.

I. Goodfellow, Y. Bengio, A. Courville, Deep Learning, 2016, sections 9.2 and 9.3. Why it is only nearly so: R. Zhang,
"Making Convolutional Networks Shift-Invariant Again", arXiv:1904.11486.

Settings, fixed beforehand: Adam with learning rate 0.001, batches of 64, seed 0, the last epoch counts; 3 epochs on
MNIST, or with --small 30 on scikit-learn's digits.

Run it with ``python examples/equivariance.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture
from matplotlib.figure import Figure

import fastconv as fc
import fastconv.functional as F
from fastconv.layers import Conv2D, Dense, Flatten, MaxPooling2D

SECTION_2, SECTION_3 = (f"Goodfellow et al. 2016, section 9.{number}" for number in (2, 3))

# Sums of 27 products of numbers around 1 in float64, in whatever order.
ROUNDING = 1e-13


def ring(x, t):
    """Move images (n, c, h, w) by t = (down, right) on a ring."""
    return np.roll(x, t, axis=(2, 3))


def convolve(x, w, stride=1):
    """Return a 3x3 convolution of images on a ring."""
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), w, stride=stride)


def check_equivariance(lecture):
    """Move an image, then convolve; convolve, then move the result."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 3, 12, 12)), rng.standard_normal((4, 3, 3, 3))
    y, strided = convolve(x, w), convolve(x, w, 2)
    moves = [(down, right) for down in range(6) for right in range(6)]
    wanted = f"difference at most {ROUNDING:.0e}"

    worst = max(np.abs(convolve(ring(x, t), w) - ring(y, t)).max() for t in moves)
    lecture.check("conv(T x) = T conv(x), 36 translations", wanted, worst, worst <= ROUNDING, SECTION_2)
    worst = max(
        np.abs(np.maximum(convolve(ring(x, t), w), 0).mean((2, 3)) - np.maximum(y, 0).mean((2, 3))).max() for t in moves
    )
    lecture.check("mean(relu(conv(T x))) = mean(relu(conv(x)))", wanted, worst, worst <= ROUNDING, SECTION_3)

    even = [t for t in moves if t[0] % 2 == t[1] % 2 == 0]
    half = [(down // 2, right // 2) for down, right in even]
    worst = max(np.abs(convolve(ring(x, t), w, 2) - ring(strided, h)).max() for t, h in zip(even, half, strict=True))
    lecture.check("stride 2: T by even steps moves by half of them", wanted, worst, worst <= ROUNDING, SECTION_2)
    least = min(np.abs(convolve(ring(x, (1, 0)), w, 2) - ring(strided, t)).max() for t in moves)
    lecture.check("stride 2: T by one step is no move at all", "difference above 0.1", least, least > 0.1, SECTION_2)
    worst = np.abs(F.conv2d(x[:, :, ::-1], w)[:, :, ::-1] - F.conv2d(x, w)).max()
    lecture.check("a mirrored image is no moved one", "difference above 0.1", worst, worst > 0.1, SECTION_2)


def data(small):
    """Return scaled images (n, h, w, 1) and labels for training and for tests."""
    (x, y), (x_test, y_test) = fc.datasets.load_digits() if small else fc.datasets.load_mnist()
    scale = np.float32(x.max())
    return (x[..., None] / scale, y), (x_test[..., None] / scale, y_test)


def moved(images, columns):
    """Move images to the right; zeros come in."""
    return F.pad(images, (0, 0, columns, -columns))


def check_pooling(lecture, images):
    """Compare features of random networks as more pooling follows the convolution."""
    changes = {}
    for size in (1, 2, 4):
        model = fc.Sequential(
            [
                Conv2D(16, 3, padding="same", activation="relu", kernel_initializer=fc.initializers.HeNormal(1)),
                MaxPooling2D(size),
            ]
        )
        features = model.predict(images)
        changes[size] = float(np.linalg.norm(model.predict(moved(images, 1)) - features) / np.linalg.norm(features))
    text = ", ".join(f"{change:.3f}" for change in changes.values())
    name = "change of features by one pixel: no pooling, 2x2, 4x4"
    lecture.check(name, "falling", text, changes[1] > changes[2] > changes[4], SECTION_3)


def trained(layers, train, epochs):
    """Return a trained classifier."""
    fc.utils.set_random_seed(0)
    model = fc.Sequential([*layers, Dense(10, activation="softmax")])
    model.compile(fc.optimizers.Adam(0.001), "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(*train, batch_size=64, epochs=epochs, verbose=0, seed=0)
    return model


def check_networks(lecture, train, test):
    """Train two networks and count the guesses that stay; return the shares by name."""
    side = train[0].shape[1]
    stacks = {
        "convolutions and pooling": [
            Conv2D(16, 3, padding="same", activation="relu", input_shape=(side, side, 1)),
            MaxPooling2D(2),
            Conv2D(32, 3, padding="same", activation="relu"),
            MaxPooling2D(2),
            Flatten(),
        ],
        "dense": [Flatten(input_shape=(side, side, 1)), Dense(128, activation="relu")],
    }
    steps = range(-2, 3) if lecture.small else range(-4, 5)
    shares = {}
    for name, layers in stacks.items():
        model = trained(layers, train, 30 if lecture.small else 3)
        accuracy = model.evaluate(*test, verbose=0, return_dict=True)["accuracy"]
        lecture.check(f"accuracy, {name}", "at least 0.95", accuracy, accuracy >= 0.95)
        guesses = model.predict(test[0]).argmax(1)
        shares[name] = [float(np.mean(model.predict(moved(test[0], t)).argmax(1) == guesses)) for t in steps]
    middle = len(steps) // 2
    pooled, dense = (np.array(values) for values in shares.values())
    one = min(pooled[middle - 1], pooled[middle + 1])
    # One pixel of a digit's 8 is as far as 3.5 of MNIST's 28.
    least = 0.5 if lecture.small else 0.95
    lecture.check("guesses that one pixel does not change, with pooling", f"at least {least}", one, one >= least)
    text = ", ".join(f"{a:.3f}/{b:.3f}" for a, b in zip(pooled, dense, strict=True))
    ahead = np.delete(pooled > dense, middle).all()
    name = f"guesses that stay, moved by {steps[0]} to {steps[-1]}, pooling/dense"
    lecture.check(name, "more with pooling", text, ahead, SECTION_3)
    return steps, shares


def draw(steps, shares):
    """Draw the share of guesses that stay over the move."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, values in shares.items():
        axes.plot(steps, values, "o-", label=name)
    axes.set(xlabel="pixels moved to the right", ylabel="guesses that stay", xticks=steps, ylim=(0, 1.03))
    axes.legend(frameon=False)
    return figure


def main() -> int:
    """Check the figures and draw them."""
    lecture = Lecture("Convolution is equivariant to translation, a network with pooling nearly invariant")
    check_equivariance(lecture)
    train, test = data(lecture.small)
    check_pooling(lecture, test[0][:500])
    lecture.picture(draw(*check_networks(lecture, train, test)), "moves")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
