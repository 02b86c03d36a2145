"""Convolutional layers over one, two and three axes."""

from typing import Unpack

from fastconv import initializers
from fastconv.layers._arguments import integer
from fastconv.layers._convolution import Integers, OneStepConvolution
from fastconv.layers.base import LayerOptions, WeightSpec


class _Conv(OneStepConvolution):
    """Cross-correlation of groups of channels."""

    def __init__(
        self,
        filters: int,
        kernel_size: Integers,
        strides: Integers = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Integers = 1,
        groups: int = 1,
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
        self.groups = integer(f"{layer}: groups", groups)
        if self.filters % self.groups:
            raise ValueError(f"{layer}: groups must divide filters {self.filters}, got {self.groups}")
        self.kernel_initializer = initializers.get(kernel_initializer, f"{layer}: kernel_initializer")

    def _kernel_specs(self, channels: int) -> dict[str, WeightSpec]:
        shape = (*self.kernel_size, channels // self.groups, self.filters)
        return {"kernel": WeightSpec(shape, self.kernel_initializer)}

    def _output_channels(self, channels: int) -> int:
        return self.filters

    def _groups(self, channels: int) -> int:
        return self.groups


class Conv2D(_Conv):
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


class Conv1D(_Conv):
    """One-dimensional cross-correlation with a bias and an activation, see `fastconv.functional.conv1d`.

    The arguments are those of `Conv2D`, with one number where it has a pair, and one more kind of padding: "causal"
    pads on the left alone, so that an output depends on its own input and earlier ones but on none that follows.

    Notes
    -----
    ``params["kernel"]`` has shape ``(kw, in_channels / groups, filters)``.

    References
    ----------
    A. van den Oord et al., "WaveNet: A Generative Model for Raw Audio", arXiv:1609.03499, for causal convolution.

    Examples
    --------
    The difference to the value before:

    >>> import numpy as np
    >>> layer = Conv1D(1, 2, padding="causal", use_bias=False)
    >>> layer.params["kernel"] = np.array([-1.0, 1.0]).reshape(2, 1, 1)
    >>> layer(np.array([1.0, 4.0, 9.0, 16.0]).reshape(1, 4, 1)).ravel()
    array([1., 3., 5., 7.], dtype=float32)
    """

    spatial = 1
    other_paddings = ("causal",)


class Conv3D(_Conv):
    """Three-dimensional cross-correlation with a bias and an activation, see `fastconv.functional.conv3d`.

    The arguments are those of `Conv2D`, with (depth, height, width) where it has a pair.

    Notes
    -----
    ``params["kernel"]`` has shape ``(kd, kh, kw, in_channels / groups, filters)``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv3D(4, (3, 5, 5), padding="same")
    >>> layer(np.zeros((2, 8, 28, 28, 1), np.float32)).shape
    (2, 8, 28, 28, 4)
    >>> layer.count_params()
    304
    """

    spatial = 3
