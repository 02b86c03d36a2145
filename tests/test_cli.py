"""Every command does what its help says, and tells users in one line what they can mend."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv import cli, zoo
from fastconv._image_data import read_picture
from fastconv.cli import main

pytest.importorskip("sklearn")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train once for all tests: a saved model of the digits, its pictures, and what the command printed."""
    folder = tmp_path_factory.mktemp("trained")
    command = ["train", "--data", "digits", "--model", "mlp", "--epochs", "4", "--seed", "1", "--batch-size", "32"]
    status = main([*command, "--save", str(folder / "mlp.npz"), "--plots", str(folder / "plots")])
    assert status == 0
    return folder


@pytest.fixture
def blobs(tmp_path):
    """Write a set of one's own: images that are bright on the left (0) or on the right (1)."""
    rng = np.random.default_rng(5)
    arrays = {}
    for part, count in (("train", 60), ("test", 20)):
        labels = np.arange(count) % 2
        images = rng.integers(0, 60, (count, 8, 8))
        images[labels == 0, :, :4] += 150
        images[labels == 1, :, 4:] += 150
        arrays |= {f"x_{part}": images.astype(np.uint8), f"y_{part}": labels}
    np.savez(tmp_path / "blobs.npz", **arrays)
    return tmp_path / "blobs.npz"


def picture(path, pixels):
    Image.fromarray(pixels).save(path)
    return str(path)


def error_of(capsys, *command: object) -> str:
    """Run a command that must fail, and return its one line on stderr."""
    try:
        status = main([str(word) for word in command])
    except SystemExit as stop:
        status = stop.code
    message = capsys.readouterr().err
    assert status == 2
    assert message.count("\n") == 1
    return message


