"""Filters for pictures: correlation or convolution of an image with one small kernel, as in ``scipy.ndimage``."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastconv.functional as F
from fastconv._checks import to_array

__all__ = ["KERNELS", "filter2d"]

Array = NDArray[Any]

# scipy.ndimage's words for what lies beyond the border, and NumPy's.
_PAD_MODES = {"reflect": "symmetric", "constant": "constant", "nearest": "edge", "mirror": "reflect", "wrap": "wrap"}


def _kernels(**kernels: ArrayLike) -> Mapping[str, NDArray[np.float64]]:
    arrays = {name: np.array(values, np.float64) for name, values in kernels.items()}
    for array in arrays.values():
        array.flags.writeable = False
    return MappingProxyType(arrays)


KERNELS = _kernels(
    identity=[[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    sharpen=[[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    box_blur=np.full((3, 3), 1 / 9),
    gaussian_blur=np.outer([1, 2, 1], [1, 2, 1]) / 16,
    edge_enhance=[[0, 0, 0], [-1, 1, 0], [0, 0, 0]],
    edge_detect=[[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    emboss=[[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
    sobel_x=[[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    sobel_y=[[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
)
"""Kernels of 3x3 by name, to be given to `filter2d`; read-only.

"sobel_x" is positive where the left is brighter than the right and "sobel_y", its transpose, where the top is brighter
than the bottom: the signs of a kernel that is not flipped, opposite to those of ``scipy.ndimage.sobel``.
"""


def filter2d(
    image: ArrayLike, kernel: ArrayLike, mode: str = "reflect", flip: bool = False, *, cval: float = 0.0
) -> Array:
    r"""Filter an image with a kernel.

    .. math::

        y[i, j, c] = \sum_{u, v} k[u, v] \; x[i + u - \lfloor k_h / 2 \rfloor,\; j + v - \lfloor k_w / 2 \rfloor,\; c]

    and with `flip`, true convolution:

    .. math::

        y[i, j, c] = \sum_{u, v} k[u, v] \; x[i - u + \lfloor k_h / 2 \rfloor,\; j - v + \lfloor k_w / 2 \rfloor,\; c]

    Parameters
    ----------
    image : array_like, shape (h, w) or (h, w, c)
        Integers or floats, grey or with channels, each of which is filtered by itself.
    kernel : array_like, shape (kh, kw)
        Of any size, also even or larger than the image; some stand in `KERNELS`.
    mode : {"reflect", "constant", "nearest", "mirror", "wrap"}
        What lies beyond the border of a row ``a b c d``:

        =========== =============================== =========================================
        "reflect"   ``d c b a | a b c d | d c b a`` reflected about the edge of the last pixel
        "constant"  ``v v v v | a b c d | v v v v`` `cval`
        "nearest"   ``a a a a | a b c d | d d d d`` the last pixel
        "mirror"    ``. d c b | a b c d | c b a .`` reflected about the centre of the last pixel
        "wrap"      ``a b c d | a b c d | a b c d`` the image again
        =========== =============================== =========================================
    flip : bool
        Whether to turn the kernel by 180 degrees first.
    cval : float
        What lies beyond the border with ``mode="constant"``.

    Returns
    -------
    ndarray
        A new array of the shape and dtype of `image`. Integers are rounded, half to even, and clipped to the range of
        their type.

    Raises
    ------
    TypeError
        Complex, boolean or object arrays.
    ValueError
        An image or a kernel of another number of axes, an empty kernel or one with NaN or infinity, an unknown mode, a
        `cval` that is not finite for integers.

    Notes
    -----
    ``2 * h * w * c * kh * kw`` operations in one call of `fastconv.functional.conv2d`, in ``np.result_type(image,
    np.float32)``, whatever the dtype of the kernel. A NaN or infinite pixel reaches the ``kh * kw`` results around it,
    also through weights of zero.

    References
    ----------
    ``scipy.ndimage.correlate`` and ``scipy.ndimage.convolve``, for the modes and for where the centre of a kernel is.
    They return integers truncated, and wrap those that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.image import KERNELS, filter2d
    >>> step = np.array([[10, 10, 90, 90]] * 3, np.uint8)
    >>> filter2d(step, KERNELS["sharpen"])[1]
    array([ 10,   0, 170,  90], dtype=uint8)
    >>> filter2d(step, KERNELS["box_blur"])[1]
    array([10, 37, 63, 90], dtype=uint8)
    """
    pixels, weights = to_array("filter2d", "image", image), to_array("filter2d", "kernel", kernel)
    _check(pixels, weights, mode, cval)
    if pixels.size == 0:
        return pixels.copy()
    compute = np.result_type(pixels, np.float32)
    # A batch of grey images with channels last: what the core reads without staging.
    planes = np.moveaxis(pixels.reshape(*pixels.shape[:2], -1), -1, 0).astype(compute, order="C")
    padded = _pad(planes, weights.shape, mode, flip, cval)
    finite = pixels.dtype.kind != "f" or bool(np.isfinite(padded).all())
    if flip:
        weights = weights[::-1, ::-1]
    filtered = F.conv2d(
        padded[..., np.newaxis],
        weights.astype(compute)[..., np.newaxis, np.newaxis],
        data_format="channels_last",
        # The others may multiply pixels outside of the window by zero, which a NaN survives.
        algorithm="auto" if finite else "direct",
    )
    result = np.moveaxis(_as_type(filtered[..., 0], pixels.dtype), 0, -1)
    return np.ascontiguousarray(result).reshape(pixels.shape)


def _check(image: Array, kernel: Array, mode: str, cval: float) -> None:
    for name, array in (("image", image), ("kernel", kernel)):
        if array.dtype == bool:
            raise TypeError(f"filter2d: {name} must hold integers or floats, got {array.dtype}")
    if image.ndim not in (2, 3):
        raise ValueError(f"filter2d: image must have shape (h, w) or (h, w, c), got {image.shape}")
    if kernel.ndim != 2 or kernel.size == 0:
        raise ValueError(f"filter2d: kernel must have shape (kh, kw), at least (1, 1), got {kernel.shape}")
    if not np.isfinite(kernel).all():
        raise ValueError(f"filter2d: kernel must be finite, got {kernel[~np.isfinite(kernel)][0]}")
    if image.dtype.kind != "f" and not np.isfinite(cval):
        raise ValueError(f"filter2d: cval must be finite for an image of integers, got {cval}")
    if mode not in _PAD_MODES:
        raise ValueError(f"filter2d: mode must be one of {', '.join(map(repr, _PAD_MODES))}, got {mode!r}")


def _pad(planes: Array, kernel: tuple[int, ...], mode: str, flip: bool, cval: float) -> Array:
    """Surround planes (c, h, w) by what the kernel reaches beyond them.

    The centre of a kernel of even size is the later of its two middles, before it is flipped.
    """
    widths = [(0, 0)]
    for size in kernel:
        less, more = (size - 1) // 2, size // 2
        widths.append((less, more) if flip else (more, less))
    constant = {"constant_values": cval} if mode == "constant" else {}
    return np.pad(planes, widths, _PAD_MODES[mode], **constant)  # type: ignore[call-overload, no-any-return]


def _as_type(values: Array, dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "f":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    lowest, highest = values.dtype.type(limits.min), values.dtype.type(limits.max)
    if int(highest) > limits.max:
        # The largest 64-bit integers are no floats: the next float above would overflow.
        highest = np.nextafter(highest, lowest)
    np.rint(values, out=values)
    return np.clip(values, lowest, highest, out=values).astype(dtype)
