"""Depthwise convolution, and what is built on it."""

import math
from typing import Any, Unpack

from fastconv import initializers
from fastconv.layers._arguments import integer
from fastconv.layers._convolution import Integers, OneStepConvolution, TwoStepConvolution
from fastconv.layers.base import Array, LayerOptions, Shape, WeightSpec


class DepthwiseConv2D(OneStepConvolution):
    """Two-dimensional cross-correlation of each channel with kernels of its own.

    It is `fastconv.functional.conv2d` with as many groups as channels.

    Parameters
    ----------
    kernel_size, strides, dilation_rate : int or pair of int
        For (height, width).
    padding : {"valid", "same"}
    depth_multiplier : int
        Kernels for each channel.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    activation : str or ActivationFunction, optional
    use_bias : bool
    depthwise_initializer, bias_initializer : str or Initializer
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Notes
    -----
    ``params["kernel"]`` has shape ``(kh, kw, in_channels, depth_multiplier)`` in both data formats, as in Keras. Output
    channel ``c * depth_multiplier + m`` comes from input channel c by kernel m; ``params["bias"]`` has shape
    ``(in_channels * depth_multiplier,)``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = DepthwiseConv2D(3, depth_multiplier=2)
    >>> layer(np.zeros((1, 8, 8, 5), np.float32)).shape
    (1, 6, 6, 10)
    >>> layer.count_params()
    100
    """

    def __init__(
        self,
        kernel_size: Integers,
        strides: Integers = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Integers = 1,
        activation: object = None,
        use_bias: bool = True,
        depthwise_initializer: object = "glorot_uniform",
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
        self.depth_multiplier = integer(f"{layer}: depth_multiplier", depth_multiplier)
        self.depthwise_initializer = initializers.get(depthwise_initializer, f"{layer}: depthwise_initializer")

    @staticmethod
    def _regularizer_argument(weight: str) -> str:
        # Keras names the weight by one word and its arguments by another.
        return "depthwise_regularizer" if weight == "kernel" else f"{weight}_regularizer"

    def _kernel_specs(self, channels: int) -> dict[str, WeightSpec]:
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        return {"kernel": WeightSpec(shape, self.depthwise_initializer)}

    def _output_channels(self, channels: int) -> int:
        return channels * self.depth_multiplier

    def _groups(self, channels: int) -> int:
        return channels

    def _kernel(self, name: str = "kernel") -> Array:
        return self._as_taken(_by_output(self.weight(name)))


class _SeparableConv(TwoStepConvolution):
    """A depthwise convolution, then one with kernels of one element that mixes the channels."""

    regularized = ("depthwise_kernel", "pointwise_kernel", "bias")
    steps = ("depthwise_kernel", "pointwise_kernel")

    def __init__(
        self,
        filters: int,
        kernel_size: Integers,
        strides: Integers = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Integers = 1,
        depth_multiplier: int = 1,
        activation: object = None,
        use_bias: bool = True,
        depthwise_initializer: object = "glorot_uniform",
        pointwise_initializer: object = "glorot_uniform",
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
        self.depth_multiplier = integer(f"{layer}: depth_multiplier", depth_multiplier)
        self.depthwise_initializer = initializers.get(depthwise_initializer, f"{layer}: depthwise_initializer")
        self.pointwise_initializer = initializers.get(pointwise_initializer, f"{layer}: pointwise_initializer")

    def _kernel_specs(self, channels: int) -> dict[str, WeightSpec]:
        depthwise = (*self.kernel_size, channels, self.depth_multiplier)
        pointwise = (*(1,) * self.spatial, channels * self.depth_multiplier, self.filters)
        return {
            "depthwise_kernel": WeightSpec(depthwise, self.depthwise_initializer),
            "pointwise_kernel": WeightSpec(pointwise, self.pointwise_initializer),
        }

    def _output_channels(self, channels: int) -> int:
        return self.filters

    def multiply_adds(self, input_shape: Shape) -> int:
        pixels = math.prod(size or 1 for size in self._split(self.output_shape(input_shape))[1])
        middle = self._known_channels(input_shape) * self.depth_multiplier
        return pixels * middle * (math.prod(self.kernel_size) + self.filters)

    def _step_arguments(self, channels: int) -> tuple[dict[str, Any], dict[str, Any]]:
        return {**self._arguments(), "groups": channels}, {"data_format": self.data_format}

    def _step_kernels(self) -> tuple[Array, Array]:
        return self._as_taken(_by_output(self.weight("depthwise_kernel"))), self._kernel("pointwise_kernel")


class SeparableConv2D(_SeparableConv):
    """A two-dimensional depthwise convolution, followed by a 1x1 convolution with a bias and an activation.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size, strides, dilation_rate : int or pair of int
        For (height, width), of the depthwise convolution.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    depth_multiplier : int
        Kernels of the depthwise convolution for each channel.
    activation : str or ActivationFunction, optional
    use_bias : bool
    depthwise_initializer, pointwise_initializer, bias_initializer : str or Initializer
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Notes
    -----
    ``params["depthwise_kernel"]`` has shape ``(kh, kw, in_channels, depth_multiplier)``, as in `DepthwiseConv2D`,
    ``params["pointwise_kernel"]`` has shape ``(1, 1, in_channels * depth_multiplier, filters)``, and ``params["bias"]``
    has shape ``(filters,)``.

    References
    ----------
    L. Sifre, "Rigid-Motion Scattering for Image Classification", 2014; F. Chollet, "Xception: Deep Learning with
    Depthwise Separable Convolutions", arXiv:1610.02357.

    Examples
    --------
    A seventh of the 4,640 weights of ``Conv2D(32, 3)``:

    >>> import numpy as np
    >>> layer = SeparableConv2D(32, 3)
    >>> layer(np.zeros((1, 8, 8, 16), np.float32)).shape
    (1, 6, 6, 32)
    >>> layer.count_params()
    688
    """


class SeparableConv1D(_SeparableConv):
    """A one-dimensional depthwise convolution, followed by a pointwise one with a bias and an activation.

    The arguments are those of `SeparableConv2D`, with one number where it has a pair. ``params["depthwise_kernel"]``
    has shape ``(kw, in_channels, depth_multiplier)``, ``params["pointwise_kernel"]`` has shape
    ``(1, in_channels * depth_multiplier, filters)``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = SeparableConv1D(8, 5, padding="same")
    >>> layer(np.zeros((2, 100, 4), np.float32)).shape
    (2, 100, 8)
    """

    spatial = 1


def _by_output(kernel: Array) -> Array:
    """Return a depthwise kernel, kept as [*tap][channel][multiple], as [*tap][0][output channel]."""
    return kernel.reshape(*kernel.shape[:-2], 1, kernel.shape[-2] * kernel.shape[-1])
