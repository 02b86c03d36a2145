"""The project's own table: everyone computes the same, results are kept, and the claims are counted right."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from fastconv import bench
from fastconv.bench import clock, peers

BENCH = Path(__file__).resolve().parent.parent / "bench"
if not BENCH.is_dir():
    pytest.skip("the benchmark scripts are not here", allow_module_level=True)
sys.path.append(str(BENCH))

import cases  # noqa: E402
import layers  # noqa: E402
import machine  # noqa: E402
import networks  # noqa: E402
import overhead  # noqa: E402
import run  # noqa: E402
import scaling  # noqa: E402
import store  # noqa: E402
import summary  # noqa: E402
import tables  # noqa: E402
from entry import DATA_FORMATS, EITHER, title  # noqa: E402
from measurement import Measurement, measure  # noqa: E402
from pools import Pool  # noqa: E402
from rectified import Relu  # noqa: E402
from rows import Limits, Row, rows_of  # noqa: E402
from tasks import Task  # noqa: E402
from transposed import Transposed  # noqa: E402

LIMITS = Limits({"float32": 100.0, "float64": 50.0}, machine.Bandwidth(read=10e9, write=5e9, copy=8e9))
SMALL = [
    bench.Case((1, 6, 5, 4), 8, 3),
    Transposed((1, 4, 3, 6), 4, 4, stride=2, padding=1),
    Transposed((2, 4, 3, 6), 4, 2, stride=2, dtype="float64"),
    Pool("max", (2, 6, 6, 4), 2, 2),
    Pool("max", (1, 7, 7, 4), 3, 2, padding=1),
    Pool("average", (1, 6, 6, 4), 2, 2),
    Pool("average", (1, 6, 6, 4)),
    Relu((1, 5, 4, 3)),
]


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Time as little as possible: what is tested here is not the time."""
    monkeypatch.setattr(clock, "SAMPLE_SECONDS", 0.0)
    monkeypatch.setattr(machine, "ARRAY_BYTES", 2**16)


@pytest.fixture(scope="module")
def installed():
    """Every library that there is, with one thread."""
    names = [name for name, peer in bench.PEERS.items() if run.is_installed(peer)]
    loaded = peers.load(names)
    sessions = [peer.session(1) for peer in loaded]
    for session in sessions:
        session.__enter__()
    with fc.set_num_threads(1):
        yield loaded
    for session in reversed(sessions):
        session.__exit__(None, None, None)


def measured(case, installed):
    entry = run.KINDS[type(case)](case)
    return entry, measure("group", entry, DATA_FORMATS, installed, 0.0)


def measurement(milliseconds, **changes):
    base = Measurement("group", "1x4x4x4", "forward", "float32", 10**6, 10**6, 10**6, [], 3, milliseconds)
    return replace(base, **changes)


class TestCases:
    def test_every_layer_of_the_issue_is_there(self):
        assert {group: len(found) for group, found in layers.LAYERS.items()} == {
            "resnet50": 32, "vgg16": 10, "alexnet": 6, "mobilenet": 20, "resnext": 2, "thin": 8, "unusual": 7,
            "float64": 38,
        }  # fmt: skip
        assert {len(found) % 3 for found in (cases.GROUPS[group] for group in layers.LAYERS)} == {0}
        assert len(cases.GROUPS["pooling"]) == 24
        assert len(cases.GROUPS["networks"]) == 14

    @pytest.mark.parametrize("group", cases.GROUPS)
    def test_titles_tell_rows_of_a_group_apart(self, group):
        titles = [title(case) for case in cases.GROUPS[group]]
        assert len(set(titles)) == len(titles)

    def test_sizes_of_outputs_are_those_of_the_networks(self):
        sizes = {case.geometry.output[1] for case in layers.LAYERS["resnet50"]}
        assert sizes == {112, 56, 28, 14, 7}
        assert {case.geometry.output[1] for case in layers.LAYERS["alexnet"]} == {55, 27, 13}

    @pytest.mark.parametrize(("group", "tag", "count"), [("resnet50", "dense 3x3", 8), ("vgg16", "dense 3x3", 8)])
    def test_claims_have_their_rows(self, group, tag, count):
        from convolutions import tags

        assert sum(tag in tags(case) for case in layers.LAYERS[group]) == count


