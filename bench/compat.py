"""Times the drop-in layers against plain NumPy on the shapes of the courses they come from: float64, one thread.

Run ``python bench/compat.py``. NumPy is there twice: as courses teach it, with arrays of indices for im2col and the
windows side by side for pooling, and as fast as plain NumPy was made to go here, with one slice for each element of the
kernel or window. Everyone's result is compared before it is timed. Times are medians of interleaved rounds, of the CPU
time of the one thread, so that other processes on the machine do not count.
"""

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastconv as fc
from fastconv.compat import cs231n

Array = NDArray[Any]

# The libraries of matrix products read these when they are loaded.
BLAS_THREADS = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")
CALLS = 2  # in a sample


class Conv(NamedTuple):
    """A convolution: `x` (n, c, h, w), `w` (filters, c, kh, kw)."""

    x: Array
    w: Array
    b: Array
    stride: int
    pad: int

    @property
    def outputs(self) -> tuple[int, int]:
        """Height and width of the result."""
        oh, ow = (
            (size + 2 * self.pad - kernel) // self.stride + 1
            for size, kernel in zip(self.x.shape[2:], self.w.shape[2:], strict=True)
        )
        return oh, ow

    @property
    def padded_shape(self) -> tuple[int, ...]:
        """Shape of `x` with its padding."""
        n, c, h, w = self.x.shape
        return n, c, h + 2 * self.pad, w + 2 * self.pad

    def padded(self) -> Array:
        """Return `x` with its padding."""
        pads = (self.pad, self.pad)
        return np.pad(self.x, ((0, 0), (0, 0), pads, pads))

    def cropped(self, padded: Array) -> Array:
        """Return padded images without their padding."""
        _, _, h, w = self.x.shape
        return padded[:, :, self.pad : self.pad + h, self.pad : self.pad + w]

    def taps(self) -> Iterator[tuple[int, int, slice, slice]]:
        """For each element of the kernel, the pixels of the padded image that it meets."""
        oh, ow = self.outputs
        for u, v in np.ndindex(self.w.shape[2:]):
            rows, columns = (
                slice(start, start + self.stride * (count - 1) + 1, self.stride) for start, count in ((u, oh), (v, ow))
            )
            yield u, v, rows, columns


def columns_by_slices(p: Conv) -> Array:
    """Im2col as (c * kh * kw, n * oh * ow)."""
    (n, c), (kh, kw), padded = p.x.shape[:2], p.w.shape[2:], p.padded()
    columns = np.empty((c, kh, kw, n, *p.outputs))
    for u, v, rows, cols in p.taps():
        columns[:, u, v] = padded[:, :, rows, cols].transpose(1, 0, 2, 3)
    return columns.reshape(c * kh * kw, -1)


def images_by_slices(p: Conv, columns: Array) -> Array:
    """Col2im, of what `columns_by_slices` returns."""
    (n, c), (kh, kw) = p.x.shape[:2], p.w.shape[2:]
    padded = np.zeros(p.padded_shape)
    columns = columns.reshape(c, kh, kw, n, *p.outputs)
    for u, v, rows, cols in p.taps():
        padded[:, :, rows, cols] += columns[:, u, v].transpose(1, 0, 2, 3)
    return p.cropped(padded)


def indices(p: Conv) -> tuple[Any, ...]:
    """Return the indices of (c * kh * kw, oh * ow) elements of the padded images."""
    k, u, v = np.indices(p.w.shape[1:]).reshape(3, -1, 1)
    i, j = np.indices(p.outputs).reshape(2, 1, -1) * p.stride
    return slice(None), k, u + i, v + j


def columns_by_indices(p: Conv) -> Array:
    """Im2col as (c * kh * kw, n * oh * ow)."""
    return p.padded()[indices(p)].transpose(1, 0, 2).reshape(math.prod(p.w.shape[1:]), -1)


def images_by_indices(p: Conv, columns: Array) -> Array:
    """Col2im, of what `columns_by_indices` returns."""
    padded = np.zeros(p.padded_shape)
    np.add.at(padded, indices(p), columns.reshape(len(columns), len(p.x), -1).transpose(1, 0, 2))
    return p.cropped(padded)


def forward(p: Conv, columns: Callable[[Conv], Array]) -> tuple[Array, Array]:
    """Return the output, and the columns for `backward`."""
    matrix, filters = columns(p), len(p.w)
    out = p.w.reshape(filters, -1) @ matrix + p.b[:, np.newaxis]
    return np.ascontiguousarray(out.reshape(filters, len(p.x), *p.outputs).transpose(1, 0, 2, 3)), matrix


def backward(p: Conv, matrix: Array, dout: Array, images: Callable[[Conv, Array], Array]) -> tuple[Array, ...]:
    """Return the gradients of x, w and b."""
    filters = len(p.w)
    rows = dout.transpose(1, 0, 2, 3).reshape(filters, -1)
    return images(p, p.w.reshape(filters, -1).T @ rows), (rows @ matrix.T).reshape(p.w.shape), rows.sum(axis=1)


