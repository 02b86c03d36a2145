"""Where data enter a functional graph."""

# ruff: noqa: D102 - what an overriding method does stands in Layer.

from collections.abc import Sequence
from typing import Any

from numpy.typing import DTypeLike

from fastconv.graph import SymbolicTensor, connect
from fastconv.layers.base import Array, Layer


class InputLayer(Layer):
    """A place for the data in a graph; made by `Input`.

    Parameters
    ----------
    shape : sequence of int or None
        Of one input, without the batch axis.
    name : str, optional
    dtype : {"float32", "float64"}, optional
        By default data are taken as they are, and converted by the layers that read them.

    Attributes
    ----------
    converts : bool
        Whether a dtype was given.
    """

    def __init__(self, shape: Sequence[int | None], *, name: str | None = None, dtype: DTypeLike | None = None) -> None:
        super().__init__(name=name, dtype="float32" if dtype is None else dtype, input_shape=shape)
        self.shape = self.input_shape
        self.converts = dtype is not None
        self.build((None, *shape))

    def get_config(self) -> dict[str, Any]:
        return {
            "shape": None if self.shape is None else list(self.shape),
            "name": self.name,
            "dtype": self.dtype.name if self.converts else None,
        }

    # Runs only to convert: to the dtype of the layer, as every layer does with its input.

    def _forward(self, x: Array, training: bool) -> tuple[Array, None]:
        return x, None

    def _backward(self, saved: None, grad_y: Array, needs_input: bool) -> Array:
        return grad_y


def Input(shape: Sequence[int | None], name: str | None = None, dtype: DTypeLike | None = None) -> SymbolicTensor:
    """Return a symbolic tensor for the data: what layers are called with to make a graph for `Model`.

    Parameters
    ----------
    shape : sequence of int or None
        Of one input, without the batch axis; None stands for any size.
    name : str, optional
        By default "input_layer", "input_layer_1"...
    dtype : {"float32", "float64"}, optional
        To which the data are converted. By default they are taken as they are, and every layer converts what it reads
        to its own.

    Examples
    --------
    >>> from fastconv.layers import Conv2D
    >>> x = Input((28, 28, 1), name="image")
    >>> Conv2D(8, 3, name="conv")(x)
    <SymbolicTensor shape=(None, 26, 26, 8), from 'conv'>
    """
    return symbolic_input(InputLayer(shape, name=name, dtype=dtype))


def symbolic_input(layer: InputLayer) -> SymbolicTensor:
    """Return the symbolic tensor of an input layer."""
    (tensor,) = connect(layer, [], [(None, *(layer.shape or ()))])
    return tensor
