"""Convolution with weights that are packed once."""

import threading
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._checks import Array, channels_last, check_shape, deliver, output_buffer, to_array, to_arrays
from fastconv._memory import empty
from fastconv.functional import _algorithms
from fastconv.functional._algorithms import AUTO, FORWARD
from fastconv.functional._conv import activation_number
from fastconv.geometry import Geometry, conv_geometry

# Packed copies of the weights that are kept: one for each algorithm and dtype in use, which are rarely more than two.
_MOST_PACKED = 4
_MOST_PLANS = 64
_NAME = "prepare_conv2d"


class PreparedConv2D:
    """A convolution with its own copy of the weights; `prepare_conv2d` makes it.

    Calling it is `conv2d` with the arguments that it was made with. It may be called from several threads at once, and
    pickled: what is stored are the weights as they were given, to be packed anew for the machine that loads them.
    """

    def __init__(
        self,
        weight: ArrayLike,
        bias: ArrayLike | None,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
        *,
        activation: str | None,
        data_format: str,
        algorithm: str,
    ) -> None:
        last = channels_last(_NAME, data_format)
        w, b = to_array(_NAME, "weight", weight), None if bias is None else to_array(_NAME, "bias", bias)
        if w.ndim != 4:
            raise ValueError(f"{_NAME}: weight must have four axes, got shape {w.shape}")
        activation_number(_NAME, activation)
        _algorithms.check_name(_NAME, algorithm)
        # An empty batch of images that any kernel fits into checks all but the input.
        side, in_groups = 2**31 - 1, int(groups) if isinstance(groups, int | np.integer) else 1
        channels = w.shape[2 if last else 1] * in_groups
        images = (0, side, side, channels) if last else (0, channels, side, side)
        geometry, _ = conv_geometry(_NAME, images, w.shape, stride, padding, dilation, groups, channels_last=last)
        if b is not None:
            check_shape(_NAME, "bias", b, (geometry.out_channels,), " for as many output channels")
        unmet = _algorithms.unmet_condition(geometry, algorithm)
        if unmet is not None:
            raise ValueError(f"{_NAME}: algorithm {algorithm!r} {unmet}")
        pads = tuple(zip(geometry.pad_lo, geometry.pad_hi, strict=True))[1:]
        self._options: dict[str, Any] = {
            "stride": geometry.stride[1:],
            "padding": padding if isinstance(padding, str) else pads,
            "dilation": geometry.dilation[1:],
            "groups": geometry.groups,
        }
        self._activation, self._last, self._algorithm = activation, last, algorithm
        self._weight, self._bias = _frozen(w), None if b is None else _frozen(b)
        self._start()

    def _start(self) -> None:
        # Only its dtype matters: that of a result depends on those of weight and bias.
        given = (self._weight,) if self._bias is None else (self._weight, self._bias)
        self._of_weight_dtype = np.empty(0, np.result_type(*given))
        self._packed: dict[tuple[Any, ...], Array] = {}
        self._plans = _core.Plans(_MOST_PLANS)
        self._lock = threading.Lock()

    def __call__(self, input: ArrayLike, out: Array | None = None) -> Array:
        """Compute what `conv2d` would.

        Parameters
        ----------
        input : array_like, shape (n, c_in, h, w) or (c_in, h, w)
            In the data format that was chosen, of any size that the kernel fits into.
        out : ndarray, optional
            As for `conv2d`.

        Returns
        -------
        ndarray
            As `conv2d`.

        Raises
        ------
        TypeError, ValueError, MemoryError
            As `conv2d`.
        """
        state = _algorithms.state()
        plan = self._plans.find(state, input)
        if plan is not None:
            done: Array | None = plan.run(input, out)
            if done is not None:
                return done
        (x, _), dtype = to_arrays(_NAME, ("input", "weight"), (input, self._of_weight_dtype))
        last, float64 = self._last, x.itemsize == 8
        geometry, shape = conv_geometry(_NAME, x.shape, self._weight.shape, **self._options, channels_last=last)
        asked = _algorithms.number(_NAME, self._algorithm, geometry, float64, last, FORWARD)
        packed = self._packed_for(geometry, asked, x.dtype)
        activation = activation_number(_NAME, self._activation)
        plan = _core.PackedConvolution(geometry, shape, last, last, packed, self._bias is not None, activation, asked)
        self._plans.keep(plan, state, input)
        y = output_buffer(_NAME, "out", out, shape, dtype, (x,))
        plan.run(x, y)
        return deliver(y, out, dtype)

    def _packed_for(self, geometry: Geometry, algorithm: int, dtype: np.dtype[Any]) -> Array:
        float64 = dtype.itemsize == 8
        form = _core.packed_form(geometry, float64, self._last, self._last, algorithm)
        chosen = algorithm
        if algorithm == AUTO:
            chosen = _core.choose(geometry, float64, self._last, FORWARD, algorithm, True)
        key = (chosen, form, dtype, _core.isa())  # the width of panels is that of the instruction set
        packed = self._packed.get(key)
        if packed is None:
            packed = self._pack(geometry, algorithm, dtype)
            with self._lock:
                if len(self._packed) >= _MOST_PACKED:
                    self._plans.clear()  # they hold packings
                    del self._packed[next(iter(self._packed))]
                self._packed[key] = packed
        return packed

    def _pack(self, geometry: Geometry, algorithm: int, dtype: np.dtype[Any]) -> Array:
        w = np.ascontiguousarray(self._weight, dtype)
        b = None if self._bias is None else np.ascontiguousarray(self._bias, dtype)
        last = self._last
        packed = empty((_core.packed_elements(geometry, w.itemsize == 8, last, last, algorithm),), dtype)
        _core.pack(geometry, last, last, w, b, packed, algorithm)
        return packed

    def __getstate__(self) -> dict[str, Any]:
        unshared = ("_packed", "_plans", "_lock", "_of_weight_dtype")
        return {name: value for name, value in self.__dict__.items() if name not in unshared}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def __repr__(self) -> str:
        names = {"activation": self._activation, "algorithm": self._algorithm}
        options = ", ".join(f"{name}={value!r}" for name, value in {**self._options, **names}.items())
        layout = "channels_last" if self._last else "channels_first"
        bias = "with bias" if self._bias is not None else "without bias"
        weight = f"weight {self._weight.shape} {self._weight.dtype} {bias}"
        return f"<PreparedConv2D: {weight}, {options}, data_format={layout!r}>"


