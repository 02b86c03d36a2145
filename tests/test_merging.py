"""Layers that join several inputs: values, broadcasting, gradients, refusals."""

import numpy as np
import pytest

from fastconv import Input
from fastconv.layers import Add, Average, Concatenate, Layer, Maximum, Multiply, Subtract
from fastconv.testing import check_gradient

ELEMENTWISE = [
    (Add, lambda a, b: a + b),
    (Subtract, lambda a, b: a - b),
    (Multiply, lambda a, b: a * b),
    (Average, lambda a, b: (a + b) / 2),
    (Maximum, np.maximum),
]
IDS = [cls.__name__ for cls, _ in ELEMENTWISE]

SHAPES = [
    ((2, 3, 4, 5), (2, 3, 4, 5)),
    ((2, 3, 4, 5), (2, 1, 1, 5)),
    ((2, 1, 4, 1), (2, 3, 1, 5)),
    ((2, 3, 4, 5), (2, 5)),
    ((2, 5), (2, 3, 4, 5)),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize(("cls", "formula"), ELEMENTWISE, ids=IDS)
def test_values_shapes_and_gradients(
    cls: type[Layer], formula: object, shapes: tuple[tuple[int, ...], ...], rng: np.random.Generator
) -> None:
    a, b = (rng.standard_normal(shape) for shape in shapes)
    axes = max(a.ndim, b.ndim)
    # Keras puts the missing axes after that of the batch.
    aligned = [array.reshape(len(array), *(1,) * (axes - array.ndim), *array.shape[1:]) for array in (a, b)]
    expected = formula(*aligned)  # type: ignore[operator]
    layer = cls(dtype="float64")
    np.testing.assert_allclose(layer([a, b]), expected, rtol=1e-15)
    assert layer.output_shape([(None, *shape[1:]) for shape in shapes]) == (None, *expected.shape[1:])
    check_gradient(layer, (a, b))


@pytest.mark.parametrize("cls", [Add, Multiply, Average, Maximum])
def test_three_inputs(cls: type[Layer], rng: np.random.Generator) -> None:
    arrays = [rng.standard_normal(shape) for shape in ((2, 1, 4), (2, 3, 1), (2, 3, 4))]
    formula = {Add: sum, Multiply: np.prod, Average: lambda a: sum(a) / 3, Maximum: lambda a: np.max(a, axis=0)}[cls]
    whole = [np.broadcast_to(array, (2, 3, 4)) for array in arrays]
    expected = formula(whole) if cls is not Multiply else whole[0] * whole[1] * whole[2]
    np.testing.assert_allclose(cls(dtype="float64")(arrays), expected, rtol=1e-15)
    check_gradient(cls(dtype="float64"), tuple(arrays))


def test_the_gradient_of_a_product_is_right_where_a_factor_is_zero() -> None:
    layer = Multiply(dtype="float64")
    layer.forward([[[0.0, 2.0]], [[3.0, 0.0]]], training=True)
    first, second = layer.backward([[1.0, 1.0]])
    np.testing.assert_array_equal(first, [[3, 0]])
    np.testing.assert_array_equal(second, [[0, 2]])


def test_the_gradient_of_equal_maxima_goes_to_the_first() -> None:
    layer = Maximum()
    layer.forward([[[1.0]], [[1.0]], [[0.0]]], training=True)
    assert [grad.item() for grad in layer.backward([[5.0]])] == [5, 0, 0]


@pytest.mark.parametrize("axis", [-1, 1, 2, -2])
def test_concatenate_and_its_gradient(axis: int, rng: np.random.Generator) -> None:
    sizes = ([2, 3, 4, 5], [2, 3, 4, 5], [2, 3, 4, 5])
    for number, size in enumerate(sizes):
        size[axis] = 1 + number
    arrays = [rng.standard_normal(size) for size in sizes]
    layer = Concatenate(axis, dtype="float64")
    np.testing.assert_array_equal(layer(arrays), np.concatenate(arrays, axis))
    assert layer.output_shape([(None, *size[1:]) for size in sizes]) == (None, *layer(arrays).shape[1:])
    check_gradient(layer, tuple(arrays))


def test_inputs_stay_as_they_are_and_an_empty_batch_is_empty(rng: np.random.Generator) -> None:
    arrays = [rng.standard_normal((2, 3)).astype(np.float32) for _ in range(3)]
    before = [array.copy() for array in arrays]
    for cls in (Add, Multiply, Average, Maximum, Concatenate):
        layer = cls()
        y = layer.forward(arrays, training=True)
        layer.backward(np.ones_like(y))
        for array, copy in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, copy)
        assert layer([np.zeros((0, 3))] * 2).shape[0] == 0


def test_unknown_sizes_stay_unknown_unless_another_input_knows() -> None:
    assert Add().output_shape([(None, None, 3), (None, 5, 1)]) == (None, 5, 3)
    assert Add().output_shape([(None, None), (None, 1)]) == (None, None)
    assert Concatenate().output_shape([(None, None, 3), (None, 5, None)]) == (None, None, None)


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (Add(name="m"), [(2, 3)], "m: input must be a list of at least 2, got 1"),
        (Subtract(name="m"), [(2, 3)] * 3, "m: input must be a list of exactly 2, got 3"),
        (
            Add(name="m"),
            [(2, 3), (2, 4)],
            r"m: inputs must have shapes that are equal, or 1 .*, got \(2, 3\), \(2, 4\)",
        ),
        (Add(name="m"), [(2, 3), (1, 3)], r"m: inputs must have shapes that are equal"),
        (Concatenate(name="m"), [(2, 3, 1), (2, 4, 1)], r"m: inputs must have equal shapes but for axis 2, got"),
        (Concatenate(name="m"), [(2, 3), (2, 3, 1)], r"m: inputs must have equal shapes but for axis 1, got"),
        (Concatenate(name="m"), [(4, 3), (2, 3)], r"m: inputs must have equal shapes but for axis 1, got"),
        (Concatenate(3, name="m"), [(2, 3), (2, 3)], r"m: axis must be one of input shape \(2, 3\).*, got 3"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(layer: Layer, shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer([np.zeros(shape) for shape in shapes])


def test_fewer_axes_in_a_later_call_are_refused() -> None:
    layer = Concatenate(2, name="m")
    layer([np.zeros((2, 3, 1))] * 2)
    with pytest.raises(ValueError, match=r"m: axis must be one of input shape \(2, 3\).*, got 2"):
        layer([np.zeros((2, 3))] * 2)


def test_inputs_that_do_not_fit_are_refused_before_there_are_data() -> None:
    with pytest.raises(ValueError, match=r"m: inputs must have shapes .*, got \(None, 3\), \(None, 4\)"):
        Add(name="m")([Input((3,)), Input((4,))])


def test_one_array_is_no_list() -> None:
    with pytest.raises(TypeError, match="m: input must be a list of arrays, got ndarray"):
        Add(name="m")(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="Concatenate: axis must not be that of the batch, got 0"):
        Concatenate(0)
