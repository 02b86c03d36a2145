"""Pictures of images: guesses, receptive fields and the crops that activate a channel, against brute force."""

import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv import plot
from fastconv.layers import (
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ReLU,
    Softmax,
)
from fastconv.plot._network import as_pictures

pytest.importorskip("matplotlib")

BLUE, VERMILION, GAP = "#0072B2", "#D55E00", "#BFD7EA"


def oriented(images, data_format):
    """Return channels-last images in a data format."""
    return images if data_format == "channels_last" else np.moveaxis(images, -1, -3)


def classifier(data_format="channels_last", classes=7):
    fc.utils.set_random_seed(3)
    shape = (6, 6, 3) if data_format == "channels_last" else (3, 6, 6)
    return fc.Sequential(
        [
            Conv2D(4, 3, data_format=data_format, input_shape=shape, name="edges"),
            ReLU(name="relu"),
            GlobalAveragePooling2D(data_format=data_format),
            Dense(classes, kernel_initializer="he_normal"),
            Softmax(),
        ]
    )


def colours(bars):
    from matplotlib.colors import to_hex

    return [to_hex(bar.get_facecolor()).upper() for bar in bars]


class TestGuesses:
    def test_bars_are_the_five_largest_probabilities(self, data_format, rng):
        model, images = classifier(data_format), rng.random((4, 6, 6, 3))
        probabilities = model.predict(oriented(images, data_format))
        labels = probabilities.argsort(axis=1)[:, -2]
        names = list("abcdefg")
        figure = plot.guesses(model, oriented(images, data_format), labels, names)
        assert len(figure.axes) == 8
        for number, (picture, bars) in enumerate(zip(figure.axes[::2], figure.axes[1::2], strict=True)):
            np.testing.assert_allclose(picture.images[0].get_array(), images[number])
            best = probabilities[number].argsort()[::-1][:5]
            assert [label.get_text() for label in bars.get_yticklabels()] == [names[guess] for guess in best]
            np.testing.assert_allclose([bar.get_width() for bar in bars.patches], probabilities[number][best])
            assert colours(bars.patches) == [VERMILION, BLUE, VERMILION, VERMILION, VERMILION]
            assert picture.get_title() == f"✗ {names[labels[number]]}"
        assert "4 images, 0 recognised" in figure.get_suptitle()

    def test_right_guesses_are_ticked(self, rng):
        model, images = classifier(), rng.random((2, 6, 6, 3))
        labels = model.predict(images).argmax(axis=1)
        figure = plot.guesses(model, images, labels)
        assert [axes.get_title() for axes in figure.axes[::2]] == [f"✓ {label}" for label in labels]
        assert "2 recognised" in figure.get_suptitle()

    def test_without_labels_no_bar_is_right_or_wrong(self, rng):
        figure = plot.guesses(classifier(classes=3), rng.random((1, 6, 6, 3)))
        picture, bars = figure.axes
        assert picture.get_title() == ""
        assert colours(bars.patches) == ["#999999"] * 3
        assert figure.get_suptitle() == "1 image"

    def test_many_images_are_cut_and_counted(self, rng):
        figure = plot.guesses(classifier(), rng.random((30, 6, 6, 3)), np.zeros(30, int))
        assert len(figure.axes) == 48
        assert figure.get_suptitle().startswith("24 of 30 images, ")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                {"images": np.ones((2, 5, 5, 3))},
                r"images must have the network's input shape \(6, 6, 3\), got \(5, 5, 3\)",
            ),
            ({"images": np.ones((0, 6, 6, 3))}, r"images must be one image or more, .* got shape \(0, 6, 6, 3\)"),
            ({"labels": [1]}, r"labels must have shape \(2,\), got \(1,\)"),
            ({"labels": [1, 7]}, "labels must be integers from 0 to 6, got 1 to 7"),
            ({"labels": [0.5, 1]}, "labels must be integers from 0 to 6"),
            ({"classes": ["a"]}, "classes must name 7 classes, got 1"),
        ],
    )
    def test_refuses(self, arguments, message):
        with pytest.raises(ValueError, match=f"guesses: {message}"):
            plot.guesses(classifier(), **{"images": np.ones((2, 6, 6, 3)), **arguments})


