r"""The spectral norm of a convolution layer: by how much it can stretch an image, at most.

It is the largest singular value of the layer's matrix. Bounds on it keep the discriminators of generative networks in
check (Miyato et al., "Spectral Normalization for Generative Adversarial Networks", arXiv:1802.05957) and certify how
far a small change of an image can move a network's answer. The matrix itself is out of reach: for 64 channels on 56x56
pixels it takes 161 GB. But Lanczos' method needs only products with it and its transpose, which are convolutions:
``scipy.sparse.linalg.svds`` on `fastconv.toeplitz.toeplitz_operator`.

What is checked:

- "to dense": for layers that are small enough, the singular values against those of the dense matrix;
- "residual": for the values s and vectors u, v found, ``|A v - s u|`` and ``|A^T u - s v|`` are at most eps s: then
  there is a singular value within eps s of s, as for every symmetric matrix, here [[0, A], [A^T, 0]] (B. Parlett, The
  Symmetric Eigenvalue Problem, 1998, section 4.5);
- "plane": for stride 1 the norm is at most that of the same convolution of an infinite image, since cutting an image
  out of the plane can only lower it. That one is known: the Fourier transform makes its matrix block diagonal, and its
  norm is the largest of the norms of the c_out x c_in matrices ``sum_uv w[:, :, u, v] exp(-i (a u + b v))`` over all
  frequencies a and b (H. Sedghi, V. Gupta, P. Long, "The Singular Values of Convolutional Layers", arXiv:1805.10408,
  for circular convolutions).

"weights" is the norm of the weights as a c_out x (c_in kh kw) matrix, which is often taken for the layer's: it is
another number.

Run it with ``python examples/spectral_norm.py``. It exits with 1 if a check fails.
"""

import os
import sys
from typing import NamedTuple

# Between convolutions Lanczos' method multiplies small matrices, and BLAS threads spend that time waiting for each
# other: on two busy cores the program took 14 s with two of them and 1.4 s with one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.sparse.linalg import LinearOperator, svds

from fastconv.toeplitz import toeplitz_matrix, toeplitz_operator

Array = np.ndarray

VALUES = 4

# In parts of the norm.
MAX_RESIDUAL, MAX_DIFFERENCE = 1e-3, 1e-9


class Layer(NamedTuple):
    """A convolution with "same" padding."""

    name: str
    input_shape: tuple[int, int, int]
    weight_shape: tuple[int, int, int, int]
    stride: int = 1


SMALL = (
    Layer("3x3, 4 -> 6", (4, 12, 12), (6, 4, 3, 3)),
    Layer("5x5, 1 -> 6", (1, 20, 20), (6, 1, 5, 5)),
    Layer("3x3, 4 -> 8, stride 2", (4, 14, 14), (8, 4, 3, 3), 2),
)
LARGE = (
    Layer("3x3, 64 -> 64", (64, 56, 56), (64, 64, 3, 3)),
    Layer("7x7, 3 -> 64, stride 2", (3, 112, 112), (64, 3, 7, 7), 2),
)


class Spectrum(NamedTuple):
    """What was found about a layer; None where there is nothing to compare with."""

    matrix: tuple[int, int]
    matrix_bytes: int
    largest: Array
    residual: float
    difference: float | None
    on_the_plane: float | None
    of_the_weights: float


def norm_on_the_plane(weight: Array, samples: int = 32) -> float:
    """Bound the norm of the convolution of an infinite image from above.

    The largest norm on a grid of frequencies is too low. The square of the norm is the largest of trigonometric
    polynomials of degree ``k - 1``, and between `samples` points such a polynomial exceeds its largest value on them by
    at most the factor ``1 / cos(pi (k - 1) / samples)`` along each axis (H. Ehlich, K. Zeller, "Schwankung von
    Polynomen zwischen Gitterpunkten", Mathematische Zeitschrift 86, 1964).
    """
    transfer = np.fft.rfft2(weight, (samples, samples)).transpose(2, 3, 0, 1)
    on_the_grid = np.linalg.norm(transfer, ord=2, axis=(2, 3)).max()
    between = np.cos(np.pi * (np.array(weight.shape[2:]) - 1) / samples).prod()
    return float(on_the_grid / np.sqrt(between))