def conv_cases(name: str, p: Conv, rng: np.random.Generator) -> Iterator[tuple[str, dict[str, Callable[[], Any]]]]:
    """Return both passes of a convolution, each by everyone."""
    param = {"stride": p.stride, "pad": p.pad}
    yield (
        f"{name}, forward",
        {
            "indices": lambda: forward(p, columns_by_indices)[0],
            "slices": lambda: forward(p, columns_by_slices)[0],
            "fastconv": lambda: cs231n.conv_forward_fast(p.x, p.w, p.b, param)[0],
        },
    )
    out, cache = cs231n.conv_forward_fast(p.x, p.w, p.b, param)
    dout, by_indices, by_slices = rng.standard_normal(out.shape), columns_by_indices(p), columns_by_slices(p)
    yield (
        f"{name}, backward",
        {
            "indices": lambda: backward(p, by_indices, dout, images_by_indices),
            "slices": lambda: backward(p, by_slices, dout, images_by_slices),
            "fastconv": lambda: cs231n.conv_backward_fast(dout, cache),
        },
    )


def windows(x: Array) -> Array:
    """Return 2x2 windows as the rows of (n, c, oh, ow, 4)."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 2, 4)


def pool_by_slices(x: Array) -> Array:
    """Maxima of 2x2 windows."""
    top = np.maximum(x[:, :, ::2, ::2], x[:, :, ::2, 1::2])
    return np.maximum(top, np.maximum(x[:, :, 1::2, ::2], x[:, :, 1::2, 1::2]))


def unpool_by_argmax(shape: tuple[int, ...], first: Array, dout: Array) -> Array:
    """Gradient of the maxima that were first in their windows."""
    n, c, h, w = shape
    rows = np.zeros((*first.shape, 4))
    np.put_along_axis(rows, first[..., np.newaxis], dout[..., np.newaxis], axis=-1)
    return rows.reshape(n, c, h // 2, w // 2, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(shape)


def unpool_by_slices(x: Array, out: Array, dout: Array) -> Array:
    """Gradient of the maxima, found by comparison; the first of equal ones in a window takes it."""
    dx, left = np.empty(x.shape), np.ones(out.shape, bool)
    for u, v in np.ndindex(2, 2):
        here = left & (x[:, :, u::2, v::2] == out)
        dx[:, :, u::2, v::2] = here * dout
        left &= ~here
    return dx


def pool_cases(name: str, x: Array, rng: np.random.Generator) -> Iterator[tuple[str, dict[str, Callable[[], Any]]]]:
    """Return both passes of 2x2 max pooling, each by everyone."""
    n, c, h, w = x.shape
    param = {"pool_height": 2, "pool_width": 2, "stride": 2}
    yield (
        f"{name}, forward",
        {
            "reshape": lambda: x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=3).max(axis=4),
            "slices": lambda: pool_by_slices(x),
            "fastconv": lambda: cs231n.max_pool_forward_fast(x, param)[0],
        },
    )
    out, cache = cs231n.max_pool_forward_fast(x, param)
    dout = rng.standard_normal(out.shape)
    yield (
        f"{name}, backward",
        {
            "argmax": lambda: unpool_by_argmax(x.shape, windows(x).argmax(axis=-1), dout),
            "slices": lambda: unpool_by_slices(x, out, dout),
            "fastconv": lambda: cs231n.max_pool_backward_fast(dout, cache),
        },
    )


def cases() -> Iterator[tuple[str, dict[str, Callable[[], Any]]]]:
    """Return what is timed: a title, and who computes it."""
    rng = np.random.default_rng(0)
    draw = rng.standard_normal
    course = Conv(draw((100, 3, 31, 31)), draw((25, 3, 3, 3)), draw(25), 2, 1)
    book = Conv(draw((100, 1, 28, 28)), draw((30, 1, 5, 5)), draw(30), 1, 0)
    yield from conv_cases("conv (100, 3, 31, 31), 25 of 3x3, stride 2, pad 1", course, rng)
    yield from pool_cases("pool (100, 3, 32, 32), 2x2", draw((100, 3, 32, 32)), rng)
    yield from conv_cases("conv (100, 1, 28, 28), 30 of 5x5", book, rng)
    yield from pool_cases("pool (100, 30, 24, 24), 2x2", draw((100, 30, 24, 24)), rng)


def check(calls: dict[str, Callable[[], Any]]) -> None:
    """Everyone's result must be fastconv's, to rounding."""
    expected = calls["fastconv"]()
    for name, call in calls.items():
        for actual, one in zip(*(r if isinstance(r, tuple) else (r,) for r in (call(), expected)), strict=True):
            np.testing.assert_allclose(actual, one, rtol=1e-9, atol=1e-9 * np.abs(one).max(), err_msg=name)


def medians(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the milliseconds of each call. One that is not timed brings its operands back into the caches."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            start = time.thread_time()
            for _ in range(CALLS):
                call()
            samples[name].append((time.thread_time() - start) / CALLS * 1e3)
    return {name: statistics.median(values) for name, values in samples.items()}


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    if any(os.environ.get(name) != count for name, count in BLAS_THREADS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **BLAS_THREADS})
    fc.set_num_threads(1)
    for title, calls in cases():
        check(calls)
        times = medians(calls, options.rounds)
        own = times.pop("fastconv")
        others = "".join(f"  {name} {ms:6.2f} ms = {ms / own:4.1f}x" for name, ms in times.items())
        print(f"{title:60}  fastconv {own:6.3f} ms{others}", flush=True)


if __name__ == "__main__":
    main()