class TestReceptiveField:
    def test_frame_is_around_the_pixels_that_the_unit_sees(self, data_format, rng):
        image = rng.random((6, 6, 3))
        model = classifier(data_format)
        figure = plot.receptive_field(model, oriented(image, data_format), "edges", unit=(3, 1))
        (axes,) = figure.axes
        _, frame = axes.patches
        assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((0.5, 2.5), 3, 3)
        drawn = np.asarray(axes.images[0].get_array())
        np.testing.assert_allclose(drawn[3:6, 1:4], image[3:6, 1:4])
        np.testing.assert_allclose(drawn[:3], 0.5 * image[:3] + 0.5)
        assert figure.get_suptitle() == "edges, unit (3, 1) of 4x4\nsees 3x3 pixels, in steps of 1x1"

    def test_padding_within_the_frame_is_shown(self):
        model = fc.Sequential([Conv2D(1, 5, padding="same", input_shape=(8, 8, 1))])
        figure = plot.receptive_field(model, np.zeros((8, 8, 1)), unit=(0, 7))
        (axes,) = figure.axes
        assert figure.get_suptitle().endswith("in steps of 1x1; light blue is padding")
        padding, frame = axes.patches
        assert frame.get_xy() == padding.get_xy() == (4.5, -2.5)
        assert colours([padding]) == [GAP]
        assert padding.zorder < axes.images[0].zorder < frame.zorder
        assert axes.get_xlim()[1] > 9.5
        assert axes.get_ylim()[1] < -2.5

    def test_last_map_smaller_than_the_image_and_middle_unit_by_default(self):
        layers = [Conv2D(1, 3, input_shape=(8, 8, 1), name="small"), MaxPooling2D(6, name="all"), Flatten(), Dense(2)]
        figure = plot.receptive_field(fc.Sequential(layers), np.zeros((8, 8, 1)))
        assert figure.get_suptitle().startswith("small, unit (3, 3) of 6x6\n")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"image": np.ones((6, 6))}, r"image must have the network's input shape \(6, 6, 3\), got \(6, 6\)"),
            ({"layer": "dense"}, "layer must name one whose output is a map, out of edges, relu, got 'dense'"),
            ({"unit": (4, 0)}, r"unit must lie within 4x4, got \(4, 0\)"),
            ({"unit": (0, -1)}, r"unit must lie within 4x4, got \(0, -1\)"),
        ],
    )
    def test_refuses(self, arguments, message):
        with pytest.raises(ValueError, match=f"receptive_field: {message}"):
            plot.receptive_field(classifier(), **{"image": np.ones((6, 6, 3)), **arguments})


class TestActivatingCrops:
    def crops(self, figure, count):
        """Return values and pictures, row by row; None where a place is empty."""
        found = [(axes.get_title(), axes.images[0].get_array() if axes.images else None) for axes in figure.axes]
        return [found[start : start + count] for start in range(0, len(found), count)]

    def test_crops_are_the_windows_with_the_largest_values(self, data_format, rng):
        images = rng.random((70, 6, 6, 3))
        images[:66] *= 0.9
        model = classifier(data_format)
        np.abs(model.layers[0].params["kernel"], out=model.layers[0].params["kernel"])
        figure = plot.activating_crops(model, oriented(images, data_format), "edges", channels=[2, 0], count=3)
        maps = model.get_layer("edges").forward(oriented(images, data_format))
        maps = maps if data_format == "channels_last" else np.moveaxis(maps, 1, -1)
        for row, channel in zip(self.crops(figure, 3), [2, 0], strict=True):
            best = maps[..., channel].max(axis=(1, 2)).argsort()[::-1][:3]
            for (title, crop), number in zip(row, best, strict=True):
                one = maps[number, :, :, channel]
                top, left = np.unravel_index(one.argmax(), one.shape)
                assert title == f"{one.max():.3g}"
                np.testing.assert_allclose(crop, images[number, top : top + 3, left : left + 3])
        assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["channel 2", "channel 0"]

    def test_beyond_the_image_is_the_colour_of_gaps(self):
        from matplotlib.colors import to_rgb

        model = fc.Sequential([Conv2D(1, 3, padding="same", kernel_initializer="ones", input_shape=(5, 5, 1))])
        image = np.zeros((1, 5, 5, 1))
        image[0, 0, 4] = 1
        image[0, 1, 3] = 0.5
        model.layers[0].params["kernel"][:, :, 0, 0] = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
        ((_, crop),) = self.crops(plot.activating_crops(model, image, count=1), 1)[0]
        np.testing.assert_allclose(crop[0], [to_rgb(GAP)] * 3)
        np.testing.assert_allclose(crop[:, 2], [to_rgb(GAP)] * 3)
        np.testing.assert_allclose(crop[1:, :2, 0], [[0, 1], [0.5, 0]])

    def test_a_field_larger_than_the_image_shows_the_whole_image(self, rng):
        model = fc.Sequential([Conv2D(1, (7, 2), padding="same", kernel_initializer="ones", input_shape=(5, 5, 1))])
        images = rng.random((2, 5, 5, 1))
        figure = plot.activating_crops(model, images, count=2)
        assert {crop.shape for _, crop in self.crops(figure, 2)[0]} == {(5, 2, 3)}
        assert "crops of 5x2 pixels" in figure.get_suptitle()

    def test_images_that_do_not_activate_a_channel_leave_its_place_empty(self):
        model = fc.Sequential([Conv2D(1, 1, kernel_initializer="ones", activation="relu", input_shape=(2, 2, 1))])
        images = np.array([-1.0, 0, 3])[:, np.newaxis, np.newaxis, np.newaxis] * np.ones((1, 2, 2, 1))
        (row,) = self.crops(plot.activating_crops(model, images, count=5), 5)
        assert [(title, crop is None) for title, crop in row] == [("3", False)] + [("", True)] * 4

    def test_by_default_the_first_eight_channels_of_the_last_map_that_sees_a_part(self, rng):
        layers = [Conv2D(9, 3, input_shape=(8, 8, 1), name="part"), MaxPooling2D(6, name="all"), Flatten(), Dense(2)]
        figure = plot.activating_crops(fc.Sequential(layers), rng.random((2, 8, 8, 1)), count=1)
        assert len(figure.axes) == 8
        assert figure.get_suptitle().startswith("part: crops of 3x3 pixels")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"images": np.ones((0, 6, 6, 3))}, r"images must be one or more, .* got shape \(0, 6, 6, 3\)"),
            ({"layer": "nothing"}, "layer must name one whose output is a map, out of edges, relu, got 'nothing'"),
            ({"channels": [4]}, r"channels must be from 0 to 3, got \[4\]"),
            ({"channels": []}, r"channels must be from 0 to 3, got \[\]"),
            ({"count": 0}, "count must be at least 1, got 0"),
        ],
    )
    def test_refuses(self, arguments, message):
        with pytest.raises(ValueError, match=f"activating_crops: {message}"):
            plot.activating_crops(classifier(), **{"images": np.ones((2, 6, 6, 3)), **arguments})


