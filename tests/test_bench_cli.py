"""``fastconv bench`` measures what it says, checks it first, and shows no number that belongs to a wrong result."""

import json
import re
import sys
import types
from dataclasses import replace

import numpy as np
import pytest

import fastconv as fc
import fastconv.functional as F
from fastconv import bench, demo, reference
from fastconv.bench import clock, own
from fastconv.bench.problem import Problem
from fastconv.cli import main

LAYER = ("--shape", "1x8x8x4", "--filters", "8")
SMALL = bench.Case((1, 8, 8, 4), 8, 3)


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Time as little as possible: what is tested here is not the time."""
    monkeypatch.setattr(clock, "SAMPLE_SECONDS", 0.0)
    monkeypatch.setattr(clock, "FEWEST_ROUNDS", 2)


@pytest.fixture
def broken(monkeypatch):
    """Make the direct algorithm wrong in one element, in every pass."""
    forward, backward = F.conv2d, F.conv2d_backward

    def spoilt(computed, algorithm):
        if computed is not None and algorithm == "direct":
            computed.flat[-1] += 1.0
        return computed

    def conv2d(*arguments, algorithm="auto", **options):
        return spoilt(forward(*arguments, algorithm=algorithm, **options), algorithm)

    def conv2d_backward(*arguments, algorithm="auto", **options):
        gradients = backward(*arguments, algorithm=algorithm, **options)
        return tuple(spoilt(gradient, algorithm) for gradient in gradients)

    monkeypatch.setattr(F, "conv2d", conv2d)
    monkeypatch.setattr(F, "conv2d_backward", conv2d_backward)


def run(*words: object) -> int:
    return main(["bench", "--seconds", "0", "--threads", "1", *map(str, words)])


def error_of(capsys, *words: object) -> str:
    """Run a command that must fail, and return its one line on stderr."""
    try:
        status = run(*words)
    except SystemExit as stop:
        status = stop.code
    message = capsys.readouterr().err
    assert status == 2
    assert message.startswith("fastconv bench: ")
    assert message.count("\n") == 1
    return message


def lines_of(page: str) -> dict[str, list[str]]:
    """Return the words after each algorithm's name in a table of one layer, its mark first if it has one."""
    found = {}
    for line in page.splitlines():
        match = re.match(r"  ([* ]) (\w+( channels_last)?) +(\S.*)", line)
        if match:
            found[match[2]] = [*match[1].strip(), *match[4].split()]
    return found


class TestCase:
    def test_named_layers_are_of_every_kind_that_users_ask_about(self):
        assert len(bench.LAYERS) == 12
        assert len({layer.name for layer in bench.LAYERS}) == 12
        kernels = {layer.geometry.kernel[1] for layer in bench.LAYERS}
        assert kernels == {1, 3, 5, 7}
        assert {min(layer.shape[-1], 64) for layer in bench.LAYERS} >= {1, 64}
        for attribute in ("stride", "dilation"):
            assert any(getattr(layer.geometry, attribute)[1] > 1 for layer in bench.LAYERS)
        assert any(layer.groups > 1 for layer in bench.LAYERS)
        assert len(bench.FEW_LAYERS) == 3

    @pytest.mark.parametrize(
        ("options", "work"),
        [
            ({}, 2 * 64 * 8 * 9 * 4),
            ({"stride": 2}, 2 * 16 * 8 * 9 * 4),
            ({"groups": 2}, 2 * 64 * 8 * 9 * 2),
            ({"padding": 0}, 2 * 36 * 8 * 9 * 4),
        ],
    )
    @pytest.mark.parametrize("direction", bench.DIRECTIONS)
    def test_work_is_that_of_the_direct_method_in_every_pass(self, options, work, direction):
        assert replace(SMALL, direction=direction, **options).work == work

    def test_groups_must_divide_the_channels(self):
        with pytest.raises(ValueError, match="bench: groups must divide the input's 4 channels, got 3"):
            replace(SMALL, groups=3)

    @pytest.mark.parametrize("over", bench.SWEEPS)
    def test_sweep_changes_one_thing(self, over):
        variants = bench.sweep(SMALL, over)
        assert [value for value, _ in variants] == list(bench.SWEEPS[over])
        pick = {
            "channels": lambda case: case.shape[3],
            "size": lambda case: case.shape[1],
            "kernel": lambda case: case.kernel,
            "batch": lambda case: case.shape[0],
        }
        for name, value_of in pick.items():
            values = [value_of(case) for _, case in variants]
            assert (values == list(bench.SWEEPS[over])) == (name == over)

    def test_sweep_leaves_out_what_is_impossible(self):
        assert [value for value, _ in bench.sweep(replace(SMALL, padding=0), "kernel")] == [1, 3, 5, 7]
        assert [value for value, _ in bench.sweep(replace(SMALL, groups=4), "channels")] == [4, 8, 16, 32, 64, 128, 256]
        with pytest.raises(ValueError, match="output height"):
            bench.sweep(replace(SMALL, kernel=(3, 8), shape=(1, 2, 8, 4), padding=0), "batch")

    def test_channels_sweep_keeps_filters_that_are_given(self):
        assert {case.filters for _, case in bench.sweep(SMALL, "channels", filters=5)} == {5}