class TestEntries:
    @pytest.mark.parametrize("case", [case for one in SMALL for case in cases.in_every_pass([one])], ids=title)
    def test_everyone_computes_the_same(self, installed, case):
        _, found = measured(case, installed)
        assert not [name for name, value in found.milliseconds.items() if value is None]
        assert not [note for note in found.notes if "failed" in note]
        own = [name for name in found.milliseconds if name.startswith("plain ")]
        assert own == ([f"plain {EITHER}"] if isinstance(case, Relu) else [f"plain {form}" for form in DATA_FORMATS])
        assert set(found.milliseconds) > set(own) or not installed

    def test_wrong_result_has_no_time(self, monkeypatch):
        entry = run.KINDS[Relu](Relu((1, 2, 2, 3)))
        monkeypatch.setattr(entry, "expected", entry.expected + 1)
        found = measure("group", entry, DATA_FORMATS, [], 0.0)
        assert found.milliseconds == {f"plain {EITHER}": None}
        assert rows_of([found])[0].ratio is None

    def test_bytes_are_those_of_the_operands(self):
        entry = run.KINDS[bench.Case](SMALL[0])
        assert (entry.read, entry.written) == (4 * (6 * 5 * 4 + 9 * 4 * 8), 4 * 6 * 5 * 8)
        gradient = run.KINDS[bench.Case](replace(SMALL[0], direction="weight"))
        assert (gradient.read, gradient.written) == (4 * (6 * 5 * 4 + 6 * 5 * 8), 4 * 9 * 4 * 8)

    def test_transposed_work_is_that_of_its_products(self):
        assert SMALL[1].adjoint.shape == (1, 8, 6, 4)
        assert SMALL[1].adjoint.work == 2 * 4 * 3 * 6 * 4 * 16


class TestNetworks:
    def test_textbook_networks_have_the_published_sizes(self):
        assert networks.textbook(fc).count_params() == 8586
        assert networks.separable(fc).count_params() == 1427

    @pytest.mark.parametrize("network", networks.NETWORKS, ids=lambda network: network.name)
    def test_torch_has_the_same_weights(self, torch, network):
        from torch_networks import MODULES

        model, module = network.model(fc), MODULES[network.name]()
        buffers = [b for b in module.buffers() if b.ndim]
        assert model.count_params() == sum(p.numel() for p in [*module.parameters(), *buffers])

    @pytest.mark.parametrize("direction", ["training", "latency"])
    def test_torch_computes_the_same(self, torch, installed, direction):
        only = [peer for peer in installed if peer.name == "torch"]
        _, found = measured(Task(replace(networks.NETWORKS[2], batch=4), direction), only)
        assert set(found.milliseconds) == {f"plain {EITHER}", "torch", "torch channels_last"}
        assert None not in found.milliseconds.values()

    def test_keras_computes_the_same(self, torch, installed):
        pytest.importorskip("keras")
        tensorflow = [peer for peer in installed if peer.name == "tensorflow"]
        if not tensorflow:
            pytest.skip("tensorflow is not installed")
        for network in (networks.NETWORKS[0], networks.NETWORKS[5]):
            entry = run.KINDS[Task](Task(network, "latency"))
            calls = [*entry.own(EITHER), *entry.of_peer(tensorflow[0])]
            mine, theirs = (one.result(one.call()) for one in calls)
            np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-5)


TIMES = {"plain channels_last": 2.0, "prepared channels_last": 1.0, "plain channels_first": 4.0}


