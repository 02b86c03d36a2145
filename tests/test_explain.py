"""The table of algorithms."""

import math

import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import MatmulConv2D

import fastconv as fc
import fastconv.functional as F
from fastconv import _core

NAMES = ["direct", "im2col", "toeplitz", "toeplitz_full", "winograd_2x2", "winograd_4x4"]
LAYER = (16, 128, 28, 28), (128, 128, 3, 3)


def rows(*args, **options):
    return {row.algorithm: row for row in fc.explain(*args, **options).rows}


def computed(direction, x, w, gy, options, algorithm):
    if direction == "forward":
        return F.conv2d(x, w, **options, algorithm=algorithm)
    gradients = F.conv2d_backward(gy, x, w, **options, algorithm=algorithm, needs=direction)
    return gradients[0 if direction == "input" else 1]


@settings(max_examples=60)
@given(case=strategies.conv2d(), direction=st.sampled_from(["forward", "input", "weight"]))
def test_what_applies_can_be_computed_and_nothing_else(case, direction):
    x, w, _ = case.arrays()
    table = fc.explain(x.shape, w.shape, **case.options, dtype=case.dtype, direction=direction)
    assert [row.algorithm for row in table.rows] == NAMES
    gy = np.zeros_like(F.conv2d(x, w, **case.options))
    for row in table.rows:
        if row.applies:
            computed(direction, x, w, gy, case.options, row.algorithm)
        else:
            with pytest.raises(ValueError, match="algorithm") as caught:
                computed(direction, x, w, gy, case.options, row.algorithm)
            assert str(caught.value).endswith(f"algorithm {row.algorithm!r} {row.note}")
    (chosen,) = (row for row in table.rows if row.chosen)
    assert chosen.applies
    assert chosen.algorithm == table.chosen


@settings(max_examples=30)
@given(case=strategies.conv2d(), direction=st.sampled_from(["forward", "input", "weight"]))
def test_chosen_algorithm_is_the_one_that_auto_runs(case, direction):
    x, w, _ = case.arrays()
    gy = case.grad_output(F.conv2d(x, w, **case.options).shape)
    table = fc.explain(x.shape, w.shape, **case.options, dtype=case.dtype, direction=direction)
    one = computed(direction, x, w, gy, case.options, "auto")
    if "channels last" not in table.why:
        other = computed(direction, x, w, gy, case.options, table.chosen)
    else:
        last = {**case.options, "data_format": "channels_last"}
        moved = np.moveaxis(x, -3, -1), w.transpose(2, 3, 1, 0), np.moveaxis(gy, -3, -1)
        other = computed(direction, *moved, last, table.chosen)
        other = other.transpose(3, 2, 0, 1) if direction == "weight" else np.moveaxis(other, -1, -3)
    assert one.tobytes() == other.tobytes()


