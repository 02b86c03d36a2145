"""Pictures hold what they say: values, scales, names; and are written whole or not at all."""

import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv import plot
from fastconv.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D, ReLU, Softmax

pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def same_weights():
    fc.utils.set_random_seed(0)


def small_model(data_format: str = "channels_last") -> fc.Sequential:
    shape = (8, 8, 2) if data_format == "channels_last" else (2, 8, 8)
    return fc.Sequential(
        [
            Conv2D(3, 3, data_format=data_format, input_shape=shape, name="edges"),
            ReLU(name="relu"),
            MaxPooling2D(2, data_format=data_format, name="pool"),
            Dropout(0.5, name="dropout"),
            Flatten(name="flat"),
            Dense(4, name="dense"),
            Softmax(name="softmax"),
        ]
    )


def tile(image, row: int, column: int, shape: tuple[int, int]) -> np.ndarray:
    """Return one tile of a drawn mosaic, its enlargement undone."""
    pixels = image.get_array()
    gaps = np.ma.getmaskarray(pixels)
    rows, columns = (runs(~gaps.all(axis=axis)) for axis in (1, 0))
    block = pixels[rows[row], columns[column]]
    enlargement = block.shape[0] // shape[0]
    small = block[::enlargement, ::enlargement]
    np.testing.assert_array_equal(block, small.repeat(enlargement, 0).repeat(enlargement, 1))
    assert small.shape == shape
    return small


def runs(wanted: np.ndarray) -> list[slice]:
    edges = np.flatnonzero(np.diff(wanted, prepend=False, append=False))
    return [slice(start, stop) for start, stop in edges.reshape(-1, 2)]


class TestHistory:
    def test_one_panel_a_metric_with_validation_beside_training(self):
        figure = plot.history({"loss": [2.0, 1.0], "accuracy": [0.5, 0.75], "val_loss": [2.5, 1.5]})
        loss, accuracy = figure.axes
        assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
        training, validation = loss.lines
        assert training.get_xydata().tolist() == [[1, 2.0], [2, 1.0]]
        assert validation.get_ydata().tolist() == [2.5, 1.5]
        assert training.get_linestyle() != validation.get_linestyle()
        assert len(accuracy.lines) == 1

    def test_three_panels_a_row_and_a_legend_where_there_is_validation(self):
        names = ["loss", "a_loss", "b_loss", "a_accuracy"]
        figure = plot.history({name: [1.0, 0.5] for name in names} | {"val_b_loss": [1.0, 0.7]})
        assert [axes.get_ylabel() for axes in figure.axes] == names
        places = [axes.get_subplotspec() for axes in figure.axes]
        assert [(place.rowspan.start, place.colspan.start) for place in places] == [(0, 0), (0, 1), (0, 2), (1, 0)]
        assert [axes.get_legend() is not None for axes in figure.axes] == [False, False, True, False]

    @pytest.mark.parametrize("nothing", [{}, {"loss": []}])
    def test_no_epoch_is_a_value_error(self, nothing):
        with pytest.raises(ValueError, match="history: history must hold at least one value of one epoch"):
            plot.history(nothing)


class TestFilters:
    def test_tiles_are_the_kernels_on_a_symmetric_scale(self):
        model = small_model()
        kernel = model.layers[0].params["kernel"]
        image = plot.filters(model).axes[0].images[0]
        for channel, number in np.ndindex(2, 3):
            np.testing.assert_array_equal(tile(image, number, channel, (3, 3)), kernel[:, :, channel, number])
        low, high = image.get_clim()
        assert -low == high == np.abs(kernel).max()

    def test_black_is_negative_and_white_positive(self):
        image = plot.filters(small_model()).axes[0].images[0]
        low, high = image.get_clim()
        assert image.to_rgba(np.array([[low, 0, high]]), bytes=True)[0, :, 0].tolist() == [0, 128, 255]

    def test_many_filters_are_cut_and_counted(self):
        figure = plot.filters(fc.Sequential([Conv2D(70, 1, input_shape=(4, 4, 66), name="wide")]))
        assert figure.get_suptitle() == "wide: 70 filters of 1x1x66, a row each (64 filters, 64 channels shown)"

    def test_unknown_layer_lists_the_known_ones(self):
        with pytest.raises(ValueError, match="filters: layer must name a Conv2D out of edges, got 'dense'"):
            plot.filters(small_model(), "dense")

    def test_network_without_convolution_is_a_value_error(self):
        with pytest.raises(ValueError, match="out of none"):
            plot.filters(fc.Sequential([Dense(2, input_shape=(3,))]))


