"""The programs in examples/: they run, and they notice what is wrong."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

if not EXAMPLES.is_dir():
    pytest.skip("the examples are not here", allow_module_level=True)


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPTS = sorted(path for path in EXAMPLES.glob("*.py") if path.stem not in ("all", "lecture"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_example_succeeds_without_a_warning(path, tmp_path):
    extra = ["--small", "--output", tmp_path] if "from lecture import" in path.read_text() else []
    done = subprocess.run([sys.executable, "-W", "error", path, *extra], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1].startswith("every ")


class TestToeplitzIdentities:
    def test_wrong_matrix_is_a_failure(self, monkeypatch, capsys):
        example = load("toeplitz_identities")
        matrix = example.toeplitz_matrix
        monkeypatch.setattr(example, "toeplitz_matrix", lambda *args, **options: np.roll(matrix(*args, **options), 1))
        assert example.main() == 1
        failed = [line[:3] for line in capsys.readouterr().out.splitlines() if line.endswith("FAILED")]
        assert failed == ["(4)", "(5)", "(5)", "(7)", "(7)"]

    def test_error_past_its_bound_is_a_failure(self, monkeypatch, capsys):
        example = load("toeplitz_identities")
        monkeypatch.setattr(example, "DIFFERENCES", 1e-14)
        assert example.main() == 1
        lines = capsys.readouterr().out.splitlines()
        assert [line[:30] for line in lines if line.endswith("FAILED")] == [
            "(6)  is the slope of z by w   ",
            "(7)  is the slope of z by x   ",
        ]
        assert lines[-1] == "2 failed"


class TestSpectralNorm:
    @pytest.fixture
    def example(self, monkeypatch):
        example = load("spectral_norm")
        monkeypatch.setattr(example, "SMALL", (example.Layer("3x3", (2, 6, 6), (3, 2, 3, 3)),))
        monkeypatch.setattr(example, "LARGE", ())
        return example

    def test_small_layer_passes(self, example, capsys):
        assert example.main() == 0
        assert capsys.readouterr().out.endswith("\nevery check holds\n")

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("residual", "the residual is 5.0e-01, more than 1e-03"),
            ("norm_on_the_plane", "more than 0.5000 on the plane"),
        ],
    )
    def test_failed_check_is_a_failure(self, example, monkeypatch, capsys, name, text):
        monkeypatch.setattr(example, name, lambda *args: 0.5)
        assert example.main() == 1
        assert text in capsys.readouterr().out

    def test_other_dense_matrix_is_a_failure(self, example, monkeypatch, capsys):
        matrix = example.toeplitz_matrix
        monkeypatch.setattr(example, "toeplitz_matrix", lambda *args: 1.001 * matrix(*args))
        assert example.main() == 1
        assert "the dense SVD differs by 1.0e-03, more than 1e-09" in capsys.readouterr().out

    def test_norm_on_the_plane_bounds_the_norm_at_every_frequency(self, example, rng):
        w = rng.standard_normal((4, 3, 3, 5))
        finest = np.linalg.norm(np.fft.fft2(w, (96, 96)).transpose(2, 3, 0, 1), ord=2, axis=(2, 3)).max()
        assert finest <= example.norm_on_the_plane(w) <= 1.06 * finest