class TestProblem:
    @pytest.mark.parametrize("direction", bench.DIRECTIONS)
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"stride": (2, 1), "kernel": (3, 2), "padding": ((1, 0), (0, 2))},
            {"groups": 2, "dilation": (1, 2)},
            {"groups": 4, "filters": 4, "stride": 3},
        ],
    )
    def test_expectation_is_the_reference_s(self, direction, options):
        case = replace(SMALL, direction=direction, **options)
        problem = Problem(case)
        how = (case.stride, case.padding, case.dilation, case.groups)
        x, w, gy = (operand.astype(np.float64) for operand in (problem.x, problem.w, problem.gy))
        if direction == "forward":
            expected = reference.conv2d(x, w, None, *how, data_format="channels_last")
        else:
            gradients = reference.conv2d_backward(gy, x, w, None, *how, data_format="channels_last")
            expected = gradients[bench.DIRECTIONS.index(direction) - 1]
        np.testing.assert_allclose(problem.expected, expected, rtol=1e-12, atol=1e-12)

    def test_right_and_wrong(self):
        problem = Problem(SMALL)
        result = problem.expected.astype(np.float32)
        assert problem.is_right(result, "direct")
        assert problem.error(result) < 1e-6
        result[0, 3, 3, 3] += 0.01
        assert not problem.is_right(result, "direct")
        assert problem.error(result) == pytest.approx(0.01 / np.abs(problem.expected).max(), rel=1e-3)
        result[0, 3, 3, 3] = np.nan
        assert not problem.is_right(result, "direct")
        assert not problem.is_right(result[..., 1:], "direct")
        assert np.isnan(problem.error(result[..., 1:]))

    @pytest.mark.parametrize("algorithm", ["direct", "winograd_4x4"])
    def test_one_lost_product_among_thousands_is_wrong(self, algorithm):
        problem = Problem(bench.Case((1, 4, 4, 512), 8, 3))
        assert problem.case.terms == 4608
        result = problem.expected.astype(np.float32)
        assert problem.is_right(result, algorithm)
        result[0, 1, 1, 0] += 0.5
        assert not problem.is_right(result, algorithm)