class TestTrain:
    def test_learns_and_saves_model_and_pictures(self, trained):
        model = fc.load_model(trained / "mlp.npz")
        assert model.count_params() == 64 * 128 + 128 + 1290
        assert sorted(file.name for file in (trained / "plots").iterdir()) == [
            "confusion-matrix.png",
            "guesses.png",
            "mistakes.png",
            "training-curve.png",
        ]

    def test_same_seed_same_weights(self, trained, tmp_path, capsys):
        command = ["train", "--data", "digits", "--model", "mlp", "--epochs", "4", "--batch-size", "32"]
        for seed in (1, 2):
            assert main([*command, "--seed", str(seed), "--save", str(tmp_path / f"{seed}.npz")]) == 0
        weights = [
            fc.load_model(file).get_weights() for file in (trained / "mlp.npz", tmp_path / "1.npz", tmp_path / "2.npz")
        ]
        assert all(np.array_equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
        assert not np.array_equal(weights[0][0], weights[2][0])

    def test_own_data_and_own_model(self, blobs, tmp_path, capsys):
        model = fc.Sequential(
            [
                fc.layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1)),
                fc.layers.Flatten(),
                fc.layers.Dense(2, activation="softmax"),
            ]
        )
        file = tmp_path / "mine.json"
        file.write_text(model.to_json())
        plots = tmp_path / "new" / "plots"
        assert main(["train", "--data", str(blobs), "--model", str(file), "--epochs", "8", "--plots", str(plots)]) == 0
        assert "test accuracy 1.0000" in capsys.readouterr().out
        # No mistakes: there are none.
        assert sorted(found.name for found in plots.iterdir()) == [
            "activating-crops.png",
            "confusion-matrix.png",
            "feature-maps.png",
            "filters.png",
            "guesses.png",
            "receptive-field.png",
            "training-curve.png",
        ]

    def test_default_settings_are_the_model_s_own(self, blobs, monkeypatch):
        asked = {}

        def fit(self, x, y, **options):
            asked.update(options)
            raise KeyboardInterrupt

        monkeypatch.setattr(fc.Sequential, "fit", fit)
        assert main(["train", "--data", str(blobs), "--model", "mlp"]) == 130
        recipe = zoo.RECIPES["mlp"]
        assert (asked["epochs"], asked["batch_size"], asked["seed"]) == (recipe.epochs, recipe.batch_size, 0)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"--data": "imagenet"},
                "must be one of digits, mnist, fashion-mnist, cifar10, or a .npz file, got 'imagenet'",
            ),
            ({"--data": "missing.npz"}, "missing.npz"),
            ({"--model": "resnet"}, "must be one of linear, mlp, .*got 'resnet'"),
            ({"--model": "missing.json"}, "missing.json"),
            ({"--model": "textbook"}, "output height"),
            ({"--model": "alexnet"}, "alexnet: images must be at least 67x67, got 8x8"),
            ({"--epochs": "0"}, "argument --epochs: must be a whole number from 1 on, got '0'"),
            ({"--batch-size": "many"}, "--batch-size: must be a whole number from 1 on, got 'many'"),
            ({"--seed": "-1"}, "--seed: (must be a whole number from 0 on|expected one argument)"),
            ({"--save": "no-such-folder/m.npz"}, "--save must name a file in an existing folder, got no-such-folder"),
            ({"--save": "."}, "--save must name a file, got the folder ."),
        ],
    )
    def test_bad_arguments(self, capsys, changes, message):
        options = {"--data": "digits", "--model": "mlp", **changes}
        found = error_of(capsys, "train", *(word for option in options.items() for word in option))
        assert found.startswith("fastconv train: ")
        assert pytest.importorskip("re").search(message, found)

    def test_missing_option(self, capsys):
        assert "required: --model" in error_of(capsys, "train", "--data", "digits")

    def test_model_file_must_be_a_model(self, capsys, tmp_path):
        for content in (
            "{",
            "[]",
            json.dumps({"class_name": "Sequential", "config": {"layers": [{"class_name": "os"}]}}),
        ):
            (tmp_path / "m.json").write_text(content)
            message = error_of(capsys, "train", "--data", "digits", "--model", tmp_path / "m.json")
            assert "m.json must be a model as model.to_json() writes it, got: " in message

    def test_model_file_must_fit_the_data(self, capsys, blobs, tmp_path):
        (tmp_path / "m.json").write_text(zoo.build("mlp", (8, 8, 1), 10).to_json())
        message = error_of(capsys, "train", "--data", blobs, "--model", tmp_path / "m.json")
        assert "must have an output for each of the 2 classes" in message

    def test_own_labels_must_be_class_numbers(self, capsys, tmp_path):
        x = np.zeros((3, 8, 8), np.uint8)
        for labels in (np.array([0.5, 1, 2]), np.eye(3, dtype=int), np.array([-1, 0, 1])):
            np.savez(tmp_path / "a.npz", x_train=x, y_train=labels, x_test=x, y_test=labels)
            message = error_of(capsys, "train", "--data", tmp_path / "a.npz", "--model", "mlp")
            assert "a.npz must hold labels of shape (n,), whole numbers from 0, got" in message

    @pytest.mark.parametrize("command", [["train", "--model", "linear"], ["evaluate", "mlp.npz"]])
    def test_a_set_without_test_examples_is_refused_before_the_work(self, capsys, trained, tmp_path, command):
        x, labels = np.zeros((3, 8, 8), np.uint8), np.arange(3)
        np.savez(tmp_path / "a.npz", x_train=x, y_train=labels, x_test=x[:0], y_test=labels[:0])
        command = [str(trained / word) if word == "mlp.npz" else word for word in command]
        message = error_of(capsys, *command, "--data", tmp_path / "a.npz")
        assert "a.npz must hold at least one example to test with, got none" in message
        assert "Epoch" not in message

    def test_own_labels_must_be_few_enough_to_be_classes(self, capsys, tmp_path):
        x, labels = np.zeros((3, 8, 8), np.uint8), np.array([0, 1, 2**63], np.uint64)
        np.savez(tmp_path / "a.npz", x_train=x, y_train=labels, x_test=x, y_test=labels)
        message = error_of(capsys, "train", "--data", tmp_path / "a.npz", "--model", "linear")
        assert "a.npz must hold labels below 100,000, one for each class from 0, got 9223372036854775808" in message

    def test_interruption_keeps_the_last_whole_epoch(self, tmp_path, blobs, monkeypatch, capsys):
        from fastconv.callbacks import ModelCheckpoint

        class Interrupting(ModelCheckpoint):
            def on_train_batch_end(self, batch, logs):
                if self.model.history.epoch == [0, 1]:
                    raise KeyboardInterrupt

        monkeypatch.setattr(cli, "ModelCheckpoint", Interrupting)
        file = tmp_path / "kept.npz"
        assert main(["train", "--data", str(blobs), "--model", "linear", "--epochs", "9", "--save", str(file)]) == 130
        printed = capsys.readouterr()
        assert "interrupted" in printed.err
        assert "kept.npz holds the model after 2 epochs" in printed.out
        assert fc.load_model(file).count_params() == 130


