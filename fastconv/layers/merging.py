"""Layers that join several inputs."""

# ruff: noqa: D102 - what an overriding method does stands in Layer.

from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack, cast

import numpy as np

from fastconv._memory import empty
from fastconv.layers._arguments import integer
from fastconv.layers._windows import Window, own_place
from fastconv.layers.base import Array, Layer, LayerOptions, Shape


class _Merge(Layer):
    """A layer on a list of inputs."""

    several_inputs = True

    fewest_inputs = 2
    most_inputs: int | None = None

    def window(self, input_shape: Any) -> Window | None:
        return own_place(max(*(len(shape) for shape in input_shape), 2) - 2)

    def output_shape(self, input_shape: Any) -> Shape:
        self._check_count(input_shape)
        return self._merged_shape(input_shape)

    def _merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        raise NotImplementedError(f"{type(self).__name__} must define _merged_shape")

    def _check_count(self, inputs: Any) -> None:
        if len(inputs) < self.fewest_inputs or (self.most_inputs is not None and len(inputs) > self.most_inputs):
            rule = "exactly" if self.fewest_inputs == self.most_inputs else "at least"
            raise ValueError(f"{self.name}: input must be a list of {rule} {self.fewest_inputs}, got {len(inputs)}")


class _Saved(NamedTuple):
    inputs: list[Array]
    shapes: list[tuple[int, ...]]
    y: Array


class _Elementwise(_Merge):
    """A function of values at the same place. Axes of length 1 are repeated; missing ones follow that of the batch."""

    def _merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        axes = max(len(shape) for shape in shapes)
        merged = list(_aligned(shapes[0], axes))
        for shape in shapes[1:]:
            for axis, size in enumerate(_aligned(shape, axes)):
                repeats = axis > 0 and 1 in (size, merged[axis])
                if repeats or None in (size, merged[axis]) or size == merged[axis]:
                    merged[axis] = _wider(merged[axis], size)
                    continue
                raise ValueError(
                    f"{self.name}: inputs must have shapes that are equal, or 1 where they differ,"
                    f" got {', '.join(map(str, shapes))}"
                )
        return tuple(merged)

    def _forward(self, x: Any, training: bool) -> tuple[Array, _Saved]:
        shapes = [array.shape for array in x]
        self.output_shape(shapes)
        axes = max(map(len, shapes))
        arrays = [array.reshape(_aligned(array.shape, axes)) for array in x]
        y = self._merge(arrays)
        return y, _Saved(arrays, shapes, y)

    def _backward(self, saved: _Saved, grad_y: Array, needs_input: bool) -> list[Array] | None:
        if not needs_input:
            return None
        grads = self._gradients(saved.inputs, saved.y, grad_y)
        return [
            _sum_to(grad, array.shape).reshape(shape)
            for grad, array, shape in zip(grads, saved.inputs, saved.shapes, strict=True)
        ]

    def _merge(self, inputs: list[Array]) -> Array:
        raise NotImplementedError(f"{type(self).__name__} must define _merge")

    def _gradients(self, inputs: list[Array], y: Array, grad_y: Array) -> list[Array]:
        """Return the gradient of each input as if it had the shape of the output."""
        raise NotImplementedError(f"{type(self).__name__} must define _gradients")


class Add(_Elementwise):
    """The sum of the inputs.

    Takes a list of at least two arrays. As in Keras, inputs of fewer axes get axes of length 1 after the batch axis,
    and axes of length 1 are repeated.

    Parameters
    ----------
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> Add()([[[1.0, 2.0]], [[10.0, 20.0]]])
    array([[11., 22.]], dtype=float32)
    """

    def _merge(self, inputs: list[Array]) -> Array:
        return _reduce(np.add, inputs)

    def _gradients(self, inputs: list[Array], y: Array, grad_y: Array) -> list[Array]:
        return [grad_y] * len(inputs)


class Average(_Elementwise):
    """The mean of the inputs, which are as for `Add`.

    Examples
    --------
    >>> Average()([[[1.0, 2.0]], [[3.0, 6.0]]])
    array([[2., 4.]], dtype=float32)
    """

    def _merge(self, inputs: list[Array]) -> Array:
        y = _reduce(np.add, inputs)
        y /= len(inputs)
        return y

    def _gradients(self, inputs: list[Array], y: Array, grad_y: Array) -> list[Array]:
        return [grad_y / len(inputs)] * len(inputs)


class Subtract(_Elementwise):
    """The first of two inputs less the second, which are as for `Add`.

    Examples
    --------
    >>> Subtract()([[[1.0, 2.0]], [[3.0, 6.0]]])
    array([[-2., -4.]], dtype=float32)
    """

    most_inputs = 2

    def _merge(self, inputs: list[Array]) -> Array:
        return _reduce(np.subtract, inputs)

    def _gradients(self, inputs: list[Array], y: Array, grad_y: Array) -> list[Array]:
        return [grad_y, -grad_y]


class Multiply(_Elementwise):
    """The product of the inputs, which are as for `Add`.

    Examples
    --------
    >>> Multiply()([[[1.0, 2.0]], [[3.0, 6.0]]])
    array([[ 3., 12.]], dtype=float32)
    """

    def _merge(self, inputs: list[Array]) -> Array:
        return _reduce(np.multiply, inputs)

    def _gradients(self, inputs: list[Array], y: Array, grad_y: Array) -> list[Array]:
        # Not y / input: that has no value where an input is 0.
        return [_reduce(np.multiply, [grad_y, *inputs[:index], *inputs[index + 1 :]]) for index in range(len(inputs))]