class TestClock:
    def test_everyone_takes_part_in_every_round_in_turns(self, monkeypatch):
        monkeypatch.setattr(clock, "FEWEST_ROUNDS", 3)
        calls = []
        players = [clock.Contestant(n, "l", lambda n=n: calls.append(n), lambda y: y) for n in "ab"]
        samples = clock.interleaved(players, 0.0)
        assert {name: len(values) for name, values in samples.items()} == {"a": 3, "b": 3}
        turn = clock.WARM_CALLS + 1
        assert "".join(calls[-6 * turn :]) == ("a" * turn + "b" * turn) * 3

    @pytest.mark.parametrize(("seconds", "before", "timed"), [(0.001, 3, 4), (0.01, 3, 1), (0.1, 1, 1), (0.3, 0, 1)])
    def test_the_longer_a_call_the_fewer_come_before_it(self, seconds, before, timed, monkeypatch):
        now = [0.0]
        monkeypatch.setattr(clock, "SAMPLE_SECONDS", 0.004)
        monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
        calls = []

        def call():
            calls.append(1)
            now[0] += seconds

        samples = clock.interleaved([clock.Contestant("a", "l", call, lambda y: y)], 0.0, fewest=1)
        assert samples["a"] == [pytest.approx(seconds)]
        tried = 1 if seconds > 0.004 else 2
        assert len(calls) == tried + before + timed

    def test_two_libraries_with_threads_wait_for_each_other(self, monkeypatch):
        waits = []
        monkeypatch.setattr(clock, "wait_until_idle", lambda: waits.append(1))
        players = [
            clock.Contestant(n, lib, lambda: None, lambda y: y) for n, lib in (("a", "x"), ("b", "x"), ("c", "y"))
        ]
        for threads, changes_a_round in ((1, 0), (2, 2)):
            waits.clear()
            with fc.set_num_threads(threads):
                clock.interleaved(players, 0.0)
            # The first of the first round follows the last one's warming up.
            assert len(waits) == changes_a_round * clock.FEWEST_ROUNDS

    def test_waiting_ends_with_a_pause_without_cpu_time(self, monkeypatch):
        spent = iter([0.0, 0.004, 0.004, 0.006, 0.006, 0.006])
        pauses = []
        monkeypatch.setattr(clock.time, "process_time", lambda: next(spent))
        monkeypatch.setattr(clock.time, "sleep", pauses.append)
        clock.wait_until_idle()
        assert len(pauses) == 3