class TestEvaluate:
    def test_prints_all_figures(self, trained, capsys):
        from sklearn import metrics

        assert main(["evaluate", str(trained / "mlp.npz"), "--data", "digits"]) == 0
        lines = capsys.readouterr().out.splitlines()
        model = fc.load_model(trained / "mlp.npz")
        (_, _), (x, y) = fc.datasets.load_digits()
        outputs = model.predict(x[..., np.newaxis] / np.float32(16))
        guesses = outputs.argmax(axis=1)
        assert lines[0].endswith("on 359 test examples of digits")
        found = dict(line.rsplit(maxsplit=1) for line in lines[2:8] if line)
        expected = {
            "accuracy": metrics.accuracy_score(y, guesses),
            "top-5 accuracy": metrics.top_k_accuracy_score(y, outputs, k=5),
            "cross-entropy": metrics.log_loss(y, outputs / outputs.sum(axis=1, keepdims=True)),
            "Cohen's kappa": metrics.cohen_kappa_score(y, guesses),
            "Matthews' correlation": metrics.matthews_corrcoef(y, guesses),
        }
        assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, abs=6e-5)
        table = np.array([[float(word) for word in line.split()] for line in lines[10:20]])
        by_class = metrics.precision_recall_fscore_support(y, guesses)
        np.testing.assert_allclose(table[:, 1:], np.transpose(by_class), atol=6e-5)
        counts = [[int(word.replace(".", "0")) for word in line.split()[1:]] for line in lines[-10:]]
        np.testing.assert_array_equal(counts, metrics.confusion_matrix(y, guesses))

    def test_without_scikit_learn_says_what_is_missing_and_prints_the_rest(self, trained, blobs, monkeypatch, capsys):
        model = fc.Sequential([fc.layers.Flatten(input_shape=(8, 8, 1)), fc.layers.Dense(2, activation="softmax")])
        model.save(blobs.parent / "model.npz")
        monkeypatch.setitem(sys.modules, "sklearn", None)
        assert main(["evaluate", str(blobs.parent / "model.npz"), "--data", str(blobs)]) == 0
        printed = capsys.readouterr().out
        for part in ("accuracy", 'cohen_kappa needs scikit-learn: pip install "fastconv[demo]"', "true / predicted"):
            assert part in printed

    def test_plots_are_saved(self, trained, tmp_path, capsys):
        folder = tmp_path / "new" / "plots"
        assert main(["evaluate", str(trained / "mlp.npz"), "--data", "digits", "--plots", str(folder)]) == 0
        names = sorted(file.name for file in folder.iterdir())
        assert names == ["confusion-matrix.png", "guesses.png", "mistakes.png"]
        saved = [line for line in capsys.readouterr().out.splitlines() if line.startswith("saved ")]
        assert sorted(saved) == [f"saved {folder / name}" for name in names]

    def test_plots_without_matplotlib_are_refused_before_the_work(self, trained, tmp_path, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        message = error_of(capsys, "evaluate", trained / "mlp.npz", "--data", "digits", "--plots", tmp_path / "plots")
        assert 'pictures need matplotlib: pip install "fastconv[demo]"' in message

    def test_errors(self, trained, blobs, capsys, tmp_path):
        assert "nowhere.npz" in error_of(capsys, "evaluate", "nowhere.npz", "--data", "digits")
        (tmp_path / "bad.npz").write_bytes(b"no model")
        assert "bad.npz" in error_of(capsys, "evaluate", tmp_path / "bad.npz", "--data", "digits")
        assert "must have an output for each of the 2 classes" in error_of(
            capsys, "evaluate", trained / "mlp.npz", "--data", blobs
        )


class TestPredict:
    def test_five_best_guesses_and_what_was_done_to_the_picture(self, trained, tmp_path, capsys):
        (_, _), (x, y) = fc.datasets.load_digits()
        small = picture(tmp_path / "small.png", (x[0] * 15).astype(np.uint8))
        large = picture(
            tmp_path / "large.png", np.kron(np.stack([x[0] * 15] * 3, 2), np.ones((9, 9, 1))).astype(np.uint8)
        )
        assert main(["predict", str(trained / "mlp.npz"), small, large]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == f"{small} (unchanged)"
        assert lines[6] == f"{large} (RGB to grey, resized from 72x72 to 8x8)"
        assert len(lines) == 12
        for first in (1, 7):
            assert lines[first].split()[0] == str(y[0])
            shares = [float(line.split()[1].rstrip("%")) for line in lines[first : first + 5]]
            assert shares == sorted(shares, reverse=True)

    def test_invert_swaps_dark_and_light(self, trained, tmp_path, capsys):
        (_, _), (x, y) = fc.datasets.load_digits()
        paper = picture(tmp_path / "paper.png", (255 - x[0] * 15).astype(np.uint8))
        assert main(["predict", str(trained / "mlp.npz"), "--invert", paper]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].endswith("(inverted)")
        assert lines[1].split()[0] == str(y[0])

    def test_grey_of_16_bits_is_scaled(self, tmp_path):
        levels = np.arange(64, dtype=np.uint16).reshape(8, 8) * 257 * 4
        found, changes = read_picture(picture(tmp_path / "deep.png", levels), (8, 8, 1))
        np.testing.assert_allclose(found[..., 0], levels / 65535, rtol=1e-6)
        assert changes == "I;16 to grey"

    @pytest.mark.parametrize("palette", [False, True])
    def test_what_is_transparent_is_white(self, tmp_path, palette):
        black = np.zeros((8, 8, 4), np.uint8)
        black[2:5, 3] = 0, 0, 0, 255
        image = Image.fromarray(black)
        (image.quantize(4) if palette else image).save(tmp_path / "clear.png")
        found, changes = read_picture(tmp_path / "clear.png", (8, 8, 1))
        np.testing.assert_array_equal(found[..., 0], 1 - black[..., 3] / 255)
        assert changes == f"on white, {'P' if palette else 'RGBA'} to grey"

    def test_a_photograph_is_turned_upright(self, tmp_path):
        lying = np.zeros((8, 16), np.uint8)
        lying[:, :8] = 255
        turned = Image.Exif()
        # Orientation, the camera held so that the first row is the right side.
        turned[0x0112] = 6
        Image.fromarray(lying).save(tmp_path / "phone.png", exif=turned)
        found, changes = read_picture(tmp_path / "phone.png", (16, 8, 1))
        np.testing.assert_array_equal(found[..., 0], np.rot90(lying, -1) / np.float32(255))
        assert changes == "turned upright"

    def test_classes_by_name(self, trained, tmp_path, capsys):
        file = picture(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
        assert main(["predict", str(trained / "mlp.npz"), file, "--data", "fashion-mnist"]) == 0
        names = {line.rsplit(maxsplit=1)[0].strip() for line in capsys.readouterr().out.splitlines()[1:]}
        assert names <= set(fc.datasets.FASHION_MNIST_CLASSES)
        assert len(names) == 5

    def test_errors(self, trained, tmp_path, capsys):
        model = trained / "mlp.npz"
        assert "nowhere.png" in error_of(capsys, "predict", model, "nowhere.png")
        (tmp_path / "text.png").write_text("no picture")
        assert "text.png must be a picture that pillow reads" in error_of(
            capsys, "predict", model, tmp_path / "text.png"
        )
        assert "IMAGE" in error_of(capsys, "predict", model)
        features = fc.Sequential([fc.layers.Dense(2, activation="softmax", input_shape=(5,))])
        features.save(tmp_path / "features.npz")
        picture(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
        message = error_of(capsys, "predict", tmp_path / "features.npz", tmp_path / "a.png")
        assert "the model's input must be (height, width, 1 or 3) to take a picture, got (5,)" in message


class TestGraphs:
    """Commands take a `Model` as they take a `Sequential`."""

    @pytest.fixture
    def residual(self, tmp_path):
        x = fc.layers.Input((8, 8, 1))
        y = fc.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
        y = fc.layers.Add()([y, fc.layers.Conv2D(4, 3, padding="same")(y)])
        y = fc.layers.GlobalAveragePooling2D()(y)
        fc.Model(x, fc.layers.Dense(10, activation="softmax")(y)).save(tmp_path / "residual.npz")
        return tmp_path / "residual.npz"

    @pytest.fixture
    def siamese(self, tmp_path):
        ends = [fc.layers.Input((8, 8, 1), name=name) for name in ("left", "right")]
        y = fc.layers.Flatten()(fc.layers.Add()(ends))
        fc.Model(ends, fc.layers.Dense(10, activation="softmax")(y)).save(tmp_path / "siamese.npz")
        return tmp_path / "siamese.npz"

    def test_evaluate_with_all_pictures(self, residual, tmp_path, capsys):
        folder = tmp_path / "plots"
        assert main(["evaluate", str(residual), "--data", "digits", "--plots", str(folder)]) == 0
        assert "cross-entropy" in capsys.readouterr().out
        assert sorted(file.stem for file in folder.iterdir()) == [
            "activating-crops",
            "confusion-matrix",
            "feature-maps",
            "filters",
            "guesses",
            "mistakes",
            "receptive-field",
        ]

    def test_pictures_of_fields_are_left_out_where_there_are_none(self, blobs, tmp_path):
        x = fc.layers.Input((8, 8, 1))
        y = fc.layers.Conv2D(2, 2, strides=2)(x)
        y = fc.layers.Add()([y, fc.layers.Conv2D(2, 5)(x)])
        y = fc.layers.Dense(2, activation="softmax")(fc.layers.Flatten()(y))
        fc.Model(x, y).save(tmp_path / "strides.npz")
        folder = tmp_path / "plots"
        assert main(["evaluate", str(tmp_path / "strides.npz"), "--data", str(blobs), "--plots", str(folder)]) == 0
        names = {file.stem for file in folder.iterdir()}
        assert names >= {"filters", "feature-maps", "guesses"}
        assert not names & {"activating-crops", "receptive-field"}

    def test_predict(self, residual, tmp_path, capsys):
        file = picture(tmp_path / "a.png", np.full((8, 8), 200, np.uint8))
        assert main(["predict", str(residual), file]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 6

    def test_train(self, tmp_path, blobs, capsys):
        x = fc.layers.Input((8, 8, 1))
        y = fc.layers.Flatten()(fc.layers.Add()([x, fc.layers.Conv2D(1, 3, padding="same")(x)]))
        (tmp_path / "m.json").write_text(fc.Model(x, fc.layers.Dense(2, activation="softmax")(y)).to_json())
        assert main(["train", "--data", str(blobs), "--model", str(tmp_path / "m.json"), "--epochs", "8"]) == 0
        assert "test accuracy 1.0000" in capsys.readouterr().out

    @pytest.mark.parametrize("columns", ["80", "120"])
    def test_summary_fits_the_terminal(self, residual, columns, monkeypatch, capsys):
        monkeypatch.setenv("COLUMNS", columns)
        assert main(["summary", str(residual)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= int(columns)
        assert "Connected to" in lines[2]

    def test_several_inputs_are_refused(self, siamese, tmp_path, capsys):
        file = picture(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
        for command in (["evaluate", siamese, "--data", "digits"], ["predict", siamese, file]):
            assert "siamese.npz must have one input, got 2: left, right" in error_of(capsys, *command)
        assert main(["summary", str(siamese)]) == 0

    def test_other_outputs_than_classes_are_refused(self, tmp_path, capsys):
        file = picture(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
        x = fc.layers.Input((8, 8, 1))
        y = fc.layers.Conv2D(10, 1, name="maps")(x)
        fc.Model(x, [y, fc.layers.ReLU(name="cut")(y)]).save(tmp_path / "two.npz")
        for command in (
            ["evaluate", tmp_path / "two.npz", "--data", "digits"],
            ["predict", tmp_path / "two.npz", file],
        ):
            assert "two.npz must have one output, got 2: maps, cut" in error_of(capsys, *command)
        fc.Model(x, y).save(tmp_path / "maps.npz")
        message = error_of(capsys, "predict", tmp_path / "maps.npz", file)
        assert "maps.npz must have outputs of shape (n, classes), got (None, 8, 8, 10)" in message


class TestSummary:
    def test_by_name_file_and_saved_model(self, trained, tmp_path, capsys):
        assert main(["summary", "textbook"]) == 0
        assert "8,586" in capsys.readouterr().out
        (tmp_path / "m.json").write_text(zoo.build("lenet5", (28, 28, 1), 10).to_json())
        assert main(["summary", str(tmp_path / "m.json")]) == 0
        assert "61,706" in capsys.readouterr().out
        assert main(["summary", str(trained / "mlp.npz")]) == 0
        assert "9,610" in capsys.readouterr().out

    @pytest.mark.parametrize(("name", "count"), [("textbook-separable", "1,427"), ("alexnet", "60,965,224")])
    def test_by_name_with_the_images_that_a_network_is_meant_for(self, capsys, name, count):
        assert main(["summary", name]) == 0
        assert count in capsys.readouterr().out

    def test_unknown_model(self, capsys):
        message = error_of(capsys, "summary", "resnet")
        assert "model must be one of linear, mlp, " in message
        assert "or a file, got 'resnet'" in message


def test_info_names_the_instruction_set(capsys):
    assert main(["info"]) == 0
    assert fc.__version__ in capsys.readouterr().out


def test_unknown_command(capsys):
    assert "invalid choice: 'learn'" in error_of(capsys, "learn")


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"fastconv {fc.__version__}\n"


def test_as_a_process():
    command = [sys.executable, "-m", "fastconv"]
    good = subprocess.run([*command, "summary", "linear"], capture_output=True, text=True, check=False, env=os.environ)
    assert (good.returncode, good.stderr) == (0, "")
    assert "7,850" in good.stdout
    bad = subprocess.run(
        [*command, "evaluate", "no.npz", "--data", "digits"], capture_output=True, text=True, check=False
    )
    assert bad.returncode == 2
    assert bad.stderr.startswith("fastconv evaluate: ")
    assert "Traceback" not in bad.stderr
