"""The demo learns the digits and leaves what it says it leaves."""

import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv import demo
from fastconv.cli import main

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Run the whole demo once."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    demo.run(folder)
    return folder


def test_test_accuracy_is_at_least_0_98(finished):
    model = fc.load_model(finished / "digits.npz")
    (_, _), (x, y) = fc.datasets.load_digits()
    guesses = model.predict(x[..., np.newaxis] / np.float32(16)).argmax(axis=1)
    assert (guesses == y).mean() >= 0.98


def test_pictures_and_model_are_saved(finished):
    sizes = {file.name: file.stat().st_size for file in finished.iterdir()}
    # A network without mistakes has no picture of them.
    assert sorted(sizes.keys() - {"mistakes.png"}) == [
        "activating-crops.png",
        "confusion-matrix.png",
        "digits.npz",
        "feature-maps.png",
        "filters.png",
        "guesses.png",
        "receptive-field.png",
        "training-curve.png",
    ]
    assert min(sizes.values()) > 5000


def test_a_file_in_place_of_the_folder_is_refused_before_the_training(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["demo", "--out", str(tmp_path / "file")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fastconv demo: ")


def test_says_what_it_does_and_where_the_files_are(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "EPOCHS", 1)
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    for part in (
        "Conv2D",
        "Total params",
        "seed 0",
        "Test accuracy",
        "true / predicted",
        "Saved in fastconv-demo",
        "filters.png",
    ):
        assert part in out
    assert (tmp_path / "fastconv-demo" / "digits.npz").is_file()


@pytest.mark.parametrize("package", ["sklearn.datasets", "matplotlib.figure"])
def test_missing_extra_is_one_sentence(tmp_path, capsys, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["demo", "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert 'pip install "fastconv[demo]"' in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()