class TestTable:
    def test_one_layer(self, capsys):
        assert run(*LAYER) == 0
        page = capsys.readouterr().out
        assert "1x8x8x4, 8 filters 3x3" in page
        assert re.search(r"forward, float32, channels_last, 1 thread; FMA peak [\d.]+ GFLOP/s", page)
        found = lines_of(page)
        assert {"direct", "winograd_2x2", "winograd_4x4"} <= set(found)
        assert sum(words[0] == "*" for words in found.values()) == 1
        for words in found.values():
            median, least, rate, share = words[words[0] == "*" :][:4]
            assert float(median) >= float(least) > 0
            assert float(rate) >= 0  # in tenths: 0.0 on a machine that does other things
            assert share.endswith("%")
            assert words[-2] in ("KiB", "MiB") or words[-3] in ("KiB", "MiB")
            assert float(words[-1]) < 1e-4

    def test_the_mark_is_at_what_auto_takes(self, capsys):
        case = bench.Case((1, 8, 8, 4), 8, 3)
        assert run(*LAYER) == 0
        (marked,) = [name for name, words in lines_of(capsys.readouterr().out).items() if words[0] == "*"]
        assert marked == own.resolved(case, "auto")

    def test_built_in_layers_are_all_there(self, capsys, monkeypatch):
        few = [bench.Case((1, 4, 4, 2), 2, 3, name="small"), bench.Case((1, 4, 4, 2), 2, 1, name="smaller")]
        monkeypatch.setattr(bench, "LAYERS", few)
        assert run("--dtype", "float64", "--direction", "weight", "--data-format", "channels_first") == 0
        page = capsys.readouterr().out
        assert "gradient of the weight, float64, channels_first" in page
        assert "small: 1x4x4x2, 2 filters 3x3" in page
        assert "smaller: 1x4x4x2, 2 filters 1x1" in page

    @pytest.mark.parametrize("direction", bench.DIRECTIONS)
    @pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
    def test_every_pass_and_format_is_right(self, direction, data_format):
        case = replace(SMALL, direction=direction, data_format=data_format, stride=(2, 1), groups=2)
        (row,) = bench.run([case], threads=1, seconds=0).rows
        assert row.results[0].name == "direct"
        assert all(result.right for result in row.results)

    def test_algorithms_by_name(self, capsys):
        assert run(*LAYER, "--algorithms", "winograd,auto,direct") == 0
        assert list(lines_of(capsys.readouterr().out)) == ["winograd", "auto", "direct"]

    def test_algorithm_that_does_not_apply_is_left_out_of_a_table(self):
        cases = [SMALL, replace(SMALL, kernel=5)]
        report = bench.run(cases, ["direct", "winograd_2x2"], threads=1, seconds=0)
        assert [[result.name for result in row.results] for row in report.rows] == [
            ["direct", "winograd_2x2"],
            ["direct"],
        ]

    def test_much_workspace_needs_to_be_asked_for(self, monkeypatch):
        assert "winograd_4x4" in own.applicable(SMALL)
        monkeypatch.setattr(own, "MOST_WORKSPACE", own.workspace(SMALL, "winograd_4x4") - 1)
        assert "winograd_4x4" not in own.applicable(SMALL)
        (row,) = bench.run([SMALL], ["winograd_4x4"], threads=1, seconds=0).rows
        assert row.results[0].right

    def test_threads_are_set_for_the_run_only(self, monkeypatch):
        seen = []
        real = clock.interleaved
        monkeypatch.setattr(clock, "interleaved", lambda *how: (seen.append(fc.get_num_threads()), real(*how))[1])
        before = fc.get_num_threads()
        assert bench.run([SMALL], ["direct"], threads=3, seconds=0).threads == 3
        assert seen == [3]
        assert fc.get_num_threads() == before


class TestWrongResults:
    @pytest.mark.parametrize("direction", bench.DIRECTIONS)
    def test_no_number_is_printed_or_written(self, broken, capsys, tmp_path, direction):
        file = tmp_path / "a.json"
        assert run(*LAYER, "--direction", direction, "--algorithms", "direct,winograd_2x2", "--json", file) == 1
        page = capsys.readouterr().out
        found = lines_of(page)
        assert next(word for word in found["direct"] if word != "*") == "wrong"
        assert not any(word.endswith("%") for word in found["direct"])
        assert float(found["winograd_2x2"][found["winograd_2x2"][0] == "*"]) > 0
        assert "wrong: further from float64 than rounding explains" in page
        bad, good = json.loads(file.read_text())["rows"][0]["results"]
        assert (bad["right"], good["right"]) == (False, True)
        assert [bad[key] for key in ("median_ms", "min_ms", "gflops", "peak_percent")] == [None] * 4
        assert bad["error"] > 0.01

    def test_nothing_is_drawn_or_compared(self, broken, capsys, tmp_path):
        pytest.importorskip("matplotlib")
        from fastconv import plot

        report = bench.run([SMALL], ["direct", "winograd_2x2"], threads=1, seconds=0)
        assert len(plot.benchmark(report.as_dict()).axes[0].patches) == 1
        assert report.rows[0].fastest().name == "winograd_2x2"
        nothing = bench.run([SMALL], ["direct"], threads=1, seconds=0)
        assert nothing.rows[0].fastest() is None
        with pytest.raises(ValueError, match="benchmark: report must hold at least one time, got none"):
            plot.benchmark(nothing.as_dict())

    def test_sweep_says_wrong(self, broken, capsys):
        assert run(*LAYER[:2], "--sweep", "kernel", "--algorithms", "direct") == 1
        page = capsys.readouterr().out
        assert len(re.findall(r"^ +\d+ .*\bwrong$", page, flags=re.MULTILINE)) == len(bench.SWEEPS["kernel"])
        assert "fastest" not in page


