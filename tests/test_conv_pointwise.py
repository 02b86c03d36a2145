"""Weight gradients of 1x1 kernels: products of two matrices over pixels, in blocks of some pixels."""

from dataclasses import dataclass

import numpy as np
import pytest
from oracle import assert_threads_do_not_change_bits, small_integers

import fastconv.functional as F


@dataclass(frozen=True)
class Case:
    n: int
    size: tuple[int, ...]
    ci: int
    co: int
    stride: tuple[int, ...] = (1, 1)
    groups: int = 1

    @property
    def output(self):
        return tuple((size - 1) // step + 1 for size, step in zip(self.size, self.stride, strict=True))

    def met(self, x):
        """The pixels of x that the kernel meets."""
        return x[(..., *(slice(None, None, step) for step in self.stride))]


CASES = [
    Case(1, (1, 1), 16, 16),
    Case(1, (23, 24), 17, 40),  # parts of an image
    Case(2, (31, 33), 40, 17),  # the same of several, by the other matrix
    Case(3, (16, 32), 31, 33),  # planes of 2 KiB
    Case(40, (5, 7), 33, 65),  # blocks of several images, and chunks of them
    Case(19, (4, 4), 63, 30, groups=3),
    Case(2, (13, 9), 34, 36, stride=(2, 3)),
    Case(3, (40, 50), 16, 18, stride=(2, 1)),  # parts of whole rows
    Case(9, (7, 6), 48, 32, stride=(1, 4), groups=2),
    Case(2, (4, 5, 9), 17, 20, stride=(1, 1, 1)),
    Case(2, (5, 7, 9), 20, 17, stride=(2, 3, 1)),
    Case(3, (6, 90), 512, 530),  # weights of more than 1 MiB: blocks of fewer pixels, bands of channels
    Case(2, (3, 5), 530, 512, stride=(2, 2)),
]


def gradient(case, data_format, x, gy):
    """grad_weight, channels first, of arrays that have channels first."""
    backward = F.conv3d_backward if len(case.size) == 3 else F.conv2d_backward
    kernel = (1,) * len(case.size)
    w = np.zeros((case.co, case.ci // case.groups, *kernel), x.dtype)
    if data_format == "channels_last":
        x, gy = (np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in (x, gy))
        w = np.zeros((*kernel, case.ci // case.groups, case.co), x.dtype)
    options = {"stride": case.stride, "groups": case.groups, "data_format": data_format, "algorithm": "direct"}
    _, gw, _ = backward(gy, x, w, needs=("weight",), **options)
    gw = gw.reshape(w.shape[-2:] if data_format == "channels_last" else w.shape[:2])
    return gw.T if data_format == "channels_last" else gw


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_exact_on_small_integers(case, data_format, isa, threads, dtype, rng):
    x = small_integers(rng, (case.n, case.ci, *case.size))
    gy = small_integers(rng, (case.n, case.co, *case.output))
    by_group = (case.n, case.groups, -1, int(np.prod(case.output)))
    products = np.matmul(gy.reshape(by_group), case.met(x).reshape(by_group).swapaxes(2, 3)).sum(axis=0)
    gw = gradient(case, data_format, x.astype(dtype), gy.astype(dtype))
    np.testing.assert_array_equal(gw, products.reshape(gw.shape))


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_threads_do_not_change_bits(case, data_format, isa, dtype, rng):
    x = rng.standard_normal((case.n, case.ci, *case.size)).astype(dtype)
    gy = rng.standard_normal((case.n, case.co, *case.output)).astype(dtype)
    assert_threads_do_not_change_bits(lambda: [gradient(case, data_format, x, gy)])


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_a_pixel_that_is_not_finite_stays_in_its_channel(data_format, isa, dtype, rng):
    case = Case(3, (9, 11), 20, 24, stride=(2, 2))
    x = rng.standard_normal((case.n, case.ci, *case.size)).astype(dtype)
    gy = rng.standard_normal((case.n, case.co, *case.output)).astype(dtype)
    expected = gradient(case, data_format, x, gy)
    x[1, 5, 3, 4] = np.nan  # a pixel that no window meets
    np.testing.assert_array_equal(gradient(case, data_format, x, gy), expected)
    x[1, 5, 4, 4] = np.inf
    gw = gradient(case, data_format, x, gy)
    assert not np.isfinite(gw[:, 5]).any()
    np.testing.assert_array_equal(np.delete(gw, 5, axis=1), np.delete(expected, 5, axis=1))
