"""Layers of transposed convolution over one, two and three axes."""

import math
from collections.abc import Callable
from typing import Any, Unpack

import fastconv.functional as F
from fastconv import initializers
from fastconv.geometry import conv_transpose_geometry
from fastconv.layers._arguments import integer, integers
from fastconv.layers._convolution import ConvolutionLayer, Integers
from fastconv.layers._windows import Window
from fastconv.layers.base import Array, LayerOptions, Shape, WeightSpec

_TRANSPOSED: dict[int, tuple[Callable[..., Array], Callable[..., tuple[Array | None, ...]]]] = {
    1: (F.conv_transpose1d, F.conv_transpose1d_backward),
    2: (F.conv_transpose2d, F.conv_transpose2d_backward),
    3: (F.conv_transpose3d, F.conv_transpose3d_backward),
}


class _ConvTranspose(ConvolutionLayer):
    """The transpose of a cross-correlation."""

    def __init__(
        self,
        filters: int,
        kernel_size: Integers,
        strides: Integers = 1,
        padding: str = "valid",
        output_padding: Integers | None = None,
        data_format: str | None = None,
        dilation_rate: Integers = 1,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            bias_initializer,
            **options,
        )
        layer = type(self).__name__
        self.filters = integer(f"{layer}: filters", filters)
        self.output_padding = (
            None if output_padding is None else integers(f"{layer}: output_padding", output_padding, self.spatial, 0)
        )
        if self.output_padding is not None and any(
            extra >= stride for extra, stride in zip(self.output_padding, self.strides, strict=True)
        ):
            raise ValueError(
                f"{layer}: output_padding must be smaller than strides {self.strides}, got {self.output_padding}"
            )
        self.kernel_initializer = initializers.get(kernel_initializer, f"{layer}: kernel_initializer")

    def _kernel_specs(self, channels: int) -> dict[str, WeightSpec]:
        return {"kernel": WeightSpec((*self.kernel_size, self.filters, channels), self.kernel_initializer)}

    def _output_channels(self, channels: int) -> int:
        return self.filters

    def output_shape(self, input_shape: Shape) -> Shape:
        weight = self._weight_shape(self.filters, self._known_channels(input_shape))
        window = self._arguments()
        del window["data_format"]
        options: dict[str, Any] = {**window, "axes": self.spatial, "channels_last": self._channels_last}
        return self._window_output_shape(
            input_shape, lambda shape: conv_transpose_geometry(self.name, shape, weight, **options)[1]
        )

    def window(self, input_shape: Shape) -> Window | None:
        """Return None: windows that spread an input over several outputs are none that slide."""
        return None

    def multiply_adds(self, input_shape: Shape) -> int:
        return math.prod(size or 1 for size in input_shape[1:]) * math.prod(self.kernel_size) * self.filters

    def _arguments(self) -> dict[str, Any]:
        extras = self.output_padding or (None,) * self.spatial
        axes = zip(self.kernel_size, self.strides, self.dilation_rate, extras, strict=True)
        cuts = [_cut((k - 1) * r + 1, s, self.padding, extra) for k, s, r, extra in axes]
        return {
            **super()._arguments(),
            "padding": tuple(pads for pads, _ in cuts),
            "output_padding": tuple(added for _, added in cuts),
        }

    def _linear(self, x: Array, activation: str | None) -> tuple[Array, Array]:
        convolve, _ = _TRANSPOSED[self.spatial]
        return convolve(x, self._kernel(), self._bias(), **self._arguments(), activation=activation), x

    def _linear_backward(self, saved: Array, grad_y: Array, needs_input: bool) -> Array | None:
        _, backward = _TRANSPOSED[self.spatial]
        grad_x, grad_kernel, grad_bias = backward(
            grad_y, saved, self._kernel(), self._bias(), **self._arguments(), needs=self._needs(needs_input)
        )
        self._keep(kernel=grad_kernel)
        self._keep_bias(grad_bias)
        return grad_x


def _cut(reach: int, stride: int, padding: str, output_padding: int | None) -> tuple[tuple[int, int], int]:
    """Return what is cut off an axis before and after, and what is added, for Keras' number of outputs.

    That number is ``(in - 1) * stride`` and a tail: ``reach + output_padding`` for "valid", by default
    ``max(reach, stride)``; ``reach % 2 + output_padding`` for "same", by default ``stride``. What the last kernel
    reaches beyond the tail is cut, the smaller half of it before.
    """
    if padding == "valid":
        tail = max(reach, stride) if output_padding is None else reach + output_padding
    else:
        tail = stride if output_padding is None else reach % 2 + output_padding
    cut = max(reach - tail, 0)
    return (cut // 2, cut - cut // 2), max(tail - reach, 0)


class Conv2DTranspose(_ConvTranspose):
    """Two-dimensional transposed convolution, see `fastconv.functional.conv_transpose2d`.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size, strides, dilation_rate : int or pair of int
        For (height, width).
    padding : {"valid", "same"}
        "same" gives ``size * stride`` outputs, and "valid" gives ``(size - 1) * stride + max(reach, stride)``, where
        ``reach = dilation * (kernel - 1) + 1``.
    output_padding : int or pair of int, optional
        Smaller than the stride. There are then ``(size - 1) * stride + reach + output_padding`` outputs with "valid",
        and ``(size - 1) * stride + reach % 2 + output_padding`` with "same".
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    activation : str or ActivationFunction, optional
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Notes
    -----
    ``params["kernel"]`` has shape ``(kh, kw, filters, in_channels)`` in both data formats, as in Keras;
    ``params["bias"]`` has shape ``(filters,)``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv2DTranspose(8, 3, strides=2, padding="same")
    >>> layer(np.zeros((2, 14, 14, 16), np.float32)).shape
    (2, 28, 28, 8)
    >>> layer.count_params()
    1160
    """


class Conv1DTranspose(_ConvTranspose):
    """One-dimensional transposed convolution, see `fastconv.functional.conv_transpose1d`.

    The arguments are those of `Conv2DTranspose`, with one number where it has a pair. ``params["kernel"]`` has shape
    ``(kw, filters, in_channels)``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv1DTranspose(1, 3, strides=2, use_bias=False, kernel_initializer="ones")
    >>> layer(np.array([1.0, 10.0]).reshape(1, 2, 1)).ravel()
    array([ 1.,  1., 11., 10., 10.], dtype=float32)
    """

    spatial = 1


class Conv3DTranspose(_ConvTranspose):
    """Three-dimensional transposed convolution, see `fastconv.functional.conv_transpose3d`.

    The arguments are those of `Conv2DTranspose`, with (depth, height, width) where it has a pair; as in Keras,
    `data_format` stands before `output_padding`. ``params["kernel"]`` has shape ``(kd, kh, kw, filters, in_channels)``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv3DTranspose(4, 2, strides=(1, 2, 2))
    >>> layer(np.zeros((2, 3, 7, 7, 8), np.float32)).shape
    (2, 4, 14, 14, 4)
    """

    spatial = 3

    def __init__(
        self,
        filters: int,
        kernel_size: Integers,
        strides: Integers = 1,
        padding: str = "valid",
        data_format: str | None = None,
        output_padding: Integers | None = None,
        dilation_rate: Integers = 1,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            output_padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            kernel_initializer,
            bias_initializer,
            **options,
        )