class TestFeatureMaps:
    @pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
    def test_each_row_is_what_its_layer_returns(self, data_format):
        model = small_model(data_format)
        image = np.random.default_rng(4).normal(size=model.layers[0].input_shape).astype(np.float32)
        figure = plot.feature_maps(model, image)
        rows = {axes.get_ylabel().split("\n")[0]: axes for axes in figure.axes}
        assert list(rows) == ["input", "edges", "relu", "pool", "flat", "dense", "softmax"]
        maps = model.layers[0].forward(image[np.newaxis])[0]
        second = maps[..., 1] if data_format == "channels_last" else maps[1]
        drawn = rows["edges"].images[0]
        np.testing.assert_array_equal(tile(drawn, 0, 1, (6, 6)), second)
        assert drawn.get_clim()[1] == pytest.approx(np.abs(maps).max())
        bars = [bar.get_height() for bar in rows["softmax"].patches]
        expected = model.predict(image[np.newaxis])[0]
        np.testing.assert_allclose(bars, expected, rtol=1e-5)
        assert [text.get_text() for text in rows["softmax"].texts] == [f"{value:.2f}" for value in expected]

    def test_activation_within_a_layer_is_a_step_of_its_own(self):
        model = fc.Sequential([Conv2D(3, 3, activation="relu", input_shape=(6, 6, 1), name="edges")])
        image = np.random.default_rng(2).normal(size=(6, 6, 1)).astype(np.float32)
        _, convolved, cut = plot.feature_maps(model, image).axes
        assert [axes.get_ylabel().split("\n")[0] for axes in (convolved, cut)] == ["edges", "edges: relu"]
        before, after = (tile(axes.images[0], 0, 0, (4, 4)) for axes in (convolved, cut))
        assert before.min() < 0
        np.testing.assert_array_equal(np.maximum(before, 0), after)
        np.testing.assert_allclose(after, model.predict(image[np.newaxis])[0, :, :, 0], rtol=1e-6)

    @pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
    def test_input_is_drawn_in_its_colours(self, data_format):
        image = np.random.default_rng(2).random((6, 6, 3))
        given = image if data_format == "channels_last" else image.transpose(2, 0, 1)
        model = fc.Sequential([Conv2D(2, 3, data_format=data_format, input_shape=given.shape)])
        axes = plot.feature_maps(model, given).axes[0]
        np.testing.assert_allclose(axes.images[0].get_array(), image)
        assert axes.get_ylabel().startswith("input\n")

    def test_classes_must_name_the_outputs(self):
        with pytest.raises(ValueError, match="feature_maps: classes must name 4 classes, got 2"):
            plot.feature_maps(small_model(), np.ones((8, 8, 2)), ["a", "b"])

    def test_legend_says_what_black_and_white_mean(self):
        figure = plot.feature_maps(small_model(), np.ones((8, 8, 2)))
        assert "black negative" in figure.get_suptitle()
        assert "white positive" in figure.get_suptitle()

    def test_many_maps_and_units_are_cut_and_counted(self):
        layers = [Conv2D(40, 1, input_shape=(3, 3, 1), name="wide"), Flatten(name="flat"), Dense(30, name="dense")]
        figure = plot.feature_maps(fc.Sequential(layers), np.ones((3, 3, 1)))
        labels = [axes.get_ylabel().split(",")[0] for axes in figure.axes]
        assert labels == ["input\n3x3x1", "wide\n3x3x40 (32 shown)", "flat\n360 (256 shown)", "dense\n30"]

    def test_classes_stand_under_the_bars(self):
        figure = plot.feature_maps(small_model(), np.ones((8, 8, 2)), ["a", "b", "c", "d"])
        assert [label.get_text() for label in figure.axes[-1].get_xticklabels()] == ["a", "b", "c", "d"]

    def test_wrong_shape_is_a_value_error(self):
        with pytest.raises(ValueError, match=r"input shape \(8, 8, 2\), got \(8, 8\)"):
            plot.feature_maps(small_model(), np.ones((8, 8)))