class TestSweep:
    def test_one_line_a_value_one_column_an_algorithm(self, capsys):
        assert run("--shape", "1x8x8x2", "--sweep", "kernel", "--algorithms", "direct,winograd_2x2") == 0
        lines = capsys.readouterr().out.splitlines()
        head = next(number for number, line in enumerate(lines) if line.split()[:1] == ["kernel"])
        assert lines[head].split() == ["kernel", "direct", "winograd_2x2"]
        rows = [line.replace("*", "").split() for line in lines[head + 1 : head + 1 + len(bench.SWEEPS["kernel"])]]
        assert [int(row[0]) for row in rows] == list(bench.SWEEPS["kernel"])
        assert [len(row) for row in rows] == [3 if row[0] == "3" else 2 for row in rows]
        assert any(line.startswith("fastest at kernel ") for line in lines)

    def test_a_layer_of_ours_where_none_is_given(self, monkeypatch, tmp_path):
        monkeypatch.setitem(bench.SWEEPS, "batch", (1, 2))
        file = tmp_path / "a.json"
        assert run("--sweep", "batch", "--filters", "4", "--algorithms", "direct", "--json", file) == 0
        report = json.loads(file.read_text())
        assert report["swept"] == "batch"
        assert [row["value"] for row in report["rows"]] == [1, 2]
        shapes = [row["case"]["shape"] for row in report["rows"]]
        assert shapes == [[value, *bench.SWEPT_LAYER.shape[1:]] for value in (1, 2)]
        assert {row["case"]["filters"] for row in report["rows"]} == {4}

    def test_ranges_of_the_fastest(self):
        def row(value, **times):
            results = [bench.Result(n, True, False, 0.0, 0, 5, t, t, 1.0) for n, t in times.items()]
            return bench.Row(SMALL, "direct", results, value=value)

        rows = [row(1, a=1.0, b=2.0), row(2, a=1.0, b=2.0), row(4, a=3.0, b=2.0)]
        page = bench.Report({}, 1, 100.0, rows, "batch").as_text().splitlines()
        assert [line for line in page if line.startswith("fastest")] == [
            "fastest at batch 1 to 2: a",
            "fastest at batch 4: b",
        ]