class TestNumbers:
    def test_multiplications_of_a_layer(self):
        table = rows(*LAYER, padding=1)
        assert table["direct"].multiplications == 16 * 28 * 28 * 128 * 128 * 9
        assert table["winograd_2x2"].multiplications == 16 * 14 * 14 * 16 * 128 * 128
        assert table["winograd_4x4"].multiplications == 16 * 7 * 7 * 36 * 128 * 128

    def test_tiles_that_stand_out_count_whole(self):
        assert rows((1, 4, 7, 5), (8, 4, 3, 3), padding=1)["winograd_4x4"].multiplications == 2 * 2 * 36 * 4 * 8

    def test_tiles_of_an_input_gradient_are_those_of_the_input(self):
        sizes = (1, 1, 8, 8), (1, 1, 3, 3)
        assert rows(*sizes, direction="input")["winograd_4x4"].multiplications == 4 * 36
        assert rows(*sizes, padding=2, direction="input")["winograd_4x4"].multiplications == 4 * 36
        assert rows(*sizes, padding=2)["winograd_4x4"].multiplications == 9 * 36

    def test_groups_divide_the_products(self):
        shapes = (2, 8, 9, 9), (6, 4, 3, 3)
        assert rows(*shapes, stride=2, groups=2)["direct"].multiplications == 2 * 16 * 6 * 4 * 9

    def test_layout_does_not_change_the_products(self):
        last = rows((16, 28, 28, 128), (3, 3, 128, 128), padding=1, data_format="channels_last")
        for name, row in rows(*LAYER, padding=1).items():
            assert last[name].multiplications == row.multiplications

    @pytest.mark.parametrize("direction", ["forward", "input", "weight"])
    @pytest.mark.parametrize("channels", [1, 16, 128])
    def test_error_is_about_that_of_random_numbers(self, direction, channels, rng):
        x, w, gy = (
            rng.standard_normal(shape).astype(np.float32)
            for shape in ((2, 12, 12, channels), (3, 3, channels, 16), (2, 12, 12, 16))
        )
        options = {"padding": 1, "data_format": "channels_last"}
        matmul = MatmulConv2D(x, w, (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
        exact = matmul.forward() if direction == "forward" else getattr(matmul, f"grad_{direction}")(gy)
        for row in fc.explain(x.shape, w.shape, **options, direction=direction).rows:
            if row.applies:
                error = np.abs(computed(direction, x, w, gy, options, row.algorithm) - exact).max()
                assert row.error / 8 < error / np.abs(exact).max() < row.error * 4, row.algorithm

    def test_error_of_float64_is_smaller_by_its_eps(self):
        single, double = (rows(*LAYER, padding=1, dtype=dtype) for dtype in ("float32", "float64"))
        for name in ("direct", "winograd_4x4"):
            assert double[name].error * 2**29 == pytest.approx(single[name].error)

    def test_workspace_is_what_the_core_takes(self):
        _core.scratch_trim()
        assert rows(*LAYER, padding=1)["direct"].workspace_bytes > 0
        assert _core.scratch_bytes() == 0

    def test_workspace_of_float64_is_larger(self):
        single, double = (rows(*LAYER, padding=1, dtype=dtype) for dtype in ("float32", "float64"))
        for name in ("direct", "winograd_4x4"):
            assert double[name].workspace_bytes > single[name].workspace_bytes

    def test_toeplitz_is_direct_for_the_weight_gradient(self):
        table = rows(*LAYER, padding=1, direction="weight")
        for name in ("toeplitz", "toeplitz_full"):
            assert table[name].note == "computed as direct"
            assert table[name].multiplications == table["direct"].multiplications


class TestReasons:
    @pytest.mark.parametrize(
        ("options", "note"),
        [
            ({"stride": (1, 2)}, "needs stride 1, got (1, 2)"),
            ({"dilation": 2}, "needs dilation 1, got (2, 2)"),
            ({"groups": 2}, "needs groups 1, got 2"),
        ],
    )
    def test_winograd_says_which_condition_fails(self, options, note):
        table = rows((1, 4, 9, 9), (4, 4 // options.get("groups", 1), 3, 3), **options)
        for name in ("winograd_2x2", "winograd_4x4"):
            row = table[name]
            assert not row.applies
            assert row.note == note
            assert row.multiplications is row.workspace_bytes is row.error is None

    def test_why_names_what_decided(self):
        assert fc.explain(*LAYER, padding=1).why == "it saves more multiplications than its transforms cost"
        assert "float64" in fc.explain(*LAYER, padding=1, dtype="float64").why
        assert "vectors are full" in fc.explain((2, 32, 32, 3), (7, 7, 3, 4), data_format="channels_last").why
        first_layer = fc.explain(
            (16, 56, 56, 2), (7, 7, 2, 64), stride=2, padding=3, direction="input", data_format="channels_last"
        )
        assert "over all taps" in first_layer.why
        with fc.set_precision("strict"):
            strict = fc.explain(*LAYER, padding=1)
        assert strict.chosen == "direct"
        assert "strict" in strict.why

    @pytest.mark.parametrize("direction", ["forward", "input", "weight"])
    def test_auto_takes_what_it_expects_to_be_the_fastest(self, direction):
        for shapes in (LAYER, ((64, 1, 28, 28), (8, 1, 3, 3)), ((8, 2, 30, 30), (5, 2, 3, 3))):
            table = rows(*shapes, padding=1, direction=direction)
            times = {name: row.expected_time for name, row in table.items() if row.expected_time is not None}
            assert {"direct", "im2col", "toeplitz"} <= set(times)
            assert times["direct"] == 1
            (chosen,) = (name for name, row in table.items() if row.chosen)
            assert times[chosen] == min(times.values()) or (chosen == "direct" and min(times.values()) >= 0.95)

    def test_no_time_is_expected_of_groups(self):
        assert all(row.expected_time is None for row in rows((1, 4, 9, 9), (4, 2, 3, 3), groups=2).values())


class TestTable:
    def test_it_prints_every_row_and_marks_the_chosen(self):
        table = fc.explain(*LAYER, padding=1)
        lines = str(table).splitlines()
        assert lines[0] == "forward of input (16, 128, 28, 28) with weight (128, 128, 3, 3), channels_first, float32"
        assert len(lines) == len(NAMES) + 3
        marked = [line.split()[1] for line in lines if line.startswith("*")]
        assert marked == [table.chosen]
        assert lines[-1] == f"auto takes {table.chosen}: {table.why}"
        assert f"{table.rows[0].multiplications:,}" in lines[2]

    def test_columns_stand_below_their_names(self):
        lines = str(fc.explain((1, 1, 9, 9), (1, 1, 3, 3))).splitlines()
        end = lines[1].index("multiplications") + len("multiplications")
        assert all(line[end - 1] != " " and line[end] == " " for line in lines[1:-1])

    def test_it_is_the_same_every_time(self):
        first, second = fc.explain(*LAYER, padding="same"), fc.explain(*map(list, LAYER), padding=((1, 1), (1, 1)))
        assert first == second
        assert str(first) == repr(second)

    def test_nothing_is_allocated_for_a_layer_that_no_memory_holds(self):
        table = fc.explain((1024, 1024, 2**14, 2**14), (1024, 1024, 3, 3), padding=1)
        assert table.rows[0].multiplications == math.prod([1024, 1024, 2**14, 2**14, 1024, 9])


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "error", "text"),
        [
            ({"dtype": "int32"}, TypeError, "dtype must be float32 or float64, got int32"),
            ({"dtype": "float16"}, TypeError, "dtype must be float32 or float64, got float16"),
            (
                {"direction": "backward"},
                ValueError,
                "direction must be one of 'forward', 'input', 'weight', got 'backward'",
            ),
            (
                {"data_format": "NCHW"},
                ValueError,
                "data_format must be 'channels_first' or 'channels_last', got 'NCHW'",
            ),
            ({"stride": 0}, ValueError, "stride must be at least 1, got 0"),
            ({"groups": 3}, ValueError, "groups must divide the 128 input channels, got 3"),
        ],
        ids=str,
    )
    def test_options(self, options, error, text):
        with pytest.raises(error) as caught:
            fc.explain(*LAYER, **options)
        assert str(caught.value) == f"explain: {text}"
