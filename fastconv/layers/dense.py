"""The fully connected layer."""

# ruff: noqa: D102 - what an overriding method does stands in Layer.

import math
from typing import NamedTuple, Unpack

import fastconv.functional as F
from fastconv import activations, initializers
from fastconv.layers._arguments import integer
from fastconv.layers._windows import Window, own_place
from fastconv.layers.base import Array, Layer, LayerOptions, Shape, WeightSpec


class _Saved(NamedTuple):
    x: Array
    of_activation: Array


class Dense(Layer):
    """``y = activation(x @ kernel + bias)`` on the last axis, see `fastconv.functional.linear`.

    Parameters
    ----------
    units : int
        Size of the output's last axis.
    activation : str or ActivationFunction, optional
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Notes
    -----
    ``params["kernel"]`` has shape ``(inputs, units)``, ``params["bias"]`` has shape ``(units,)``. All axes of the
    input but the last are batch axes.

    Examples
    --------
    >>> import numpy as np
    >>> Dense(3, kernel_initializer="ones")([[1, 2], [3, 4]])
    array([[3., 3., 3.],
           [7., 7., 7.]], dtype=float32)
    """

    regularized = ("kernel", "bias")

    def __init__(
        self,
        units: int,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.units = integer("Dense: units", units)
        self.activation = activations.get(activation, "Dense: activation")
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer, "Dense: kernel_initializer")
        self.bias_initializer = initializers.get(bias_initializer, "Dense: bias_initializer")

    def weight_specs(self, input_shape: Shape) -> dict[str, WeightSpec]:
        inputs = input_shape[-1]
        if inputs is None:
            raise ValueError(f"{self.name}: input must have a known last axis, got shape {input_shape}")
        specs = {"kernel": WeightSpec((inputs, self.units), self.kernel_initializer)}
        if self.use_bias:
            specs["bias"] = WeightSpec((self.units,), self.bias_initializer)
        return specs

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 2:
            raise ValueError(f"{self.name}: input must have at least the axes (batch, inputs), got shape {input_shape}")
        return (*input_shape[:-1], self.units)

    def window(self, input_shape: Shape) -> Window:
        return own_place(max(len(input_shape) - 2, 0))

    def multiply_adds(self, input_shape: Shape) -> int:
        return self.units * math.prod(size or 1 for size in input_shape[1:])

    def _bias(self) -> Array | None:
        return self.weight("bias") if self.use_bias else None

    def _forward(self, x: Array, training: bool) -> tuple[Array, _Saved]:
        fused = self.activation.name if self.activation is not None and self.activation.fused else None
        y = F.linear(x, self.weight("kernel"), self._bias(), data_format="channels_last", activation=fused)
        saved = y
        if self.activation is not None and fused is None:
            y, saved = self.activation.apply(y)
        return y, _Saved(x, saved)

    def _backward(self, saved: _Saved, grad_y: Array, needs_input: bool) -> Array | None:
        if self.activation is not None:
            grad_y = self.activation.backward(grad_y, saved.of_activation)
        grad_x, grad_kernel, grad_bias = F.linear_backward(
            grad_y,
            saved.x,
            self.weight("kernel"),
            self._bias(),
            needs=self._needs(needs_input),
            data_format="channels_last",
        )
        if grad_kernel is not None:
            self.grads["kernel"] = grad_kernel
        if grad_bias is not None:
            self.grads["bias"] = grad_bias
        return grad_x
