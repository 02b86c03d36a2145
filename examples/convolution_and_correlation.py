r"""Convolution and cross-correlation: the integral, its discrete form, and what a flip of the kernel changes.

**The integral.** The convolution of a signal x with a weighting w is

    s(t) = (x * w)(t) = integral x(a) w(t - a) da

Take a pulse, x(a) = 1 for 0 <= a < 1 and 0 elsewhere, and a weighting that forgets, w(a) = exp(-a) for a >= 0. Then

    s(t) = 1 - exp(-t)               for 0 <= t < 1
    s(t) = exp(-(t - 1)) - exp(-t)   for t >= 1

**The discrete form.** Sampled at steps of h, x[j] = x(j h) and w[j] = w(j h), the integral becomes a sum:

    s(i h) ~ h sum_j x[j] w[i - j]

Its error is in proportion to h. It is largest at t = 0, where the sum has one term, h x(0) w(0) = h, and the integral
is still 0.

**Correlation.** What deep learning calls convolution, `F.conv2d` included, leaves the kernel as it is:

    correlation  y[i, j] = sum_uv w[u, v] x[i + u, j + v]
    convolution  y[i, j] = sum_uv w[u, v] x[i - u, j - v]

One is the other with the kernel flipped along each axis. A lone 1 in a dark image makes the difference visible:
convolution paints the kernel around it, correlation the kernel turned by 180 degrees. Convolution is commutative
(substitute u by i - u); correlation is not: swapping the two turns the result around. A network that learns its
kernels does not mind: it learns the flipped one.

I. Goodfellow, Y. Bengio, A. Courville, Deep Learning, 2016, section 9.1, equations 9.1 to 9.6.

Run it with ``python examples/convolution_and_correlation.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture
from matplotlib.figure import Figure
from scipy import signal

import fastconv.functional as F
from fastconv.image import KERNELS, filter2d

BOOK = "Goodfellow et al. 2016, section 9.1"
END = 4.0

# 25 products of numbers around 1 are rounded by a few 1e-16 each.
ROUNDING = 1e-13

LETTER = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]], float)


def convolve(x, w):
    """Return the whole discrete convolution of two signals: the correlation with the flipped second one."""
    return F.conv1d(x[None], w[None, None, ::-1], padding=len(w) - 1)[0]


def pulse(t):
    """Return 1 from 0 to 1, and 0 elsewhere."""
    return ((t >= 0) & (t < 1)).astype(float)


def integral(t):
    """Return the convolution of the pulse with exp(-t), solved by hand."""
    return np.where(t < 1, 1 - np.exp(-t), np.exp(1 - t) - np.exp(-t))


def discrete(steps):
    """Return times from 0 on, `steps` in each unit, and the sum in place of the integral there."""
    t = np.arange(int(END * steps)) / steps
    return t, convolve(pulse(t), np.exp(-t))[: len(t)] / steps


def check_integral(lecture):
    """Compare the sum with the integral at ever smaller steps."""
    for steps in (4, 16, 64, 256):
        t, s = discrete(steps)
        error = np.abs(s - integral(t)).max()
        holds = abs(error * steps - 1) < 0.01
        lecture.check(f"error of the sum with steps of 1/{steps}", f"{1 / steps:.4g}, within 1%", error, holds, BOOK)


def check_flips(lecture):
    """Compare both operations with NumPy's and SciPy's, and with each other."""
    rng = np.random.default_rng(9)
    x, w = rng.standard_normal(40), rng.standard_normal(7)
    image, kernel = rng.standard_normal((12, 15)), rng.standard_normal((5, 4))

    def correlated(kernel):
        return F.conv2d(image[None], kernel[None, None])[0]

    pairs = {
        "F.conv1d is correlation": (F.conv1d(x[None], w[None, None])[0], np.correlate(x, w)),
        "F.conv1d, kernel flipped, is convolution": (convolve(x, w), np.convolve(x, w)),
        "F.conv2d is correlation": (correlated(kernel), signal.correlate2d(image, kernel, "valid")),
        "F.conv2d, kernel flipped, is convolution": (
            correlated(kernel[::-1, ::-1]),
            signal.convolve2d(image, kernel, "valid"),
        ),
        "filter2d with flip is convolution": (
            filter2d(image, kernel[:, :3], mode="constant", flip=True),
            signal.convolve2d(image, kernel[:, :3], "same"),
        ),
        "convolution is commutative": (convolve(x, w), convolve(w, x)),
        "correlation, swapped, is turned around": (convolve(x, w[::-1]), convolve(w, x[::-1])[::-1]),
        "a symmetric kernel does both alike": (
            filter2d(image, KERNELS["gaussian_blur"]),
            filter2d(image, KERNELS["gaussian_blur"], flip=True),
        ),
    }
    for name, (left, right) in pairs.items():
        error = np.abs(left - right).max() if left.shape == right.shape else np.inf
        lecture.check(name, f"error at most {ROUNDING:.0e}", error, error <= ROUNDING, BOOK)
    least = np.abs(convolve(x, w[::-1]) - convolve(w, x[::-1])).max()
    lecture.check("correlation is not commutative", "difference above 0.1", least, least > 0.1, BOOK)


def check_impulse(lecture):
    """Let both operations act on a single 1; return the two pictures."""
    impulse = np.zeros((9, 8))
    impulse[4, 4] = 1
    correlation, convolution = (filter2d(impulse, LETTER, mode="constant", flip=flip) for flip in (False, True))
    painted = np.array_equal(convolution[2:7, 2:6], LETTER)
    lecture.check("convolution of an impulse", "the kernel", "the kernel" if painted else "another", painted, BOOK)
    turned = np.array_equal(correlation[2:7, 3:7], LETTER[::-1, ::-1])
    got = "the kernel turned by 180 degrees" if turned else "another"
    lecture.check("correlation of an impulse", "the kernel turned by 180 degrees", got, turned, BOOK)
    return impulse, convolution, correlation


def draw(images):
    """Draw the integral beside two sums, and what both operations make of an impulse."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3, 2))
    axes = above.subplots()
    t = np.linspace(0, END, 400, endpoint=False)
    axes.plot(t, pulse(t), color="0.7", label="x(t), a pulse")
    axes.plot(t, np.exp(-t), color="0.7", linestyle="--", label="w(t) = exp(-t)")
    axes.plot(t, integral(t), color="C0", label="their convolution, the integral")
    for steps, mark in ((4, "s"), (16, ".")):
        axes.plot(*discrete(steps), mark, markersize=4, label=f"the sum with step 1/{steps}")
    axes.set(xlabel="t", xlim=(0, END))
    axes.legend(frameon=False)
    for axes, image, title in zip(
        below.subplots(1, 4),
        (LETTER, *images),
        ("kernel", "impulse", "convolution", "correlation"),
        strict=True,
    ):
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=1)
        axes.set(title=title, xticks=[], yticks=[])
    return figure


def main() -> int:
    """Check the figures and draw them."""
    lecture = Lecture("Convolution and cross-correlation, as integral and as sum")
    check_integral(lecture)
    check_flips(lecture)
    images = check_impulse(lecture)
    lecture.picture(draw(images), "flips")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
