"""What layers and models have in common: their weights as lists, in the order of Keras."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._checks import to_array

Array = NDArray[Any]


class Weighted:
    """A layer or a model: it has weights, trained ones and others."""

    @property
    @abstractmethod
    def weights(self) -> list[Array]:
        """The arrays themselves, trained or not, in the order of Keras: what is written into one, the layer has."""

    def get_weights(self) -> list[Array]:
        """Return copies of all weights, layer by layer, in the order of Keras.

        Examples
        --------
        >>> import fastconv as fc
        >>> model = fc.Sequential([fc.layers.Conv2D(8, 3, input_shape=(28, 28, 1)), fc.layers.ReLU()])
        >>> filters, biases = model.layers[0].get_weights()
        >>> filters.shape, biases.shape
        ((3, 3, 1, 8), (8,))
        """
        return [np.array(array) for array in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Copy values into all weights.

        Parameters
        ----------
        weights : sequence of array_like
            In the order and the shapes of `get_weights`.

        Raises
        ------
        ValueError
            If number or shapes differ; then no weight has changed.
        """
        targets = self.weights
        if len(weights) != len(targets):
            raise ValueError(f"set_weights: weights must hold {len(targets)} arrays, got {len(weights)}")
        arrays = [to_array("set_weights", f"weights[{index}]", weight) for index, weight in enumerate(weights)]
        for index, (target, array) in enumerate(zip(targets, arrays, strict=True)):
            if target.shape != array.shape:
                raise ValueError(f"set_weights: weights[{index}] must have shape {target.shape}, got {array.shape}")
        for target, array in zip(targets, arrays, strict=True):
            target[...] = array
