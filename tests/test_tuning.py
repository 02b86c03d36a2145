"""Measured choices of algorithms."""

import json

import numpy as np
import pytest
from oracle import assert_same_bits

import fastconv as fc
import fastconv.functional as F

LAYER = {"input_shape": (2, 16, 12, 12), "weight_shape": (16, 16, 3, 3), "padding": "same"}
CASES = [
    LAYER,
    {**LAYER, "dtype": "float64"},
    {**LAYER, "direction": "input"},
    {**LAYER, "direction": "weight"},
    {
        "input_shape": [1, 9, 8, 4],
        "weight_shape": [2, 3, 2, 6],
        "stride": [2, 1],
        "padding": ((0, 1), (2, 0)),
        "dilation": 2,
        "groups": 2,
        "data_format": "channels_last",
    },
]


@pytest.fixture(autouse=True)
def forget():
    yield
    fc.load_tuning(None)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tuning.json"


def save(file, algorithm, **changes):
    """Write a table by hand, with one case."""
    row = {**LAYER, "padding": 1, "algorithm": algorithm, "milliseconds": {}, **changes}
    file.write_text(json.dumps({"format": "fastconv tuning", "version": 1, "cases": [row]}))


def arrays(rng):
    return (rng.standard_normal(LAYER[name]).astype(np.float32) for name in ("input_shape", "weight_shape"))


class TestTune:
    def test_every_case_gets_the_fastest_of_its_times(self, file):
        rows = fc.tune(CASES, file, seconds=0.01)
        assert len(rows) == len(CASES)
        for row in rows:
            assert row["algorithm"] == min(row["milliseconds"], key=row["milliseconds"].get)
            assert all(time > 0 for time in row["milliseconds"].values())
        assert json.loads(file.read_text())["cases"] == rows

    def test_auto_takes_what_was_measured(self, file):
        rows = fc.tune(CASES, file, seconds=0.01)
        fc.load_tuning(file)
        for case, row in zip(CASES, rows, strict=True):
            table = fc.explain(**case)
            assert table.chosen == row["algorithm"]
            assert table.why == "a tuning table was loaded that has this case"

    def test_all_that_applies_is_measured_once(self, file):
        forward, double, _, weight, _ = fc.tune(CASES, file, seconds=0.01)
        applies = {row.algorithm for row in fc.explain(**LAYER).rows if row.applies}
        assert set(forward["milliseconds"]) == applies
        assert not any(name.startswith("winograd") for name in double["milliseconds"])
        assert not any(name.startswith("toeplitz") for name in weight["milliseconds"])

    @pytest.mark.parametrize(
        ("case", "error", "text"),
        [
            ({**LAYER, "stride": 0}, ValueError, "tune: stride must be at least 1, got 0"),
            ({**LAYER, "dtype": "int8"}, TypeError, "tune: dtype must be float32 or float64, got int8"),
            ({**LAYER, "kernel": 3}, TypeError, "kernel"),
            ({}, TypeError, "input_shape"),
        ],
    )
    def test_bad_case_leaves_the_file_as_it_was(self, file, case, error, text):
        file.write_text("before")
        with pytest.raises(error, match=text):
            fc.tune([LAYER, case], file, seconds=0.01)
        assert file.read_text() == "before"
        assert list(file.parent.iterdir()) == [file]