class TestFiles:
    def test_json_has_every_number(self, tmp_path):
        file = tmp_path / "a.json"
        assert (
            run(*LAYER, "--stride", "2x1", "--padding", "1x0", "--dilation", "1x2", "--groups", "2", "--json", file)
            == 0
        )
        report = json.loads(file.read_text())
        assert set(report) == {"machine", "threads", "peak_gflops", "swept", "rows"}
        assert set(report["machine"]) == {"machine", "instruction set", "versions"}
        assert report["threads"] == 1
        assert report["swept"] is None
        (row,) = report["rows"]
        assert set(row) == {"case", "work", "auto", "value", "notes", "results"}
        case = row["case"]
        assert case["shape"] == [1, 8, 8, 4]
        assert (case["filters"], case["stride"], case["padding"], case["dilation"], case["groups"]) == (
            8,
            [2, 1],
            [1, 0],
            [1, 2],
            2,
        )
        assert row["work"] == 2 * 4 * 4 * 8 * 9 * 2
        assert row["auto"] in bench.ALGORITHMS
        for result in row["results"]:
            assert set(result) == {
                "name", "right", "auto", "error", "workspace_bytes", "rounds", "median_ms", "min_ms", "gflops",
                "peak_percent",
            }  # fmt: skip
            assert result["right"]
            assert result["rounds"] >= 2
            assert 0 < result["min_ms"] <= result["median_ms"]
            assert result["gflops"] == pytest.approx(row["work"] / result["median_ms"] / 1e6)
            assert result["peak_percent"] == pytest.approx(100 * result["gflops"] / report["peak_gflops"])
            assert 0 <= result["error"] < 1e-4
            assert result["workspace_bytes"] > 0

    @pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
    @pytest.mark.parametrize("sweep", [(), ("--sweep", "batch")])
    def test_plots(self, tmp_path, suffix, start, sweep):
        pytest.importorskip("matplotlib")
        file = tmp_path / f"a{suffix}"
        assert run(*LAYER, *sweep, "--plot", file) == 0
        assert file.read_bytes().startswith(start)
        assert file.stat().st_size > 5000

    def test_bars_and_curves_are_the_numbers(self):
        pytest.importorskip("matplotlib")
        from fastconv import plot

        table = bench.run([SMALL, replace(SMALL, kernel=1)], threads=1, seconds=0).as_dict()
        drawn = [bar.get_width() for bar in plot.benchmark(table).axes[0].patches]
        assert drawn == [result["gflops"] for row in table["rows"] for result in row["results"]]

        values, cases = zip(*bench.sweep(SMALL, "kernel"), strict=True)
        curves = bench.run(cases, ["direct", "winograd_2x2"], threads=1, seconds=0, swept=("kernel", values)).as_dict()
        axes = plot.benchmark(curves).axes[0]
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        direct, winograd = axes.lines
        assert direct.get_xdata().tolist() == list(values)
        assert direct.get_ydata().tolist() == [row["results"][0]["median_ms"] for row in curves["rows"]]
        assert np.isfinite(winograd.get_ydata()).tolist() == [value == 3 for value in values]
        assert direct.get_marker() != winograd.get_marker()
        assert direct.get_color() != winograd.get_color()

    def test_contestants_look_different(self):
        from fastconv import plot

        looks = plot.LOOKS.values()
        assert len({colour for colour, _, _ in looks}) == len({line for _, line, _ in looks}) == len(looks)
        assert set(bench.ALGORITHMS[1:]) <= set(plot.LOOKS)


