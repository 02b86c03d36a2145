"""What all convolutional layers share."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Unpack

import numpy as np

import fastconv.functional as F
from fastconv import activations, initializers
from fastconv.geometry import conv_geometry
from fastconv.layers._arguments import integers
from fastconv.layers._arguments import padding as check_padding
from fastconv.layers._images import ImageLayer
from fastconv.layers._windows import Window, sliding
from fastconv.layers.base import Array, LayerOptions, Shape, WeightSpec

Integers = int | Sequence[int]

CONVOLUTIONS: dict[int, tuple[Callable[..., Array], Callable[..., tuple[Array | None, ...]]]] = {
    1: (F.conv1d, F.conv1d_backward),
    2: (F.conv2d, F.conv2d_backward),
    3: (F.conv3d, F.conv3d_backward),
}
"""Convolution and its gradients by the number of spatial axes."""


class _Saved(NamedTuple):
    linear: Any
    of_activation: Array


class ConvolutionLayer(ImageLayer):
    """A linear map with weights that slide over the input, a bias and an activation.

    A subclass says what the map is, by `_kernel_specs`, `_output_channels`, `_linear` and `_linear_backward`.
    """

    regularized: ClassVar[tuple[str, ...]] = ("kernel", "bias")

    other_paddings: ClassVar[tuple[str, ...]] = ()
    """What `padding` may be apart from "valid" and "same"."""

    def __init__(
        self,
        kernel_size: Integers,
        strides: Integers,
        padding: str,
        data_format: str | None,
        dilation_rate: Integers,
        activation: object,
        use_bias: bool,
        bias_initializer: object,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        layer = type(self).__name__
        self.kernel_size = integers(f"{layer}: kernel_size", kernel_size, self.spatial)
        self.strides = integers(f"{layer}: strides", strides, self.spatial)
        self.padding = check_padding(layer, padding, *self.other_paddings)
        self.dilation_rate = integers(f"{layer}: dilation_rate", dilation_rate, self.spatial)
        self.activation = activations.get(activation, f"{layer}: activation")
        self.use_bias = bool(use_bias)
        self.bias_initializer = initializers.get(bias_initializer, f"{layer}: bias_initializer")

    # What subclasses define.

    @abstractmethod
    def _kernel_specs(self, channels: int) -> dict[str, WeightSpec]:
        """Return shape and initializer of the weights but for the bias, for so many input channels."""

    @abstractmethod
    def _output_channels(self, channels: int) -> int:
        """Return the number of output channels."""

    def _groups(self, channels: int) -> int:
        """Return the number of groups of channels that see only each other."""
        return 1

    @abstractmethod
    def _linear(self, x: Array, activation: str | None) -> tuple[Array, Any]:
        """Return the map of `x`, with an activation applied that the function fuses, and what the gradient needs."""

    @abstractmethod
    def _linear_backward(self, saved: Any, grad_y: Array, needs_input: bool) -> Array | None:
        """Fill `grads`; return the gradient of the input, or None where it is not needed."""

    # What they share.

    def weight_specs(self, input_shape: Shape) -> dict[str, WeightSpec]:
        channels = self._known_channels(input_shape)
        specs = self._kernel_specs(channels)
        if self.use_bias:
            specs["bias"] = WeightSpec((self._output_channels(channels),), self.bias_initializer)
        return specs

    def output_shape(self, input_shape: Shape) -> Shape:
        channels = self._known_channels(input_shape)
        groups = self._groups(channels)
        weight = self._weight_shape(channels // groups, self._output_channels(channels))
        window = self.strides, self._pads(), self.dilation_rate, groups
        options: dict[str, Any] = {"axes": self.spatial, "channels_last": self._channels_last}
        return self._window_output_shape(
            input_shape, lambda shape: conv_geometry(self.name, shape, weight, *window, **options)[1]
        )

    def window(self, input_shape: Shape) -> Window | None:
        return sliding(self._split(input_shape)[1], self.kernel_size, self.strides, self.dilation_rate, self.padding)

    def _weight_shape(self, before_last: int, last: int) -> tuple[int, ...]:
        """Return the shape in which functions take a kernel that the layer keeps as (*kernel, before_last, last)."""
        return (*self.kernel_size, before_last, last) if self._channels_last else (last, before_last, *self.kernel_size)

    def _pads(self) -> str | tuple[tuple[int, int], ...]:
        """Return the padding as functions take it: theirs have no word for "causal"."""
        if self.padding != "causal":
            return self.padding
        return tuple(((k - 1) * r, 0) for k, r in zip(self.kernel_size, self.dilation_rate, strict=True))

    def _arguments(self) -> dict[str, Any]:
        """Return the options of the function for the window of the layer."""
        return {
            "stride": self.strides,
            "padding": self._pads(),
            "dilation": self.dilation_rate,
            "data_format": self.data_format,
        }

    def _kernel(self, name: str = "kernel") -> Array:
        """Return a kernel with its axes in the order that the data format asks for."""
        return self._as_taken(self.weight(name))

    def _as_taken(self, kernel: Array) -> Array:
        return kernel if self._channels_last else np.moveaxis(kernel, (-1, -2), (0, 1))

    def _bias(self) -> Array | None:
        return self.weight("bias") if self.use_bias else None

    def _keep(self, **gradients: Array | None) -> None:
        """Fill `grads` with gradients of kernels as functions return them, in the layer's own shape."""
        for name, gradient in gradients.items():
            if gradient is not None:
                if not self._channels_last:
                    gradient = np.ascontiguousarray(np.moveaxis(gradient, (0, 1), (-1, -2)))
                self.grads[name] = gradient.reshape(self.weight(name).shape)

    def _keep_bias(self, gradient: Array | None) -> None:
        if gradient is not None:
            self.grads["bias"] = gradient

    def _forward(self, x: Array, training: bool) -> tuple[Array, _Saved]:
        fused = self.activation.name if self.activation is not None and self.activation.fused else None
        y, linear = self._linear(x, fused)
        saved = y
        if self.activation is not None and fused is None:
            y, saved = self.activation.apply(y)
        return y, _Saved(linear, saved)

    def _backward(self, saved: _Saved, grad_y: Array, needs_input: bool) -> Array | None:
        if self.activation is not None:
            grad_y = self.activation.backward(grad_y, saved.of_activation)
        return self._linear_backward(saved.linear, grad_y, needs_input)


