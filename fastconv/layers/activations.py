"""Layers that apply a function to every element, or to the values along an axis."""

from typing import Unpack

from fastconv import activations
from fastconv.layers.base import Array, Layer, LayerOptions


class _Elementwise(Layer):
    """A layer that is its activation function alone."""

    def _forward(self, x: Array, training: bool) -> tuple[Array, Array]:
        y = x if self.activation is None else self.activation(x)
        return y, y

    def _backward(self, saved: Array, grad_y: Array, needs_input: bool) -> Array | None:
        if not needs_input:
            return None
        return grad_y if self.activation is None else self.activation.backward(grad_y, saved)


class Activation(_Elementwise):
    """An activation function as a layer.

    Parameters
    ----------
    activation : str or ActivationFunction
        "linear", "relu", "leaky_relu", "sigmoid", "tanh" or "softmax".
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


class Softmax(_Elementwise):
    """``exp(x) / sum(exp(x))`` along `axis`, see `fastconv.functional.softmax`.

    Parameters
    ----------
    axis : int
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> Softmax()([[0.0, 0.0]])
    array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = axis
        self.activation = activations.Softmax(axis)
