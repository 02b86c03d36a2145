"""filter2d agrees with scipy.ndimage in every mode, and returns images as it got them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv as fc
from fastconv.image import KERNELS, filter2d

MODES = ["reflect", "constant", "nearest", "mirror", "wrap"]


@st.composite
def cases(draw, dtypes):
    """Draw an image, a kernel, a mode, `flip` and `cval`; kernels reach beyond small images several times over."""
    size = st.integers(1, 6)
    shape = draw(st.one_of(st.tuples(size, size), st.tuples(size, size, st.integers(1, 4))))
    kernel_shape = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    if dtype.kind == "f":
        image, kernel = rng.normal(size=shape).astype(dtype), rng.normal(size=kernel_shape)
    else:
        # Quarters: every sum is exact, and halves have to be rounded.
        limits = np.iinfo(dtype)
        image = rng.integers(max(limits.min, -(2**20)), min(limits.max, 2**20), shape, dtype, endpoint=True)
        kernel = rng.integers(-6, 7, kernel_shape) / 4
    return image, kernel, draw(st.sampled_from(MODES)), draw(st.booleans()), draw(st.sampled_from([0.0, 2.5, -7.0]))


def by_scipy(image, kernel, mode, flip, cval):
    """Filter each channel in float64 and return (h, w, c)."""
    ndimage = pytest.importorskip("scipy.ndimage")
    function = ndimage.convolve if flip else ndimage.correlate
    planes = np.atleast_3d(image).astype(np.float64)
    filtered = [function(planes[..., channel], kernel, mode=mode, cval=cval) for channel in range(planes.shape[2])]
    return np.stack(filtered, axis=-1)


@given(case=cases(["float32", "float64"]))
def test_floats_agree_with_scipy(case):
    image, kernel, mode, flip, cval = case
    result = filter2d(image, kernel, mode, flip, cval=cval)
    assert (result.shape, result.dtype) == (image.shape, image.dtype)
    expected = by_scipy(image, kernel, mode, flip, cval)
    bound = by_scipy(np.abs(image), np.abs(kernel), mode, flip, abs(cval))
    error = np.abs(np.atleast_3d(result) - expected)
    assert (error <= 2 * (kernel.size + 1) * np.finfo(image.dtype).eps * bound).all()


@given(case=cases(["uint8", "int8", "uint16", "int16", "int32", "int64"]))
def test_integers_are_rounded_and_clipped_to_their_type(case):
    image, kernel, mode, flip, cval = case
    result = filter2d(image, kernel, mode, flip, cval=cval)
    assert (result.shape, result.dtype) == (image.shape, image.dtype)
    limits = np.iinfo(image.dtype)
    expected = np.clip(np.rint(by_scipy(image, kernel, mode, flip, cval)), limits.min, limits.max)
    np.testing.assert_array_equal(np.atleast_3d(result), expected)


def test_kernel_is_not_flipped_unless_asked():
    point = np.zeros((5, 5))
    point[2, 2] = 1
    kernel = np.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(filter2d(point, kernel)[1:4, 1:4], kernel[::-1, ::-1])
    np.testing.assert_array_equal(filter2d(point, kernel, flip=True)[1:4, 1:4], kernel)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "uint8"])
def test_the_ends_of_a_type_do_not_wrap(dtype):
    limits = np.iinfo(dtype)
    image = np.full((3, 3), limits.max, dtype)
    close = int(filter2d(image, [[3]])[1, 1])
    assert limits.max - 1024 * (limits.bits == 64) * (1 + (limits.min == 0)) <= close <= limits.max
    assert filter2d(image, [[-3]])[1, 1] == limits.min


def test_float16_is_returned_as_float16():
    image = np.arange(12, dtype=np.float16).reshape(3, 4)
    result = filter2d(image, KERNELS["edge_detect"])
    assert result.dtype == np.float16
    np.testing.assert_array_equal(result, filter2d(image.astype(np.float64), KERNELS["edge_detect"]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_pixel_stays_within_its_window(bad):
    image = np.ones((6, 40, 2), np.float32)
    image[3, 20, 1] = bad
    affected = ~np.isfinite(filter2d(image, np.ones((3, 3))))
    expected = np.zeros(image.shape, bool)
    expected[2:5, 19:22, 1] = True
    np.testing.assert_array_equal(affected, expected)


def test_a_border_may_be_nan():
    result = filter2d(np.ones((4, 40)), np.ones((3, 3)), "constant", cval=np.nan)
    assert np.isfinite(result).sum() == 2 * 38


@pytest.mark.parametrize("shape", [(0, 4), (4, 0, 3), (4, 4, 0)])
@pytest.mark.parametrize("mode", MODES)
def test_an_empty_image_stays_empty(shape, mode):
    result = filter2d(np.zeros(shape, np.uint8), np.ones((3, 3)), mode)
    assert (result.shape, result.dtype) == (shape, np.uint8)


def test_image_and_kernel_are_not_changed_and_not_shared():
    image, kernel = np.arange(24.0).reshape(4, 6), np.ones((1, 1))
    for view in (image, image[::2, ::-1], np.asfortranarray(image)):
        kept = view.copy()
        result = filter2d(view, kernel)
        np.testing.assert_array_equal(result, kept)
        assert not np.shares_memory(result, view)
        assert result.flags.c_contiguous


def test_the_kernels_are_those_of_the_course():
    assert KERNELS["sharpen"].tolist() == [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
    assert KERNELS["box_blur"].tolist() == [[1 / 9] * 3] * 3
    assert KERNELS["edge_enhance"].tolist() == [[0, 0, 0], [-1, 1, 0], [0, 0, 0]]
    assert KERNELS["edge_detect"].tolist() == [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    assert KERNELS["emboss"].tolist() == [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]
    assert KERNELS["sobel_x"].tolist() == [[1, 0, -1], [2, 0, -2], [1, 0, -1]]
    np.testing.assert_array_equal(KERNELS["sobel_y"], KERNELS["sobel_x"].T)
    for name, total in {"identity": 1, "sharpen": 1, "box_blur": 1, "gaussian_blur": 1, "edge_detect": 0}.items():
        assert KERNELS[name].sum() == pytest.approx(total)


def test_the_kernels_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        KERNELS["sharpen"][1, 1] = 0
    with pytest.raises(TypeError, match="does not support item assignment"):
        KERNELS["mine"] = np.ones((3, 3))


def test_fc_image_is_the_module():
    assert fc.image.filter2d is filter2d


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image": np.ones(4)}, ValueError, r"image must have shape \(h, w\) or \(h, w, c\), got \(4,\)"),
        ({"image": np.ones((1, 2, 3, 4))}, ValueError, r"image must have shape .*, got \(1, 2, 3, 4\)"),
        ({"image": np.ones((2, 2), bool)}, TypeError, "image must hold integers or floats, got bool"),
        ({"image": np.ones((2, 2), complex)}, TypeError, "image must have .* dtype, got complex128"),
        ({"kernel": np.ones(3)}, ValueError, r"kernel must have shape \(kh, kw\), at least \(1, 1\), got \(3,\)"),
        ({"kernel": np.ones((0, 3))}, ValueError, r"kernel must have shape .*, got \(0, 3\)"),
        ({"kernel": np.eye(2, dtype=bool)}, TypeError, "kernel must hold integers or floats, got bool"),
        ({"kernel": [[1, np.nan]]}, ValueError, "kernel must be finite, got nan"),
        ({"mode": "edge"}, ValueError, "mode must be one of 'reflect', .*'wrap', got 'edge'"),
        ({"cval": np.inf}, ValueError, "cval must be finite for an image of integers, got inf"),
    ],
)
def test_refuses(arguments, error, message):
    with pytest.raises(error, match=f"filter2d: {message}"):
        filter2d(**{"image": np.ones((2, 2), int), "kernel": np.ones((3, 3)), **arguments})