class OneStepConvolution(ConvolutionLayer):
    """One convolution of groups of channels, with weights of the name "kernel"."""

    def multiply_adds(self, input_shape: Shape) -> int:
        channels = self._known_channels(input_shape)
        values = math.prod(size or 1 for size in self.output_shape(input_shape)[1:])
        return values * math.prod(self.kernel_size) * (channels // self._groups(channels))

    def _linear(self, x: Array, activation: str | None) -> tuple[Array, Array]:
        convolve, _ = CONVOLUTIONS[self.spatial]
        groups = self._groups(x.shape[self._channel_axis])
        window = self.strides, self._pads(), self.dilation_rate, groups
        y = convolve(x, self._kernel(), self._bias(), *window, data_format=self.data_format, activation=activation)
        return y, x

    def _linear_backward(self, saved: Array, grad_y: Array, needs_input: bool) -> Array | None:
        _, backward = CONVOLUTIONS[self.spatial]
        options = {**self._arguments(), "groups": self._groups(saved.shape[self._channel_axis])}
        grad_x, grad_kernel, grad_bias = backward(
            grad_y, saved, self._kernel(), self._bias(), **options, needs=self._needs(needs_input)
        )
        self._keep(kernel=grad_kernel)
        self._keep_bias(grad_bias)
        return grad_x


class TwoStepConvolution(ConvolutionLayer):
    """Two convolutions in turn, the first without a bias."""

    steps: ClassVar[tuple[str, str]]
    """Names of the two kernels."""

    @abstractmethod
    def _step_arguments(self, channels: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the options of the two convolutions, for so many input channels."""

    def _step_kernels(self) -> tuple[Array, Array]:
        first, second = (self._kernel(name) for name in self.steps)
        return first, second

    def _linear(self, x: Array, activation: str | None) -> tuple[Array, tuple[Array, Array]]:
        convolve, _ = CONVOLUTIONS[self.spatial]
        first, second = self._step_kernels()
        first_options, second_options = self._step_arguments(x.shape[self._channel_axis])
        middle = convolve(x, first, None, **first_options)
        return convolve(middle, second, self._bias(), **second_options, activation=activation), (x, middle)

    def _linear_backward(self, saved: tuple[Array, Array], grad_y: Array, needs_input: bool) -> Array | None:
        _, backward = CONVOLUTIONS[self.spatial]
        x, middle = saved
        first, second = self._step_kernels()
        first_options, second_options = self._step_arguments(x.shape[self._channel_axis])
        grad_middle, grad_second, grad_bias = backward(
            grad_y, middle, second, self._bias(), **second_options, needs=self._needs(True)
        )
        grad_x, grad_first, _ = backward(grad_middle, x, first, None, **first_options, needs=self._needs(needs_input))
        self._keep(**dict(zip(self.steps, (grad_first, grad_second), strict=True)))
        self._keep_bias(grad_bias)
        return grad_x