class Maximum(_Elementwise):
    """The largest of the inputs, which are as for `Add`; its gradient goes to the first input that has it.

    Examples
    --------
    >>> Maximum()([[[1.0, 9.0]], [[3.0, 6.0]]])
    array([[3., 9.]], dtype=float32)
    """

    def _merge(self, inputs: list[Array]) -> Array:
        return _reduce(np.maximum, inputs)

    def _gradients(self, inputs: list[Array], y: Array, grad_y: Array) -> list[Array]:
        grads = []
        left = grad_y
        for array in inputs:
            chosen = array == y
            grads.append(np.where(chosen, left, 0))
            left = np.where(chosen, 0, left)
        return grads


class Concatenate(_Merge):
    """The inputs one after another along an axis.

    Takes a list of at least two arrays whose other axes are equal.

    Parameters
    ----------
    axis : int
        Any but that of the batch, 0. The last by default: the channels of images with channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> Concatenate()([[[1.0, 2.0]], [[3.0]]])
    array([[1., 2., 3.]], dtype=float32)
    """

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = integer("Concatenate: axis", axis, -32)
        if self.axis == 0:
            raise ValueError("Concatenate: axis must not be that of the batch, got 0")

    def window(self, input_shape: Any) -> Window | None:
        axis, axes = self.axis % len(input_shape[0]), len(input_shape[0])
        joins_channels = axis == axes - 1 or (axis == 1 and axes > 2)
        return super().window(input_shape) if joins_channels else None

    def _merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        first = shapes[0]
        if not -len(first) < self.axis < len(first):
            raise ValueError(f"{self.name}: axis must be one of input shape {first}, but the first, got {self.axis}")
        axis = self.axis % len(first)
        for shape in shapes[1:]:
            others = zip(first, shape, strict=False)
            fits = len(shape) == len(first) and all(
                index == axis or None in (mine, theirs) or mine == theirs for index, (mine, theirs) in enumerate(others)
            )
            if not fits:
                raise ValueError(
                    f"{self.name}: inputs must have equal shapes but for axis {axis}, got {', '.join(map(str, shapes))}"
                )
        sizes = [shape[axis] for shape in shapes]
        joined = None if None in sizes else sum(size for size in sizes if size is not None)
        return (*first[:axis], joined, *first[axis + 1 :])

    def _forward(self, x: Any, training: bool) -> tuple[Array, list[int]]:
        shape = self.output_shape([array.shape for array in x])
        ends = np.cumsum([array.shape[self.axis] for array in x]).tolist()
        y = empty(cast(tuple[int, ...], shape), self.dtype)
        return np.concatenate(x, axis=self.axis, out=y), ends[:-1]

    def _backward(self, saved: list[int], grad_y: Array, needs_input: bool) -> list[Array] | None:
        return np.split(grad_y, saved, axis=self.axis) if needs_input else None


def _aligned(shape: tuple[Any, ...], axes: int) -> tuple[Any, ...]:
    """Return a shape with axes of length 1 after the batch axis, so that it has `axes`."""
    return (*shape[:1], *(1,) * (axes - len(shape)), *shape[1:])


def _wider(first: int | None, second: int | None) -> int | None:
    """Return the size of an axis that is repeated where it is 1; an unknown one may turn out to be 1."""
    if first == 1:
        return second
    if second == 1 or first == second:
        return first
    return second if first is None else first


def _reduce(function: np.ufunc, arrays: Sequence[Array]) -> Array:
    """Return ``function(...function(function(a, b), c)...)`` in one new array."""
    y = empty(np.broadcast_shapes(*(array.shape for array in arrays)), arrays[0].dtype)
    function(arrays[0], arrays[1], out=y)
    for array in arrays[2:]:
        function(y, array, out=y)
    return y


def _sum_to(grad: Array, shape: tuple[int, ...]) -> Array:
    """Return the sum of a gradient over the axes along which an array of `shape` was repeated."""
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1 and grad.shape[axis] != 1)
    total: Array = grad.sum(axis=repeated, keepdims=True) if repeated else grad
    return total


def add(inputs: Sequence[Any], **options: Unpack[LayerOptions]) -> Any:
    """Return ``Add(**options)(inputs)``, of symbolic tensors or arrays, as Keras' function of that name."""
    return Add(**options)(inputs)


def subtract(inputs: Sequence[Any], **options: Unpack[LayerOptions]) -> Any:
    """Return ``Subtract(**options)(inputs)``."""
    return Subtract(**options)(inputs)


def multiply(inputs: Sequence[Any], **options: Unpack[LayerOptions]) -> Any:
    """Return ``Multiply(**options)(inputs)``."""
    return Multiply(**options)(inputs)


def average(inputs: Sequence[Any], **options: Unpack[LayerOptions]) -> Any:
    """Return ``Average(**options)(inputs)``."""
    return Average(**options)(inputs)


def maximum(inputs: Sequence[Any], **options: Unpack[LayerOptions]) -> Any:
    """Return ``Maximum(**options)(inputs)``."""
    return Maximum(**options)(inputs)


def concatenate(inputs: Sequence[Any], axis: int = -1, **options: Unpack[LayerOptions]) -> Any:
    """Return ``Concatenate(axis, **options)(inputs)``.

    Examples
    --------
    >>> concatenate([[[1.0, 2.0]], [[3.0]]])
    array([[1., 2., 3.]], dtype=float32)
    """
    return Concatenate(axis, **options)(inputs)