class TestErrors:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("--shape", "8x8x4"), "--shape: must be four numbers as in 8x28x28x64, from 1 on, got '8x8x4'"),
            (("--shape", "1x0x8x4"), "--shape: must be four numbers"),
            ((*LAYER, "--kernel", "3x"), "--kernel: must be one number or two, as in 3 or 5x3, from 1 on, got '3x'"),
            ((*LAYER, "--padding", "most"), "--padding: must be same, valid, one number or two as in 2x1, got 'most'"),
            ((*LAYER, "--padding", "1x1x1"), "--padding: must be same"),
            ((*LAYER, "--filters", "0"), "--filters: must be a whole number from 1 on, got '0'"),
            ((*LAYER, "--threads", "0"), "--threads: must be a whole number from 1 on, got '0'"),
            ((*LAYER, "--threads", "9999"), "n must be from 1 to 1024, got 9999"),
            ((*LAYER, "--groups", "3"), "groups must divide the input's 4 channels, got 3"),
            ((*LAYER, "--kernel", "9", "--padding", "0"), "output height is"),
            ((*LAYER, "--dtype", "float16"), "--dtype: invalid choice: 'float16'"),
            ((*LAYER, "--direction", "sideways"), "--direction: invalid choice: 'sideways'"),
            (("--sweep", "colour"), "--sweep: invalid choice: 'colour'"),
            (("--sweep", "kernel", "--kernel", "3"), "--kernel must be left out with --sweep kernel"),
            (("--kernel", "5"), "--kernel must come with --shape, got none"),
            ((*LAYER, "--algorithms", "fft"), "--algorithms must name some of auto, direct, .*, got 'fft'"),
            ((*LAYER, "--algorithms", ","), "--algorithms must name one that applies here, got none"),
            ((*LAYER, "--kernel", "5", "--algorithms", "winograd"), "algorithm 'winograd' needs a 3x3 kernel"),
            ((*LAYER, "--against", "abacus"), "--against must name some of torch, onnxruntime, .*, got 'abacus'"),
            ((*LAYER, "--json", "no-such-folder/a.json"), "--json must name a file in an existing folder"),
            ((*LAYER, "--plot", "no-such-folder/a.png"), "--plot must name a file in an existing folder"),
            ((*LAYER, "--json", "."), "--json must name a file, got the folder ."),
            ((*LAYER, "--plot", "a.bmp"), "--plot must name a .png or .svg file, got a.bmp"),
            ((*LAYER, "--seconds", "soon"), "--seconds: must be a number from 0 on, got 'soon'"),
            ((*LAYER, "--seconds", "nan"), "--seconds: must be a number from 0 on, got 'nan'"),
            ((*LAYER, "--seconds", "inf"), "--seconds: must be a number from 0 on, got 'inf'"),
        ],
    )
    def test_one_line(self, capsys, words, message):
        assert re.search(message, error_of(capsys, *words))

    @pytest.mark.parametrize(
        ("peer", "module", "packages"),
        [("torch", "torch", "torch"), ("onnxruntime", "onnxruntime", "onnxruntime onnx"),
         ("onnxruntime", "onnx", "onnxruntime onnx")],
    )  # fmt: skip
    def test_missing_peer_says_what_to_install(self, capsys, monkeypatch, peer, module, packages):
        if module == "onnx":
            monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
        monkeypatch.setitem(sys.modules, module, None)
        message = error_of(capsys, *LAYER, "--against", peer)
        assert message == f"fastconv bench: --against {peer} needs it installed: pip install {packages}\n"

    def test_missing_matplotlib_is_found_before_measuring(self, capsys, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        assert 'pip install "fastconv[demo]"' in error_of(capsys, *LAYER, "--plot", tmp_path / "a.png")
        assert capsys.readouterr().out == ""


class TestPeers:
    @pytest.mark.parametrize("direction", bench.DIRECTIONS)
    def test_torch_in_both_formats_computes_the_same(self, torch, direction):
        case = replace(SMALL, direction=direction, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)
        before = torch.get_num_threads()
        (row,) = bench.run([case], ["direct"], ["torch"], threads=1, seconds=0).rows
        assert [result.name for result in row.results] == ["direct", "torch", "torch channels_last"]
        assert all(result.right for result in row.results)
        assert [result.workspace_bytes is None for result in row.results] == [False, True, True]
        assert not torch.is_inference_mode_enabled()
        assert torch.get_num_threads() == before

    def test_what_a_peer_cannot_do_is_a_note(self, torch, capsys):
        words = (*LAYER, "--stride", "2", "--kernel", "3", "--algorithms", "direct", "--against", "torch")
        assert run(*words) == 0
        page = capsys.readouterr().out
        assert "torch has no padding that differs before and after the input" in page
        assert list(lines_of(page)) == ["direct"]

    def test_onnxruntime_computes_the_same(self):
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
        case = replace(SMALL, stride=(2, 1), padding=((1, 2), (0, 1)), dilation=(1, 2), groups=2)
        (row,) = bench.run([case], ["direct"], ["onnxruntime"], threads=1, seconds=0).rows
        assert [(result.name, result.right) for result in row.results] == [("direct", True), ("onnxruntime", True)]


def test_demo_ends_with_three_layers(capsys, monkeypatch, tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(demo, "EPOCHS", 1)
    monkeypatch.setattr(demo, "BENCH_SECONDS", 0.0)
    assert main(["demo", "--out", str(tmp_path / "out")]) == 0
    end = capsys.readouterr().out.partition("Three layers, each computed in every way that applies")[2]
    assert [layer.name for layer in bench.FEW_LAYERS if f"{layer.name}: {layer}" in end] == [
        "thin 5x5",
        "3x3",
        "1x1, one image",
    ]
    assert end.count("  * ") == 3
    assert "wrong" not in end