class TestConfusionMatrix:
    def test_counts_are_written_and_shares_coloured(self):
        figure = plot.confusion_matrix([[3, 1], [0, 0]], ["cat", "dog"])
        axes = figure.axes[0]
        assert {text.get_position(): text.get_text() for text in axes.texts} == {(0, 0): "3", (1, 0): "1"}
        assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0, 0]]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
        assert figure.get_suptitle() == "3 of 4 right (75.00%)"

    @pytest.mark.parametrize("shape", [(2, 3), (4,), (0, 0)])
    def test_other_than_square_is_a_value_error(self, shape):
        with pytest.raises(ValueError, match=r"confusion_matrix: matrix must have shape \(k, k\), got"):
            plot.confusion_matrix(np.zeros(shape, int))

    def test_each_class_needs_a_name(self):
        with pytest.raises(ValueError, match="classes must name 2 classes, got 1"):
            plot.confusion_matrix(np.eye(2, dtype=int), ["cat"])


class TestSave:
    @pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
    def test_writes_the_format_of_the_ending(self, tmp_path, suffix, start):
        plot.save(plot.history({"loss": [1.0]}), tmp_path / f"a{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes().startswith(start)
        assert [file.name for file in tmp_path.iterdir()] == [f"a{suffix}"]

    def test_path_writes_the_same_file(self, tmp_path):
        plot.save(plot.history({"loss": [1.0]}), tmp_path / "a.png")
        plot.history({"loss": [1.0]}, path=tmp_path / "b.png")
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

    def test_failure_leaves_the_old_file_and_nothing_else(self, tmp_path, monkeypatch):
        from matplotlib.figure import Figure

        def broken(self, stream, **options):
            stream.write(b"half")
            raise OSError("disk full")

        (tmp_path / "a.png").write_bytes(b"old")
        monkeypatch.setattr(Figure, "savefig", broken)
        with pytest.raises(OSError, match="disk full"):
            plot.save(plot.history({"loss": [1.0]}), tmp_path / "a.png")
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a.png": b"old"}


class TestOddInputs:
    """What a user who looks for a mistake draws: networks that diverged, names of any kind."""

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_images_and_maps_that_are_not_finite_are_drawn(self, value, rng, tmp_path):
        model = small_model()
        images = rng.random((3, 8, 8, 2)).astype(np.float32)
        images[0, 2, 3] = value
        images[1] = value
        for image in images[:2]:
            plot.feature_maps(model, image, path=tmp_path / "maps.png")
        plot.guesses(model, images, path=tmp_path / "guesses.png")

    def test_one_infinite_weight_does_not_hide_the_others(self):
        model = fc.Sequential([Conv2D(1, 2, input_shape=(4, 4, 1))])
        model.layers[0].params["kernel"][...] = np.reshape([np.inf, -3, 2, 1], (2, 2, 1, 1))
        assert plot.filters(model).axes[0].images[0].get_clim() == (-3, 3)

    def test_names_of_classes_are_no_formulas(self, rng, tmp_path):
        names = ["$1", "$2 to $3", "$$", "a_b^"]
        shown = [name.replace("$", r"\$") for name in names]
        figure = plot.confusion_matrix(np.eye(4, dtype=int), names, path=tmp_path / "matrix.png")
        assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == shown
        model = fc.Sequential([Flatten(input_shape=(2, 2, 1)), Dense(4), Softmax()])
        images = rng.random((2, 2, 2, 1))
        plot.guesses(model, images, [0, 2], names, path=tmp_path / "guesses.png")
        plot.feature_maps(model, images[0], names, path=tmp_path / "maps.png")

    def test_filters_of_a_model_that_is_not_built_are_refused(self):
        with pytest.raises(RuntimeError, match="filters: layer 'conv' must be built, got one without kernels"):
            plot.filters(fc.Sequential([Conv2D(2, 3, name="conv")]))


def test_missing_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pictures need matplotlib: pip install "fastconv\[demo\]"'):
        plot.history({"loss": [1.0]})


def test_importing_fastconv_plot_imports_no_matplotlib():
    import subprocess

    code = "import sys, fastconv.plot; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