class TestPictures:
    def test_values_from_0_to_1_stay_and_others_are_scaled_together(self):
        images = np.array([[[[0.25]], [[0.5]]]])
        np.testing.assert_array_equal(as_pictures(images, True)[..., 0], images[..., 0])
        other = np.array([[[[-1.0], [3.0]]], [[[1.0], [0.0]]]])
        np.testing.assert_array_equal(as_pictures(other, True)[..., 0], [[[0, 1]], [[0.5, 0.25]]])

    def test_other_than_three_channels_are_their_mean(self):
        np.testing.assert_array_equal(as_pictures(np.array([[[[0.0, 1.0]]]]), True), [[[[0.5, 0.5, 0.5]]]])


@pytest.mark.parametrize("function", [plot.guesses, plot.feature_maps, plot.activating_crops, plot.receptive_field])
def test_model_must_be_one(function):
    with pytest.raises(TypeError, match=f"{function.__name__}: model must be a Sequential or a Model, got str"):
        function("model", np.ones((1, 2, 2, 1)))


def test_all_pictures_of_a_trained_network_without_pyplot(tmp_path):
    """In a process of its own: none of the pictures touches matplotlib's global state."""
    code = f"""
import sys
import numpy as np
from fastconv import metrics, plot, utils, zoo
utils.set_random_seed(0)
x = np.random.default_rng(0).random((40, 12, 12, 3)).astype(np.float32)
y = (x[..., 0].mean(axis=(1, 2)) > 0.5).astype(int)
model = zoo.build("fashion", x.shape[1:], 2)
history = model.fit(x, y, epochs=2, verbose=0, seed=0, validation_data=(x, y)).history
folder = {str(tmp_path)!r}
plot.history(history, path=folder + "/history.png")
plot.confusion_matrix(metrics.confusion_matrix(y, model.predict(x)), path=folder + "/confusion.png")
plot.filters(model, path=folder + "/filters.png")
plot.feature_maps(model, x[0], path=folder + "/maps.png")
plot.guesses(model, x[:4], y[:4], path=folder + "/guesses.png")
plot.activating_crops(model, x, count=3, path=folder + "/crops.png")
plot.receptive_field(model, x[0], path=folder + "/field.png")
sys.exit("matplotlib.pyplot" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert len(sizes) == 7
    assert min(sizes.values()) > 5000