class TestLoad:
    @pytest.mark.parametrize("algorithm", ["direct", "toeplitz", "winograd_2x2"])
    def test_auto_takes_the_algorithm_of_the_table(self, file, algorithm, rng):
        save(file, algorithm)
        fc.load_tuning(file)
        x, w = arrays(rng)
        assert_same_bits(F.conv2d(x, w, padding=1), F.conv2d(x, w, padding=1, algorithm=algorithm))
        assert_same_bits(F.prepare_conv2d(w, padding=1)(x), F.conv2d(x, w, padding=1, algorithm=algorithm))

    @pytest.mark.parametrize("index", [0, 1])
    def test_gradients_have_cases_of_their_own(self, file, index, rng):
        save(file, "winograd_2x2", direction=("input", "weight")[index])
        own = F.conv2d_backward, F.conv2d
        x, w = arrays(rng)
        gy = rng.standard_normal((2, 16, 12, 12)).astype(np.float32)
        before = own[0](gy, x, w, padding=1), own[1](x, w, padding=1)
        fc.load_tuning(file)
        after = own[0](gy, x, w, padding=1), own[1](x, w, padding=1)
        expected = F.conv2d_backward(gy, x, w, padding=1, algorithm="winograd_2x2")
        assert_same_bits(after[0][index], expected[index])
        assert_same_bits(after[0][1 - index], before[0][1 - index])
        assert_same_bits(after[1], before[1])

    def test_other_cases_are_left_alone(self, file):
        save(file, "winograd_2x2")
        others = [
            {**LAYER, "input_shape": (3, 16, 12, 12)},
            {**LAYER, "padding": 0},
            {**LAYER, "dtype": "float64"},
            {**LAYER, "direction": "input"},
        ]
        before = [fc.explain(**case) for case in others]
        fc.load_tuning(file)
        assert [fc.explain(**case) for case in others] == before
        assert fc.explain(**LAYER).chosen == "winograd_2x2"

    def test_strict_precision_comes_before_the_table(self, file, rng):
        save(file, "winograd_2x2")
        fc.load_tuning(file)
        x, w = arrays(rng)
        with fc.set_precision("strict"):
            assert_same_bits(F.conv2d(x, w, padding=1), F.conv2d(x, w, padding=1, algorithm="direct"))
            assert fc.explain(**LAYER).chosen == "direct"
            assert "strict" in fc.explain(**LAYER).why

    def test_none_forgets(self, file):
        before = fc.explain(**LAYER)
        save(file, "winograd_2x2")
        fc.load_tuning(file)
        assert fc.explain(**LAYER) != before
        fc.load_tuning(None)
        assert fc.explain(**LAYER) == before

    def test_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            fc.load_tuning(tmp_path / "none")


class TestDamaged:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"\xff\xfe\x00",
            b"[]",
            b"{}",
            b"null",
            b"[" * 100_000,
            b'{"format": "fastconv tuning", "version": 2, "cases": []}',
            b'{"format": "fastconv tuning", "version": 1}',
            b'{"format": "fastconv tuning", "version": 1, "cases": {}}',
            b'{"format": "fastconv tuning", "version": 1, "cases": [1]}',
            b'{"format": "fastconv tuning", "version": 1, "cases": [{}]}',
        ],
        ids=range(12),
    )
    def test_content(self, file, content):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"^load_tuning: .*tuning\.json must be a complete tuning file"):
            fc.load_tuning(file)

    @pytest.mark.parametrize(
        "changes",
        [
            {"algorithm": "fft"},
            {"algorithm": 3},
            {"algorithm": None},
            {"algorithm": "winograd_4x4", "stride": 2},
            {"input_shape": [2, 15, 12, 12]},
            {"input_shape": 7},
            {"input_shape": [2, 16, 1e400, 12]},
            {"weight_shape": None},
            {"stride": 1.5},
            {"padding": {"a": 1}},
            {"dtype": "no"},
            {"dtype": 5},
            {"direction": []},
            {"more": 1},
        ],
        ids=str,
    )
    def test_entry(self, file, changes):
        before = fc.explain(**LAYER)
        save(file, "direct", **changes) if "algorithm" not in changes else save(file, **changes)
        with pytest.raises(ValueError, match=r"^load_tuning: .*tuning\.json must be a complete tuning file"):
            fc.load_tuning(file)
        assert fc.explain(**LAYER) == before

    def test_every_prefix_of_a_file(self, file):
        save(file, "direct")
        whole = file.read_bytes()
        for length in range(0, len(whole), 7):
            file.write_bytes(whole[:length])
            with pytest.raises(ValueError, match="must be a complete tuning file"):
                fc.load_tuning(file)
