"""Resizing along the spatial axes, and its gradient."""

import math
import operator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv._checks import Array, Dtype, channels_last, check_shape, deliver, one_of, to_arrays
from fastconv.functional._axis_maps import AxisMap, apply_maps, axis_map, identity

_LINEAR_MODES = ("linear", "bilinear", "trilinear")


def interpolate(
    input: ArrayLike,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Resize each channel along its one to three spatial axes.

    Axis by axis, output :math:`i` is taken from the place :math:`u` of the input. With
    :math:`s = \text{inputs} / \text{outputs}`, or 1 / `scale_factor` where that is given and not recomputed,

    .. math::

        \text{nearest:} \quad & y_i = x_{\lfloor s i \rfloor} \\
        \text{nearest-exact:} \quad & y_i = x_{\lfloor s (i + 1/2) \rfloor} \\
        \text{linear:} \quad & y_i = (1 - u + \lfloor u \rfloor) \, x_{\lfloor u \rfloor}
            + (u - \lfloor u \rfloor) \, x_{\lfloor u \rfloor + 1}, \quad u = \max(0, s (i + 1/2) - 1/2) \\
        \text{area:} \quad & y_i = \text{mean of } x_k, \;
            \lfloor i \, \text{inputs} / \text{outputs} \rfloor \le k <
            \lceil (i + 1) \, \text{inputs} / \text{outputs} \rceil

    Places behind the last element count as it. With `align_corners` :math:`u = i (\text{inputs} - 1) /
    (\text{outputs} - 1)`: the first and last elements stay where they are.

    Parameters
    ----------
    input : array_like, shape (n, c, l), (n, c, h, w) or (n, c, d, h, w)
        With ``data_format="channels_last"``: (n, l, c), (n, h, w, c) or (n, d, h, w, c). `n` may be 0.
    size : int or tuple of int, optional
        Of the output: one number for all spatial axes or one for each. Either this or `scale_factor`.
    scale_factor : float or tuple of float, optional
        The output has ``floor(inputs * scale_factor)`` elements.
    mode : {"nearest", "nearest-exact", "linear", "bilinear", "trilinear", "area"}
        "linear" is for one spatial axis, "bilinear" for two, "trilinear" for three.
    align_corners : bool, optional
        For the linear modes; None is False.
    recompute_scale_factor : bool, optional
        With `scale_factor`: use it for the output's size only, and resize by the quotient of the sizes.
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    ndarray, shape (n, c, spatial axes) or (n, spatial axes, c)
        In the layout of the input. float16, float32 and float64 keep their dtype; integers and booleans become
        ``np.result_type(input, np.float32)``.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; sizes that are not integers, factors that are not numbers.
    ValueError
        A shape, size or factor out of range; `size` and `scale_factor` both or neither given; a mode that is unknown or
        for another number of axes; `align_corners` or `recompute_scale_factor` where they have no meaning.
    NotImplementedError
        Mode "bicubic".
    MemoryError
        No memory for the result.

    See Also
    --------
    interpolate_backward : the gradient.

    Notes
    -----
    As in torch, "nearest" and "nearest-exact" find their places in single precision whatever the input's dtype.
    Whatever the factor, "nearest" and the linear modes copy an axis whose size stays as it is, and "nearest" repeats
    each element where the size doubles: so does torch with images and in all its gradients, but not in the values
    of "nearest" over one and three axes.

    References
    ----------
    ``torch.nn.functional.interpolate``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> F.interpolate(x, scale_factor=(1, 2))
    array([[[[1., 1., 2., 2.],
             [3., 3., 4., 4.]]]])
    >>> F.interpolate(x, size=(2, 4), mode="bilinear")
    array([[[[1.  , 1.25, 1.75, 2.  ],
             [3.  , 3.25, 3.75, 4.  ]]]])
    >>> F.interpolate(x, size=3, mode="bilinear", align_corners=True)
    array([[[[1. , 1.5, 2. ],
             [2. , 2.5, 3. ],
             [3. , 3.5, 4. ]]]])
    """
    last = channels_last("interpolate", data_format)
    (x,), dtype = to_arrays("interpolate", ("input",), (input,))
    sizes = _spatial_sizes("interpolate", x.shape, last)
    resizings = _resizings("interpolate", sizes, size, scale_factor, mode, align_corners, recompute_scale_factor)
    maps = [_map(resizing, x.dtype, transposed=False) for resizing in resizings]
    return deliver(apply_maps(x, maps, channels_last=last), None, dtype)


def interpolate_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of resizing: each element of the input gathers from the outputs that it went to.

    .. math:: \frac{\partial L}{\partial x_k} = \sum_i w_{ik} \frac{\partial L}{\partial y_i}
              \quad \text{where} \quad y_i = \sum_k w_{ik} x_k

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, size, scale_factor, mode, align_corners, recompute_scale_factor, data_format
        As they were given to `interpolate`. Of `input` only shape and dtype matter.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `interpolate`.

    Raises
    ------
    TypeError, ValueError, NotImplementedError, MemoryError
        As `interpolate`; also a `grad_output` of another shape than the output.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.interpolate_backward(np.array([[[1.0, 2.0, 3.0, 4.0]]]), np.zeros((1, 1, 2)), scale_factor=2)
    array([[[3., 7.]]])
    """
    name = "interpolate_backward"
    last = channels_last(name, data_format)
    (gy, x), dtype = to_arrays(name, ("grad_output", "input"), (grad_output, input))
    sizes = _spatial_sizes(name, x.shape, last)
    resizings = _resizings(name, sizes, size, scale_factor, mode, align_corners, recompute_scale_factor)
    outputs = tuple(resizing[2] for resizing in resizings)
    shape = (len(x), *outputs, x.shape[-1]) if last else (*x.shape[:2], *outputs)
    check_shape(name, "grad_output", gy, shape, ", that of the output")
    maps = [_map(resizing, x.dtype, transposed=True) for resizing in resizings]
    return deliver(apply_maps(gy, maps, channels_last=last), None, dtype)


# One axis: mode, inputs, outputs, align_corners, and inputs for each output (None: by the sizes).
_Resizing = tuple[str, int, int, bool, float | None]


def _spatial_sizes(function: str, shape: tuple[int, ...], last: bool) -> tuple[int, ...]:
    if not 3 <= len(shape) <= 5:
        forms = "(n, l, c), (n, h, w, c) or (n, d, h, w, c)" if last else "(n, c, l), (n, c, h, w) or (n, c, d, h, w)"
        raise ValueError(f"{function}: input must have shape {forms}, got {shape}")
    sizes = shape[1:-1] if last else shape[2:]
    if 0 in sizes:
        raise ValueError(f"{function}: input must have positive spatial sizes, got shape {shape}")
    return sizes


def _resizings(
    function: str,
    sizes: tuple[int, ...],
    size: Any,
    scale_factor: Any,
    mode: str,
    align_corners: bool | None,
    recompute_scale_factor: bool | None,
) -> list[_Resizing]:
    """Return what happens on each axis."""
    _check_mode(function, mode, len(sizes), align_corners)
    if (size is None) == (scale_factor is None):
        given = "neither" if size is None else f"size={size!r} and scale_factor={scale_factor!r}"
        raise ValueError(f"{function}: size or scale_factor must be given, and not both, got {given}")
    scales: tuple[float | None, ...] = (None,) * len(sizes)
    if scale_factor is None:
        if recompute_scale_factor:
            raise ValueError(f"{function}: recompute_scale_factor must not be set where size is given, got size={size}")
        outputs = tuple(_integer(function, entry) for entry in _per_axis(function, "size", size, len(sizes)))
        asked = f"size={size!r}"
    else:
        factors = [_factor(function, entry) for entry in _per_axis(function, "scale_factor", scale_factor, len(sizes))]
        outputs = tuple(int(inputs * factor) for inputs, factor in zip(sizes, factors, strict=True))
        asked = f"scale_factor={scale_factor!r}"
        if not recompute_scale_factor and mode != "area":
            scales = tuple(1 / factor for factor in factors)
    if min(outputs) < 1:
        raise ValueError(
            f"{function}: output must have positive spatial sizes, got {outputs} for inputs {sizes}, {asked}"
        )
    return [
        (mode, inputs, output, bool(align_corners), scale)
        for inputs, output, scale in zip(sizes, outputs, scales, strict=True)
    ]


def _check_mode(function: str, mode: str, axes: int, align_corners: bool | None) -> None:
    if isinstance(mode, str) and mode == "bicubic":
        raise NotImplementedError(f"{function}: mode 'bicubic' is not supported, use 'bilinear'")
    modes = ("nearest", "nearest-exact", "area", _LINEAR_MODES[axes - 1])
    one_of(function, "mode", mode, modes, f" for {axes} spatial {'axis' if axes == 1 else 'axes'}")
    if align_corners is not None and mode not in _LINEAR_MODES:
        raise ValueError(f"{function}: align_corners must be None for mode {mode!r}, got {align_corners!r}")


def _per_axis(function: str, name: str, value: Any, axes: int) -> tuple[Any, ...]:
    if isinstance(value, str) or np.ndim(value) == 0:
        return (value,) * axes
    entries = tuple(value)
    if len(entries) != axes:
        raise ValueError(f"{function}: {name} must be one number or one for each of {axes} axes, got {entries}")
    return entries


def _integer(function: str, size: Any) -> int:
    if isinstance(size, bool):
        raise TypeError(f"{function}: size must consist of integers, got {size!r}")
    try:
        return operator.index(size)
    except TypeError:
        raise TypeError(f"{function}: size must consist of integers, got {size!r}") from None


def _factor(function: str, factor: Any) -> float:
    if isinstance(factor, bool) or not isinstance(factor, int | float | np.integer | np.floating):
        raise TypeError(f"{function}: scale_factor must consist of numbers, got {factor!r}")
    if not 0 < factor < math.inf:
        raise ValueError(f"{function}: scale_factor must be positive and finite, got {factor!r}")
    return float(factor)


@lru_cache(maxsize=256)
def _map(resizing: _Resizing, dtype: Dtype, transposed: bool) -> AxisMap:
    """Return the map of one axis. A network resizes the same sizes at every step, so maps are kept."""
    if transposed:
        return _map(resizing, dtype, transposed=False).transposed()
    mode, inputs, outputs, align_corners, scale = resizing
    if mode in _LINEAR_MODES:
        return _linear_map(inputs, outputs, align_corners, scale, dtype)
    if mode == "area":
        return _area_map(inputs, outputs, dtype)
    if mode == "nearest" and outputs in (inputs, 2 * inputs):
        scale = None
    half = np.float32(0.5 if mode == "nearest-exact" else 0)
    step = np.float32(inputs) / np.float32(outputs) if scale is None else np.float32(scale)
    place = np.floor((np.arange(outputs, dtype=np.float32) + half) * step).astype(np.int64)
    index = np.minimum(place, inputs - 1)[:, np.newaxis]
    return axis_map(inputs, index, np.ones(index.shape), dtype)


def _linear_map(inputs: int, outputs: int, align_corners: bool, scale: float | None, dtype: Dtype) -> AxisMap:
    if inputs == outputs:
        return identity(inputs)
    output = np.arange(outputs)
    if align_corners:
        place = output * ((inputs - 1) / max(outputs - 1, 1))
    else:
        place = np.maximum((output + 0.5) * (inputs / outputs if scale is None else scale) - 0.5, 0)
    left = np.minimum(place.astype(np.int64), inputs - 1)
    # The last element has no right neighbour, and is all there is.
    right_weight = np.where(left == inputs - 1, 0.0, place - left)
    return axis_map(inputs, np.stack([left, left + 1], -1), np.stack([1 - right_weight, right_weight], -1), dtype)


def _area_map(inputs: int, outputs: int, dtype: Dtype) -> AxisMap:
    output = np.arange(outputs)
    first, last = output * inputs // outputs, -(-(output + 1) * inputs // outputs)
    taps = np.arange(int((last - first).max()))
    index = first[:, np.newaxis] + taps
    count = (last - first)[:, np.newaxis]
    return axis_map(inputs, np.where(taps < count, index, -1), np.broadcast_to(1 / count, index.shape), dtype)