class TestRatios:
    def test_prepared_peers_meet_prepared_weights(self):
        row = Row(measurement({**TIMES, "torch": 3.0, "onnxruntime": 1.2}), "channels_last")
        assert row.against(["torch"]) == 1.5
        assert row.against(["onnxruntime"]) == 1.2
        assert row.ratio == 1.2

    def test_better_of_torch_s_formats_counts(self):
        row = Row(measurement({**TIMES, "torch": 3.0, "torch channels_last": 2.5}), "channels_last")
        assert row.ratio == 1.25

    def test_where_nothing_can_be_prepared_the_plain_call_counts(self):
        row = Row(measurement({**TIMES, "openvino": 2.0}), "channels_first")
        assert row.ratio == 0.5

    def test_no_peer_no_ratio(self):
        assert Row(measurement({**TIMES, "torch": None}), "channels_last").ratio is None

    def test_rows_are_measurements_in_each_format(self):
        one, other = measurement(TIMES), measurement({f"plain {EITHER}": 1.0}, title="b")
        assert [(row.measured.title, row.data_format) for row in rows_of([one, other])] == [
            ("1x4x4x4", "channels_last"),
            ("1x4x4x4", "channels_first"),
            ("b", EITHER),
        ]

    def test_shares_and_rates(self):
        row = Row(measurement(TIMES), "channels_last")
        assert row.rate() == "1.0 GFLOP/s"
        assert row.share(LIMITS) == pytest.approx(0.01)
        bound = Row(measurement(TIMES, tags=["memory-bound"]), "channels_last")
        assert bound.rate() == "2.0 GB/s"
        assert bound.share(LIMITS) == pytest.approx(0.25)

    def test_bandwidth_counts_a_copy_as_far_as_both_go(self):
        assert LIMITS.bandwidth.least_seconds(8, 8) == pytest.approx(16 / 8e9)
        assert LIMITS.bandwidth.least_seconds(18, 8) == pytest.approx(16 / 8e9 + 10 / 10e9)
        assert LIMITS.bandwidth.least_seconds(8, 13) == pytest.approx(16 / 8e9 + 5 / 5e9)

    def test_bandwidth_is_measured(self):
        found = machine.bandwidth(2)
        assert min(found.read, found.write, found.copy) > 0


