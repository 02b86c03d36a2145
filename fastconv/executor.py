"""Runs the layers of a model, forward and backward, without any of what a model offers its users."""

from collections.abc import Callable, Sequence

from numpy.typing import ArrayLike

from fastconv.layers.base import Array, Layer

Inspect = Callable[[Layer, str, Array], None]
"""Is shown each array as it appears: the layer, what the array is ("output", "gradient of kernel"...), the array."""


class Executor:
    """Layers that run one after another.

    Parameters
    ----------
    layers : sequence of Layer
    inspect : callable, optional
        Called as ``inspect(layer, what, array)`` with every output and gradient.
    """

    def __init__(self, layers: Sequence[Layer], inspect: Inspect | None = None) -> None:
        self.layers = layers
        self.inspect = inspect

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        """Return the last layer's output."""
        y: ArrayLike = x
        for layer in self.layers:
            y = _run(layer, y, training)
            if self.inspect is not None:
                self.inspect(layer, "output", y)
        return y  # type: ignore[return-value]

    def backward(self, grad_y: Array) -> None:
        """Fill the gradients of all weights, from that of the last output.

        The first layer that has weights computes no gradient of its input, and the layers before it do nothing.
        """
        first = next((i for i, layer in enumerate(self.layers) if layer.params), len(self.layers))
        grad: Array | None = grad_y
        for index in range(len(self.layers) - 1, first - 1, -1):
            layer = self.layers[index]
            assert grad is not None
            grad = layer.backward(grad, needs_input=index > first)
            if self.inspect is not None:
                for name, array in layer.grads.items():
                    self.inspect(layer, f"gradient of {name}", array)
                if grad is not None:
                    self.inspect(layer, "gradient of the input", grad)


def _run(layer: Layer, x: ArrayLike, training: bool) -> Array:
    try:
        y: Array = layer.forward(x, training)
        return y
    except (TypeError, ValueError) as error:
        error.add_note(f"in layer {layer.name!r} ({type(layer).__name__})")
        raise
