r"""The gradients of a convolution, derived with matrices and checked in numbers.

J. Wu, "Introduction to Convolutional Neural Networks", 2017, derives back-propagation through a convolution from three
facts about matrices. This program follows the derivation; each numbered line is checked below.

Let :math:`X` be an image, :math:`Y` its convolution with :math:`D` kernels, and :math:`z` a number computed from
:math:`Y`. Write, for an output of :math:`L` pixels and windows of :math:`K` numbers (channels x height x width):

- :math:`\phi(x)`, L x K: a window of the image in each row (im2col),
- :math:`F`, K x D: a kernel in each column,
- :math:`Y`, L x D: an output channel in each column,
- :math:`\mathrm{vec}(A)`: the columns of a matrix below each other. It obeys
  :math:`\mathrm{vec}(A B C) = (C^T \otimes A) \, \mathrm{vec}(B)` with the Kronecker product :math:`\otimes`.

**Forward.** An output number is a window times a kernel, so

    (1)  Y = phi(x) F

and by the rule for vec, with an identity matrix for the missing factor:

    (2)  vec(Y) = (I kron phi(x)) vec(F)
    (3)  vec(Y) = (F^T kron I) vec(phi(x))

phi only copies numbers of x, which is linear: there is an indicator matrix P of ones and zeros with

    (4)  vec(phi(x)) = P vec(x)

It is the matrix of a convolution too: of the K kernels that have a single 1, each of which picks one number out of
every window. (3) and (4) together are the convolution's Toeplitz matrix:

    (5)  vec(Y) = M vec(x),  M = (F^T kron I) P

**Gradient of the kernels.** By the chain rule and (2), as rows: dz/dvec(F)^T = dz/dvec(Y)^T (I kron phi(x)).
Transposed, vec(dz/dF) = (I kron phi(x)^T) vec(dz/dY), which by the rule for vec is

    (6)  dz/dF = phi(x)^T dz/dY

**Gradient of the image.** By (5), dz/dvec(x)^T = dz/dvec(Y)^T (F^T kron I) P. The first two factors, transposed, are
(F kron I) vec(dz/dY) = vec(dz/dY F^T): a number for each place in each window. P^T adds up those that are copies of one
pixel, which is what col2im does:

    (7)  vec(dz/dx) = P^T vec(dz/dY F^T) = vec(col2im(dz/dY F^T))

So the gradient is also M^T vec(dz/dY), a transposed convolution.

Run it with ``python examples/toeplitz_identities.py``. It exits with 1 if an identity does not hold.
"""

import sys
from collections.abc import Iterator

import numpy as np

import fastconv.functional as F
from fastconv.toeplitz import toeplitz_matrix

# Largest error, in parts of the largest number: 40 roundings of 1e-16 and some room. A quotient of differences loses
# half of the digits.
ROUNDING, DIFFERENCES = 1e-13, 1e-7

KERNEL = (3, 2)
OPTIONS = {"stride": (1, 2), "padding": ((1, 0), (0, 1))}


def vec(matrix):
    """Return the columns of a matrix below each other."""
    return matrix.ravel(order="F")


def slope(function, point, direction, step=1e-6):
    """Return the derivative of a function along a direction, as a quotient of differences."""
    return (function(point + step * direction) - function(point - step * direction)) / (2 * step)


def identities() -> Iterator[tuple[str, object, object, float]]:
    """Yield a name, both sides and a bound for each identity."""
    rng = np.random.default_rng(2017)
    x, w = rng.standard_normal((3, 6, 7)), rng.standard_normal((4, 3, *KERNEL))
    y = F.conv2d(x, w, **OPTIONS)

    # The z of this example, and its derivative by y.
    def z(y):
        return np.sin(y).sum()

    grad_y = np.cos(y)
    grad_x, grad_w, _ = F.conv2d_backward(grad_y, x, w, **OPTIONS)

    phi = F.unfold(x, KERNEL, **OPTIONS).T
    kernels = w.reshape(4, -1).T
    outputs, grad_outputs = (array.reshape(4, -1).T for array in (y, grad_y))
    pixels, window = phi.shape

    yield "(1)  Y = phi(x) F", phi @ kernels, outputs, ROUNDING
    yield "(2)  vec(Y) = (I kron phi(x)) vec(F)", np.kron(np.eye(4), phi) @ vec(kernels), vec(outputs), ROUNDING
    kernels_on_windows = np.kron(kernels.T, np.eye(pixels))
    yield "(3)  vec(Y) = (F^T kron I) vec(phi(x))", kernels_on_windows @ vec(phi), vec(outputs), ROUNDING

    # vec(x) is x.ravel(): an image in NumPy has its columns, which are channels, below each other already.
    indicator = toeplitz_matrix(np.eye(window).reshape(window, 3, *KERNEL), x.shape, **OPTIONS)
    yield "(4)  vec(phi(x)) = P vec(x)", indicator @ x.ravel(), vec(phi), 0.0
    toeplitz = toeplitz_matrix(w, x.shape, **OPTIONS)
    yield "(5)  M = (F^T kron I) P", kernels_on_windows @ indicator, toeplitz, ROUNDING
    yield "(5)  vec(Y) = M vec(x)", toeplitz @ x.ravel(), vec(outputs), ROUNDING

    grad_kernels = phi.T @ grad_outputs
    yield "(6)  dz/dF = phi(x)^T dz/dY", grad_kernels, grad_w.reshape(4, -1).T, ROUNDING
    direction = rng.standard_normal(w.shape)
    measured = slope(lambda w: z(F.conv2d(x, w, **OPTIONS)), w, direction)
    yield "(6)  is the slope of z by w", (grad_kernels * direction.reshape(4, -1).T).sum(), measured, DIFFERENCES

    windows = grad_outputs @ kernels.T
    yield "(7)  dz/dx = col2im(dz/dY F^T)", F.fold(windows.T, x.shape[1:], KERNEL, **OPTIONS), grad_x, ROUNDING
    yield "(7)  vec(dz/dx) = P^T vec(dz/dY F^T)", indicator.T @ vec(windows), grad_x.ravel(), ROUNDING
    yield "(7)  vec(dz/dx) = M^T vec(dz/dY)", toeplitz.T @ vec(grad_outputs), grad_x.ravel(), ROUNDING
    direction = rng.standard_normal(x.shape)
    measured = slope(lambda x: z(F.conv2d(x, w, **OPTIONS)), x, direction)
    yield "(7)  is the slope of z by x", (grad_x * direction).sum(), measured, DIFFERENCES


def main() -> int:
    """Print the error of each identity; return 1 if one is out of bounds."""
    print(f"{'identity':40} {'error':>8} {'bound':>8}")
    failures = 0
    for name, left, right, bound in identities():
        error = np.max(np.abs(np.subtract(left, right))) / np.max(np.abs(right))
        holds = np.shape(left) == np.shape(right) and error <= bound
        failures += not holds
        print(f"{name:40} {error:8.1e} {bound:8.0e}{'' if holds else '  FAILED'}")
    print("every identity holds" if not failures else f"{failures} failed")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