class TestSummary:
    def rows(self, ratios, **changes):
        times = [{"plain channels_last": 1.0, "torch": ratio} for ratio in ratios]
        return rows_of([measurement(t, title=f"{n}x", **changes) for n, t in enumerate(times)])

    def got(self, claim, rows, isa="avx512"):
        found = [line for line in summary.claims(rows, LIMITS, isa) if line[0] == claim]
        assert len(found) == 1
        return found[0][1:]

    def test_means_and_lost_rows(self):
        rows = self.rows([0.5, 2.0, 4.0])
        assert summary.means(rows)[-1] == "| forward | float32 | channels_last | 3 | 1.59 | 1 | 0.50 |"
        page = summary.summary(rows, LIMITS, "avx512")
        assert "## Lost rows: 1" in page
        assert "- 0.50 0x, channels_last" in page

    def test_forward_and_gradients(self):
        assert self.got("1. forward, channels_last", self.rows([0.5, 2.0])) == (
            "each 1, mean 1.5",
            "least 0.50, mean 1.00, 1 of 2 below",
        )
        assert self.got("5. weight gradient against torch", self.rows([3.0], direction="weight"))[1].endswith(
            "0 of 1 below"
        )

    def test_dense_rows_have_bounds_of_their_own(self):
        rows = self.rows([1.6, 1.8], tags=["dense 3x3"])
        assert self.got("2. dense 3x3 against torch", rows)[1].endswith("1 of 2 below")

    def test_share_of_the_peak(self):
        rows = self.rows([1.0], tags=["FMA-bound"], flops=90 * 10**6) + self.rows([1.0], tags=["FMA-bound"])
        assert self.got("3. FMA-bound rows", rows) == ("5 at 85% of the peak", "1 of 2")
        in_turn = [*rows, *self.rows([1.0], tags=["FMA-bound"], flops=50 * 10**6, peak=55.0)]
        assert self.got("3. the same, the peak measured in turn with them", in_turn)[1] == "1 of 1"
        page = summary.summary(rows, LIMITS, "avx512")
        assert "## FMA-bound rows below 60% of the peak: 1" in page

    def test_memory_bound_rows_may_be_fast_in_either_way(self):
        slow = {"tags": ["memory-bound"], "read": 10**5, "written": 10**5}
        rows = self.rows([1.0, 1.4], **slow) + self.rows(
            [1.0], tags=["memory-bound"], read=4 * 10**6, written=4 * 10**6
        )
        assert self.got("4. memory-bound rows", rows)[1] == "1 of 3 below"

    def test_float64_avx2_and_networks(self):
        assert self.got("6. float64 against torch", self.rows([1.9], dtype="float64"))[1].endswith("1 of 1 below")
        assert self.got("6. AVX2 against torch", self.rows([1.9]), "avx2")[1].endswith("0 of 1 below")
        times = {f"plain {EITHER}": 1.0, "torch": 1.9, "keras": 4.0}
        rows = rows_of([measurement(times, group="networks", direction="latency", flops=0)])
        assert self.got("9. latency against torch", rows)[1].endswith("1 of 1 below")
        assert self.got("9. latency against keras", rows)[1].endswith("0 of 1 below")

    def test_no_rows_no_claims(self):
        assert summary.claims([], LIMITS, "avx2") == []

    def test_tables_have_a_column_for_everyone_and_the_notes(self):
        one = measurement(
            {"plain channels_last": 2.0, "prepared channels_last": 1.0, "torch": None}, notes=["b is slow"]
        )
        lines = tables.table(rows_of([one]), LIMITS)
        assert lines[0] == "| case | plain, ms | prepared, ms | torch, ms | fastconv | share | ratio |"
        assert lines[2] == "| 1x4x4x4 | 2.000 | 1.000 | wrong | 1.0 GFLOP/s | 1% |  |"
        assert lines[-1] == "- b is slow"


