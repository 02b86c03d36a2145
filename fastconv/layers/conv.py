"""Convolutional layers."""

# ruff: noqa: D102 - what an overriding method does stands in Layer.

import math
from typing import Any, NamedTuple, Unpack

import numpy as np

import fastconv.functional as F
from fastconv import activations, initializers
from fastconv.geometry import conv_geometry
from fastconv.layers._arguments import Pair, integer, pair
from fastconv.layers._arguments import padding as check_padding
from fastconv.layers._images import ImageLayer
from fastconv.layers._windows import Window, sliding
from fastconv.layers.base import Array, LayerOptions, Shape, WeightSpec


class _Saved(NamedTuple):
    x: Array
    y: Array


class Conv2D(ImageLayer):
    """Two-dimensional cross-correlation with a bias and an activation, see `fastconv.functional.conv2d`.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size, strides, dilation_rate : int or pair of int
        For (height, width).
    padding : {"valid", "same"}
        "same" gives ``ceil(size / stride)`` outputs, with the odd row or column of zeros below or to the right.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    groups : int
        The channels of a group see only each other; divides the input channels and `filters`.
    activation : str or ActivationFunction, optional
        Applied while the result is stored, where that is possible.
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Notes
    -----
    ``params["kernel"]`` has shape ``(kh, kw, in_channels / groups, filters)`` in both data formats, as in Keras;
    ``params["bias"]`` has shape ``(filters,)``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv2D(8, 7, strides=2)
    >>> layer(np.zeros((2, 28, 28, 1), np.float32)).shape
    (2, 11, 11, 8)
    >>> layer.count_params()
    400
    """

    regularized = ("kernel", "bias")

    def __init__(
        self,
        filters: int,
        kernel_size: int | Pair,
        strides: int | Pair = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Pair = (1, 1),
        groups: int = 1,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.filters = integer("Conv2D: filters", filters)
        self.kernel_size = pair("Conv2D: kernel_size", kernel_size)
        self.strides = pair("Conv2D: strides", strides)
        self.padding = check_padding("Conv2D", padding)
        self.dilation_rate = pair("Conv2D: dilation_rate", dilation_rate)
        self.groups = integer("Conv2D: groups", groups)
        if self.filters % self.groups:
            raise ValueError(f"Conv2D: groups must divide filters {self.filters}, got {self.groups}")
        self.activation = activations.get(activation, "Conv2D: activation")
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer, "Conv2D: kernel_initializer")
        self.bias_initializer = initializers.get(bias_initializer, "Conv2D: bias_initializer")

    def weight_specs(self, input_shape: Shape) -> dict[str, WeightSpec]:
        shape = (*self.kernel_size, self._known_channels(input_shape) // self.groups, self.filters)
        specs = {"kernel": WeightSpec(shape, self.kernel_initializer)}
        if self.use_bias:
            specs["bias"] = WeightSpec((self.filters,), self.bias_initializer)
        return specs

    def output_shape(self, input_shape: Shape) -> Shape:
        per_group = self._known_channels(input_shape) // self.groups
        last = self._channels_last
        kernel = (*self.kernel_size, per_group, self.filters) if last else (self.filters, per_group, *self.kernel_size)
        return self._window_output_shape(
            input_shape,
            lambda shape: conv_geometry(
                self.name,
                shape,
                kernel,
                self.strides,
                self.padding,
                self.dilation_rate,
                self.groups,
                channels_last=last,
            )[1],
        )

    def window(self, input_shape: Shape) -> Window | None:
        return sliding(self._split(input_shape)[1], self.kernel_size, self.strides, self.dilation_rate, self.padding)

    def multiply_adds(self, input_shape: Shape) -> int:
        values = math.prod(size or 1 for size in self.output_shape(input_shape)[1:])
        taps = math.prod(self.kernel_size)
        return values * taps * (self._known_channels(input_shape) // self.groups)

    def _arguments(self) -> dict[str, Any]:
        return {
            "stride": self.strides,
            "padding": self.padding,
            "dilation": self.dilation_rate,
            "groups": self.groups,
            "data_format": self.data_format,
        }

    def _kernel(self) -> Array:
        """Return the kernel with its axes in the order that the data format asks for."""
        kernel = self.weight("kernel")
        return kernel if self._channels_last else kernel.transpose(3, 2, 0, 1)

    def _bias(self) -> Array | None:
        return self.weight("bias") if self.use_bias else None

    def _forward(self, x: Array, training: bool) -> tuple[Array, _Saved]:
        fused = self.activation.name if self.activation is not None and self.activation.fused else None
        y = F.conv2d(x, self._kernel(), self._bias(), **self._arguments(), activation=fused)
        if self.activation is not None and fused is None:
            y = self.activation(y)
        return y, _Saved(x, y)

    def _backward(self, saved: _Saved, grad_y: Array, needs_input: bool) -> Array | None:
        if self.activation is not None:
            grad_y = self.activation.backward(grad_y, saved.y)
        grad_x, grad_kernel, grad_bias = F.conv2d_backward(
            grad_y, saved.x, self._kernel(), self._bias(), **self._arguments(), needs=self._needs(needs_input)
        )
        if grad_kernel is not None:
            if not self._channels_last:
                grad_kernel = np.ascontiguousarray(grad_kernel.transpose(2, 3, 1, 0))
            self.grads["kernel"] = grad_kernel
        if grad_bias is not None:
            self.grads["bias"] = grad_bias
        return grad_x
