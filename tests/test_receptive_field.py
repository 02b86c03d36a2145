"""Receptive fields and multiply-adds: against measurement, and by hand."""

from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import Input
from fastconv.layers import (
    Add,
    AveragePooling2D,
    Concatenate,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    Multiply,
    ReLU,
    Reshape,
    ZeroPadding2D,
)
from fastconv.models import BaseModel
from fastconv.receptive_field import ReceptiveField


def _positive(model: BaseModel) -> None:
    """Make every weight positive: then an output changes with every input that it sees."""
    model.set_weights([np.abs(weight) + 0.1 for weight in model.get_weights()])


def _seen(model: BaseModel, output: tuple[int, int], shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return rows and columns of the input that change one output of the model."""
    base = np.ones((1, *shape))
    expected = model.predict(base)[0, *output]
    rows, columns = set(), set()
    batch = np.repeat(base, shape[0] * shape[1], axis=0)
    for index in range(len(batch)):
        batch[index, index // shape[1], index % shape[1]] += 5
    for index in np.flatnonzero((model.predict(batch)[:, *output] != expected).any(axis=-1)):
        rows.add(int(index) // shape[1])
        columns.add(int(index) % shape[1])
    return sorted(rows), sorted(columns)


def _predicted(field: ReceptiveField, output: tuple[int, int], shape: tuple[int, ...]) -> Any:
    found = []
    for axis in (0, 1):
        first = field.start[axis] + output[axis] * field.stride[axis]
        found.append([i for i in range(first, first + field.size[axis]) if 0 <= i < shape[axis]])
    return tuple(found)


def _chains() -> list[Any]:
    wide: dict[str, Any] = {"dtype": "float64"}
    return [
        [Conv2D(2, 3, **wide), Conv2D(2, 3, **wide)],
        [Conv2D(2, (3, 5), strides=(2, 1), **wide), Conv2D(2, 3, dilation_rate=2, **wide)],
        [Conv2D(2, 3, padding="same", strides=2, **wide), Conv2D(2, 2, padding="same", **wide)],
        [Conv2D(2, 4, padding="same", strides=3, dilation_rate=1, **wide), AveragePooling2D(2, **wide)],
        [ZeroPadding2D(((2, 1), (1, 3)), **wide), Conv2D(2, 3, **wide), ReLU(**wide), MaxPooling2D(3, 2, **wide)],
        [AveragePooling2D(3, 2, padding="same", **wide), Conv2D(1, 1, **wide), Conv2D(2, 3, padding="same", **wide)],
    ]


@pytest.mark.parametrize("number", range(len(_chains())))
def test_fields_of_chains_are_those_measured(number: int) -> None:
    shape = (17, 18, 1)
    model = fc.Sequential(_chains()[number])
    model.build((None, *shape))
    _positive(model)
    field = list(model.receptive_field().values())[-1]
    height, width = model.output_shape[1:3]
    for output in ((0, 0), (height // 2, width // 2), (height - 1, width - 1)):
        seen, expected = _seen(model, output, shape), _predicted(field, output, shape)
        for found, whole in zip(seen, expected, strict=True):
            # Dilation leaves gaps within a field, never at its ends.
            assert (found[0], found[-1]) == (whole[0], whole[-1])
            assert set(found) <= set(whole)


def test_fields_of_branches_are_the_smallest_around_all() -> None:
    x = Input((20, 20, 1), name="x")
    wide: dict[str, Any] = {"dtype": "float64", "padding": "same"}
    narrow = Conv2D(2, 3, **wide)(x)
    far = Conv2D(2, 3, dilation_rate=4, **wide)(x)
    joined = Concatenate(dtype="float64", name="joined")([narrow, far])
    model = fc.Model(x, Conv2D(1, 3, strides=2, dtype="float64", name="last")(joined))
    _positive(model)
    fields = model.receptive_field()
    assert fields["joined"] == ReceptiveField((9, 9), (1, 1), (-4, -4))
    assert fields["last"] == ReceptiveField((11, 11), (2, 2), (-4, -4))
    seen = _seen(model, (4, 4), (20, 20, 1))
    # 4 * 2 - 4 .. + 10: the dilated branch leaves gaps, but not at the ends.
    assert (seen[0][0], seen[0][-1]) == (4, 14)


def test_branches_that_are_shifted_are_covered_from_end_to_end() -> None:
    x = Input((9, 9, 1))
    shifted = ZeroPadding2D(((2, 0), (0, 2)))(x)
    y = Add(name="sum")([Conv2D(1, 3)(shifted), x])
    assert fc.Model(x, y).receptive_field()["sum"] == ReceptiveField((3, 3), (1, 1), (-2, 0))


def test_textbook_network_by_hand() -> None:
    """r = 7, then 7 + 4 * 2, then 15 + 2 * 4; strides 2, 4, 4."""
    model = fc.Sequential(
        [
            Conv2D(8, 7, strides=2, input_shape=(28, 28, 1), name="a"),
            Conv2D(16, 5, strides=2, name="b"),
            Conv2D(32, 3, name="c"),
            GlobalAveragePooling2D(name="d"),
            Dense(10, name="e"),
        ]
    )
    fields = model.receptive_field()
    assert [field.size[0] for field in fields.values()] == [7, 15, 23, 27, 27]
    assert [field.stride[0] for field in fields.values()] == [2, 4, 4, 4, 4]
    assert {field.start for field in fields.values()} == {(0, 0)}


def test_flatten_sees_all_that_its_input_sees() -> None:
    model = fc.Sequential([Conv2D(1, 3, input_shape=(8, 6, 1)), Flatten(), Dense(2, name="dense")])
    assert model.receptive_field()["dense"].size == (8, 6)


def test_layers_without_a_field_are_left_out() -> None:
    model = fc.Sequential(
        [Conv2D(1, 3, input_shape=(8, 8, 1), name="conv"), Reshape((6, 3, 2)), Conv2D(1, 1, name="last")]
    )
    assert list(model.receptive_field()) == ["conv"]


def test_a_nested_model_has_the_field_of_its_output() -> None:
    inner = fc.Sequential([Conv2D(1, 3), Conv2D(1, 3)], name="inner")
    model = fc.Sequential([Conv2D(1, 3, strides=2, input_shape=(16, 16, 1)), inner])
    assert model.receptive_field()["inner"] == ReceptiveField((11, 11), (2, 2), (0, 0))


def test_where_no_field_is_defined_the_error_says_why() -> None:
    x = Input((8, 8, 1))
    y = Multiply(name="gate")([x, AveragePooling2D(8)(x)])
    model = fc.Model(x, y)
    with pytest.raises(
        ValueError, match=r"receptive_field: 'gate' must join branches of one stride, got \(1, 1\) and \(8, 8\)"
    ):
        model.receptive_field()
    lines: list[str] = []
    model.summary(120, print_fn=lines.append)
    assert any(line.startswith("gate") and line.endswith(" -") for line in lines[0].splitlines())
    with pytest.raises(
        ValueError, match=r"receptive_field: the model must have one input with spatial axes, got \(None, 3\)"
    ):
        fc.Sequential([Dense(2, input_shape=(3,))]).receptive_field()
    with pytest.raises(RuntimeError, match="input shape is not known before the model is built"):
        fc.Sequential([Dense(2)]).receptive_field()


@pytest.mark.parametrize(
    ("layer", "shape", "count"),
    [
        (Conv2D(8, 7, strides=2), (None, 28, 28, 1), 11 * 11 * 8 * 49),
        (Conv2D(8, (3, 1), groups=4, padding="same"), (None, 5, 6, 4), 5 * 6 * 8 * 3),
        (Conv2D(8, 3, data_format="channels_first"), (None, 2, 6, 5), 4 * 3 * 8 * 9 * 2),
        (Dense(10), (None, 32), 320),
        (Dense(10), (None, 5, 6), 5 * 60),
        (MaxPooling2D(), (None, 8, 8, 3), 0),
    ],
)
def test_multiply_adds_by_hand(layer: Any, shape: Any, count: int) -> None:
    assert layer.multiply_adds(shape) == count


def test_summary_adds_up_the_multiply_adds_of_a_nested_model() -> None:
    inner = fc.Sequential([Dense(4), Dense(2)], name="inner")
    x = Input((3,))
    lines: list[str] = []
    fc.Model(x, inner(x)).summary(160, print_fn=lines.append)
    row = next(line for line in lines[0].splitlines() if line.startswith("inner"))
    assert row.split()[-2] == str(3 * 4 + 4 * 2)