def residual(operator: LinearOperator, u: Array, s: Array, vt: Array) -> float:
    """Return the largest of ``|A v - s u|`` and ``|A^T u - s v|``, in parts of the largest s."""
    errors = operator @ vt.T - u * s, operator.T @ u - vt.T * s
    return float(max(np.linalg.norm(error, axis=0).max() for error in errors) / s.max())


def examine(layer: Layer, small: bool) -> Spectrum:
    """Compute the largest singular values of a layer with random weights.

    A small layer is computed in float64 to the last digit and by a dense SVD as well, a large one in float32.
    """
    rng = np.random.default_rng(56)
    weight = rng.standard_normal(layer.weight_shape) / np.sqrt(np.prod(layer.weight_shape[1:]))
    weight = weight if small else weight.astype(np.float32)
    arguments = (weight, layer.input_shape, layer.stride, "same")
    operator = toeplitz_operator(*arguments)
    start = rng.standard_normal(min(operator.shape)).astype(operator.dtype)
    # SciPy squares the tolerance: it iterates on A^T A.
    u, s, vt = svds(operator, VALUES, tol=0 if small else np.sqrt(MAX_RESIDUAL / 2), v0=start)
    largest = np.sort(s)[::-1]
    difference = None
    if small:
        exact = np.linalg.svd(toeplitz_matrix(*arguments), compute_uv=False)[:VALUES]
        difference = float(np.abs(largest - exact).max() / exact[0])
    return Spectrum(
        operator.shape,
        operator.dtype.itemsize * operator.shape[0] * operator.shape[1],
        largest,
        residual(operator, u, s, vt),
        difference,
        norm_on_the_plane(weight) if layer.stride == 1 else None,
        float(np.linalg.norm(weight.reshape(len(weight), -1), ord=2)),
    )


def failures(found: Spectrum) -> list[str]:
    """Return what is wrong with a spectrum."""
    norm = found.largest[0]
    wrong = []
    if not found.residual <= MAX_RESIDUAL:
        wrong.append(f"the residual is {found.residual:.1e}, more than {MAX_RESIDUAL:.0e}")
    if found.difference is not None and not found.difference <= MAX_DIFFERENCE:
        wrong.append(f"the dense SVD differs by {found.difference:.1e}, more than {MAX_DIFFERENCE:.0e}")
    if found.on_the_plane is not None and not norm <= found.on_the_plane:
        wrong.append(f"the norm is {norm:.4f}, more than {found.on_the_plane:.4f} on the plane")
    return wrong


def main() -> int:
    """Print a table of the layers; return 1 if a check fails."""
    print(
        f"{'layer':22} {'matrix':>15} {'dense':>9} {'norm':>7} {f'value {VALUES}':>7} {'residual':>8} "
        f"{'to dense':>8} {'plane':>7} {'weights':>7}"
    )
    wrong = []
    for layer in SMALL + LARGE:
        found = examine(layer, layer in SMALL)
        rows, columns = found.matrix
        difference = "-" if found.difference is None else f"{found.difference:.1e}"
        on_the_plane = "-" if found.on_the_plane is None else f"{found.on_the_plane:.4f}"
        print(
            f"{layer.name:22} {f'{rows} x {columns}':>15} {found.matrix_bytes / 1e6:>6.0f} MB {found.largest[0]:7.4f} "
            f"{found.largest[-1]:7.4f} {found.residual:8.0e} {difference:>8} {on_the_plane:>7} "
            f"{found.of_the_weights:7.4f}"
        )
        wrong += [f"{layer.name}: {text}" for text in failures(found)]
    print("\n".join(wrong) or "every check holds")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
