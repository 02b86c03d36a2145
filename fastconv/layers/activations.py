"""Layers that apply a function to every element, or to the values along an axis."""

# ruff: noqa: D102 - what an overriding method does stands in Layer.

from collections.abc import Sequence
from typing import Unpack

import numpy as np

import fastconv.functional as F
from fastconv import activations, initializers
from fastconv.layers._arguments import entries, integer
from fastconv.layers.base import Array, Layer, LayerOptions, Shape, WeightSpec


class _Elementwise(Layer):
    """A layer that is its activation function alone."""

    def _forward(self, x: Array, training: bool) -> tuple[Array, Array]:
        return (x, x) if self.activation is None else self.activation.apply(x)

    def _backward(self, saved: Array, grad_y: Array, needs_input: bool) -> Array | None:
        if not needs_input:
            return None
        return grad_y if self.activation is None else self.activation.backward(grad_y, saved)


class Activation(_Elementwise):
    """An activation function as a layer.

    Parameters
    ----------
    activation : str or ActivationFunction
        "linear", "relu", "leaky_relu", "relu6", "sigmoid", "tanh", "elu", "selu", "exponential", "gelu", "silu" or
        "swish", "softplus", "log_sigmoid", "mish", "softsign", "hard_sigmoid", "hard_silu" or "hard_swish",
        "hard_tanh", "softmax", "log_softmax".
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> Activation("relu")([[-1.0, 2.0]])
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: object, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation, "Activation: activation")


class ReLU(_Elementwise):
    """``max(x, 0)``, or Keras' general form of it.

    Parameters
    ----------
    max_value : float, optional
        Larger outputs are cut to it.
    negative_slope : float
        The output is ``negative_slope * (x - threshold)`` where ``x <= threshold``.
    threshold : float
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> ReLU(max_value=6)([[-1.0, 2.0, 9.0]])
    array([[0., 2., 6.]], dtype=float32)
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold
        if max_value is None and negative_slope == 0 and threshold == 0:
            self.activation = activations.Relu()
        else:
            self.activation = activations.BoundedRelu(max_value, negative_slope, threshold)


class LeakyReLU(_Elementwise):
    """``x`` where it is positive, else ``negative_slope * x``, see `fastconv.functional.leaky_relu`.

    Parameters
    ----------
    negative_slope : float
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> LeakyReLU(0.5)([[-1.0, 2.0]])
    array([[-0.5,  2. ]], dtype=float32)
    """

    def __init__(self, negative_slope: float = 0.3, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.negative_slope = negative_slope
        self.activation = activations.LeakyRelu(negative_slope)


class ELU(_Elementwise):
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)``, see `fastconv.functional.elu`.

    Parameters
    ----------
    alpha : float
        Not negative.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> ELU(0.5)([[-1000.0, 2.0]])
    array([[-0.5,  2. ]], dtype=float32)
    """

    def __init__(self, alpha: float = 1.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.alpha = alpha
        self.activation = activations.Elu(alpha)


class PReLU(Layer):
    """``x`` where it is positive, else ``alpha * x`` with a trained alpha, see `fastconv.functional.prelu`.

    Parameters
    ----------
    alpha_initializer : str or Initializer
    shared_axes : sequence of int, optional
        Axes along which alpha is the same, counted from 1: the batch is axis 0. ``(1, 2)`` leaves one alpha for each
        channel of images that are channels last.
    **options
        ``alpha_regularizer``, ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Notes
    -----
    ``params["alpha"]`` has the shape of one input, with size 1 on the shared axes.

    Examples
    --------
    >>> PReLU("ones", shared_axes=[1, 2], input_shape=(28, 28, 3)).weight_specs((None, 28, 28, 3))["alpha"].shape
    (1, 1, 3)
    """

    regularized = ("alpha",)

    def __init__(
        self,
        alpha_initializer: object = "zeros",
        shared_axes: int | Sequence[int] | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.alpha_initializer = initializers.get(alpha_initializer, "PReLU: alpha_initializer")
        given = () if shared_axes is None else (shared_axes,) if isinstance(shared_axes, int) else shared_axes
        where = "PReLU: shared_axes"
        self.shared_axes = tuple(integer(where, axis) for axis in entries(where, given))

    def weight_specs(self, input_shape: Shape) -> dict[str, WeightSpec]:
        if any(axis >= len(input_shape) for axis in self.shared_axes):
            raise ValueError(
                f"{self.name}: input must have the shared axes {self.shared_axes}, got shape {input_shape}"
            )
        shape = [1 if axis in self.shared_axes else size for axis, size in enumerate(input_shape)][1:]
        known = tuple(size for size in shape if size is not None)
        if len(known) < len(shape):
            raise ValueError(f"{self.name}: input must have known sizes but on shared axes, got shape {input_shape}")
        return {"alpha": WeightSpec(known, self.alpha_initializer)}

    def _forward(self, x: Array, training: bool) -> tuple[Array, Array]:
        y = F.prelu(self._rows(x), self._alphas(x), data_format="channels_last")
        return y.reshape(x.shape), x

    def _backward(self, saved: Array, grad_y: Array, needs_input: bool) -> Array | None:
        grad_x, grad_alphas = F.prelu_backward(
            self._rows(grad_y), self._rows(saved), self._alphas(saved), data_format="channels_last"
        )
        self.grads["alpha"] = grad_alphas.reshape(saved.shape[1:]).sum(
            axis=tuple(axis - 1 for axis in self.shared_axes), keepdims=True
        )
        return grad_x.reshape(saved.shape)

    @staticmethod
    def _rows(x: Array) -> Array:
        """Return each input as one row: all its elements are channels."""
        return x.reshape(x.shape[0], int(np.prod(x.shape[1:])))

    def _alphas(self, x: Array) -> Array:
        """Return the alpha of each element of a row."""
        return np.broadcast_to(self.weight("alpha"), x.shape[1:]).reshape(-1)


class Softmax(_Elementwise):
    """``exp(x) / sum(exp(x))`` along `axis`, see `fastconv.functional.softmax`.

    Parameters
    ----------
    axis : int or sequence of int
        Of several, as ``[1, 2]``, the values along all of them together sum to 1; each is named once.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> Softmax()([[0.0, 0.0]])
    array([[0.5, 0.5]], dtype=float32)
    >>> Softmax(axis=[1, 2])(np.zeros((1, 2, 2)))
    array([[[0.25, 0.25],
            [0.25, 0.25]]], dtype=float32)
    """

    def __init__(self, axis: int | Sequence[int] = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.activation = activations.Softmax(axis)
        self.axis = self.activation.axis
