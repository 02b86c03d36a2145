"""Other libraries compute what ``fastconv bench`` compares them in, and say what they cannot do."""

import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from fastconv import bench
from fastconv.bench import peers
from fastconv.bench.clock import Contestant
from fastconv.bench.problem import Problem

SMALL = bench.Case((1, 9, 8, 4), 8, 3)
CASES = {
    "same": {},
    "strided": {"stride": 2, "padding": 1},
    "dilated": {"dilation": (1, 2), "padding": (2, 1)},
    "grouped": {"groups": 2},
    "depthwise": {"groups": 4, "stride": 2, "padding": 0},
    "asymmetric kernel": {"kernel": (1, 3)},
    "float64": {"dtype": "float64"},
}
PREPARED = ("onnxruntime", "openvino", "ncnn")


@pytest.fixture(params=list(bench.PEERS))
def peer(request):
    """Every library that is installed, with one thread."""
    for package in bench.PEERS[request.param].packages:
        pytest.importorskip(package)
    (loaded,) = peers.load([request.param])
    with loaded.session(1):
        yield loaded


def computed(peer, case):
    """Return whether each result is right, and the notes."""
    problem = Problem(case)
    pairs, notes = peers.attempt(peer.name, lambda: peer.contestants(problem))
    return [problem.is_right(result, contestant.algorithm) for contestant, result in pairs], notes


class TestResults:
    @pytest.mark.parametrize("options", CASES.values(), ids=CASES)
    def test_forward_is_right_or_refused(self, peer, options):
        case = replace(SMALL, **options)
        right, notes = computed(peer, case)
        if peer.prepared and case.dtype == "float64":
            assert (right, notes) == ([], [f"{peer.name} convolves in float32 only"])
        else:
            assert notes == []
            assert right == [True] * (2 if peer.name == "torch" else 1)

    @pytest.mark.parametrize("direction", bench.DIRECTIONS[1:])
    @pytest.mark.parametrize("options", CASES.values(), ids=CASES)
    def test_gradients_are_right_or_refused(self, peer, options, direction):
        right, notes = computed(peer, replace(SMALL, direction=direction, **options))
        if peer.prepared:
            assert notes == [f"{peer.name} computes no gradients"]
        elif notes:
            assert peer.name == "tensorflow"
            assert notes[0].startswith("tensorflow has no gradients of ")
            assert "dilation" in options or options.get("groups") == 2
        assert right == [True] * (0 if notes else 2 if peer.name == "torch" else 1)

    def test_batches_are_right_or_refused(self, peer):
        right, notes = computed(peer, replace(SMALL, shape=(3, 7, 5, 4)))
        if peer.name == "ncnn":
            assert (right, notes) == ([], ["ncnn has no batches"])
        else:
            assert all(right)
            assert right

    def test_operands_outlive_their_problem(self, peer):
        problem = Problem(SMALL)
        contestants = peer.contestants(problem)
        first = [one.result(one.call()).copy() for one in contestants]
        del problem
        scribbles = [np.full((1, 9, 8, 4), 7.0, np.float32) for _ in range(50)]
        for one, before in zip(contestants, first, strict=True):
            assert np.array_equal(one.result(one.call()), before)
        assert len(scribbles) == 50

    def test_version_is_known(self, peer):
        assert peer.version[0].isdigit()


class TestRefusals:
    def test_who_packs_weights_ahead(self):
        assert {name for name, kind in bench.PEERS.items() if kind.prepared} == set(PREPARED)

    @pytest.mark.parametrize(("name", "package"), [("tensorflow", "tensorflow-cpu"), ("ncnn", "ncnn")])
    def test_missing_peer_says_what_to_install(self, monkeypatch, name, package):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ImportError, match=f"--against {name} needs it installed: pip install {package}$"):
            peers.load([name])

    @pytest.mark.parametrize("name", PREPARED)
    @pytest.mark.parametrize(
        ("options", "reason"),
        [({"direction": "weight"}, "computes no gradients"), ({"dtype": "float64"}, "convolves in float32 only")],
    )
    def test_prepared_peers_compute_forward_in_float32(self, monkeypatch, name, options, reason):
        for package in bench.PEERS[name].packages:
            monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
        (peer,) = peers.load([name])
        with pytest.raises(NotImplementedError, match=f"{name} {reason}"):
            peer.contestants(Problem(replace(SMALL, **options)))

    def test_failure_of_a_peer_is_a_note_and_keeps_what_was_computed(self):
        def fail():
            raise RuntimeError("out of luck\nand more")

        def contestants():
            yield Contestant("fine", "peer", lambda: 1, np.asarray)
            yield Contestant("broken", "peer", fail, np.asarray)

        pairs, notes = peers.attempt("peer", contestants)
        assert [contestant.name for contestant, _ in pairs] == ["fine"]
        assert notes == ["peer failed: RuntimeError: out of luck"]