class TestRun:
    @pytest.fixture(autouse=True)
    def few_cases(self, torch, monkeypatch):
        few = [bench.Case((1, 4, 4, 2), 2, 3), bench.Case((1, 4, 4, 2), 2, 1), Relu((1, 2, 2, 2))]
        monkeypatch.setattr(run, "GROUPS", {"few": few})

    def start(self, tmp_path, *words):
        files = ["--json", tmp_path / "a.json", "--markdown", tmp_path / "a.md"]
        return run.main([*map(str, files), "--budget", "0", "--peers", "torch", *words])

    def test_run_writes_every_row(self, tmp_path, capsys):
        assert self.start(tmp_path) == 0
        kept = json.loads((tmp_path / "a.json").read_text())
        assert [one["title"] for one in kept["measurements"]] == [title(case) for case in run.GROUPS["few"]]
        page = (tmp_path / "a.md").read_text()
        assert page.count("1x4x4x2, 2 filters 3x3") >= 2
        assert "1. forward, channels_first" in page
        assert page.rstrip() == capsys.readouterr().out.rstrip()

    def test_resumed_run_measures_what_is_missing(self, tmp_path, monkeypatch):
        assert self.start(tmp_path, "--filter", "filters") == 0
        before = json.loads((tmp_path / "a.json").read_text())["measurements"]
        seen = []
        real = run.measure
        monkeypatch.setattr(
            run, "measure", lambda group, entry, *how: (seen.append(entry.title), real(group, entry, *how))[1]
        )
        assert self.start(tmp_path, "--resume") == 0
        after = json.loads((tmp_path / "a.json").read_text())["measurements"]
        assert seen == ["1x2x2x2, ReLU"]
        assert after[:2] == before
        assert len(after) == 3

    def test_run_with_other_settings_is_not_resumed(self, tmp_path):
        assert self.start(tmp_path, "--filter", "3x3") == 0
        text = (tmp_path / "a.json").read_text()
        assert self.start(tmp_path, "--resume", "--threads", "2") == 2
        assert (tmp_path / "a.json").read_text() == text

    def test_interrupted_run_keeps_what_it_has(self, tmp_path, monkeypatch):
        def interrupt(group, entry, *how):
            if "1x1" in entry.title:
                raise KeyboardInterrupt
            return real(group, entry, *how)

        real = run.measure
        monkeypatch.setattr(run, "measure", interrupt)
        with pytest.raises(KeyboardInterrupt):
            self.start(tmp_path)
        assert len(json.loads((tmp_path / "a.json").read_text())["measurements"]) == 1
        assert list(tmp_path.glob("*.partial")) == []

    def test_one_format(self, tmp_path):
        assert self.start(tmp_path, "--data-format", "channels_first") == 0
        names = {
            name
            for one in json.loads((tmp_path / "a.json").read_text())["measurements"]
            for name in one["milliseconds"]
        }
        assert names == {
            "plain channels_first", "prepared channels_first", f"plain {EITHER}", "torch", "torch channels_last",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("--filter", "nothing"), "no case contains 'nothing'"),
            (("--group", "resnet"), "must name some of few, got 'resnet'"),
            (("--peers", "abacus"), "must name some of torch, onnxruntime, openvino, ncnn, tensorflow, got 'abacus'"),
        ],
    )
    def test_errors(self, tmp_path, capsys, words, message):
        try:
            status = self.start(tmp_path, *words)
        except SystemExit as stop:
            status = stop.code
        assert status == 2
        assert message in capsys.readouterr().err

    def test_results_are_read_as_they_were_written(self, tmp_path):
        results = store.Results({"threads": 1}, {"Date": "today"}, LIMITS, [measurement({"torch": None}, tags=["a"])])
        store.write(tmp_path / "b" / "a.json", results.as_text())
        other = store.Results({"threads": 1}, {}, LIMITS)
        other.resume(tmp_path / "b" / "a.json")
        assert other.measurements == results.measurements
        assert other.limits == LIMITS
        assert other.done() == {("group", "1x4x4x4")}


class TestOtherFigures:
    def test_scaling_compares_one_thread_with_two(self, capsys, monkeypatch):
        monkeypatch.setattr(scaling, "LEAST_FLOPS", 0)
        monkeypatch.setattr(scaling, "LAYERS", {"few": [SMALL[0]]})
        monkeypatch.setattr(scaling, "LOOP_CALLS", 1)
        before = fc.get_num_threads()
        assert scaling.main(["--budget", "0", "--group", "few"]) in (0, 1)
        page = capsys.readouterr().out
        assert page.count("1x6x5x4, 8 filters 3x3") == 2
        assert "7. two threads: wanted each 1.85, got least" in page
        assert fc.get_num_threads() == before

    def test_overhead_and_subnormal_weights(self, capsys):
        assert overhead.main(["--budget", "0"]) in (0, 1)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 2 + 9
        times = [float(line.rpartition(" ")[2]) for line in lines[2:]]
        assert all(math.isfinite(value) and value > 0 for value in times)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
class TestMemory:
    def in_a_fresh_process(self, expression):
        code = f"import sys; sys.path.insert(0, {str(BENCH)!r}); import memory; print({expression})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
        return [int(word) for word in done.stdout.split()]

    def test_random_shapes_grow_nothing_after_the_first_hundred(self):
        grown, with_leak = self.in_a_fresh_process(
            "*(memory.growth_over_shapes(200, release=True, keep=keep) for keep in (False, True))"
        )
        assert grown < 2 * 2**20
        assert with_leak > 8 * 2**20

    def test_growth_of_a_call_is_what_it_takes_beside_its_result(self):
        layer = "memory.Case((16, 28, 28, 64), 64, 3)"
        (grown,) = self.in_a_fresh_process(f"memory.growth_of({layer}, 1)")
        assert grown < 16 * 2**20