def prepare_conv2d(
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
    data_format: str = "channels_first",
    algorithm: str = "auto",
) -> PreparedConv2D:
    """Freeze the weights of a convolution, so that they are packed and transformed once and not at every call.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, activation, data_format, algorithm
        As for `conv2d`. The arrays are copied: later changes do not reach the result.

    Returns
    -------
    PreparedConv2D
        A function ``y = conv(x, out=None)`` with the result of ``conv2d(x, weight, bias, ...)``: bit for bit where an
        algorithm is named; "auto" may take another one, since packing costs nothing any more. It may be called from
        several threads at once, and pickled.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`, for all but the input, which is checked at each call.

    Notes
    -----
    Worth it where the weights are large against the image: at a batch of one, in the deep layers of a network, or with
    Winograd, whose transformed weights are four times as large as the weights.

    The weights are packed at the first call, and again only where another algorithm or dtype is called for, as a
    smaller image or a float64 input may do; the last few packings are kept.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> sharpen = F.prepare_conv2d([[[[0, -1, 0], [-1, 5, -1], [0, -1, 0]]]], padding="same", activation="relu")
    >>> sharpen(np.array([[[1.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, 1.0, 1.0]]]))
    array([[[3., 1., 3.],
            [1., 6., 1.],
            [3., 1., 3.]]])
    """
    return PreparedConv2D(
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        activation=activation,
        data_format=data_format,
        algorithm=algorithm,
    )


def _frozen(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy
