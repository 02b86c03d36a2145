"""Layers that change images at random in training: what comes out, for which seed, and their gradients."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.layers import (
    Conv2D,
    Dense,
    Flatten,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
    Resizing,
)
from fastconv.testing import check_gradient

FORMATS = ["channels_last", "channels_first"]
FILLS = {"reflect": "reflect", "constant": "grid-constant", "wrap": "grid-wrap", "nearest": "nearest"}
LAYERS = [
    lambda **o: RandomFlip(**o),
    lambda **o: RandomFlip("horizontal", **o),
    lambda **o: RandomCrop(4, 3, **o),
    lambda **o: RandomCrop(9, 12, **o),
    lambda **o: RandomTranslation(0.4, 0.3, **o),
    lambda **o: RandomTranslation(1.0, 1.0, "wrap", **o),
    lambda **o: RandomTranslation(0.7, 0.7, "nearest", "nearest", **o),
    lambda **o: RandomTranslation(0.4, (0.1, 0.9), "constant", fill_value=2.5, **o),
    lambda **o: RandomZoom(0.4, **o),
    lambda **o: RandomZoom(0.4, (0.1, 0.9), "constant", fill_value=2.5, **o),
    lambda **o: RandomRotation(0.4, **o),
    lambda **o: RandomRotation(0.4, "nearest", "nearest", **o),
    lambda **o: RandomRotation((0.1, 0.2), "constant", fill_value=2.5, **o),
    lambda **o: RandomBrightness(0.4, (-9.0, 9.0), **o),
    lambda **o: RandomContrast(0.4, (-9.0, 9.0), **o),
]


def as_format(x, data_format):
    return np.ascontiguousarray(np.moveaxis(x, -1, 1)) if data_format == "channels_first" else x


def repeated(layer):
    """The layer with the same random numbers at every call."""

    cls = type(layer)

    def draw(self, *arguments):
        self.reseed(5)
        return cls._draw(self, *arguments)

    layer.__class__ = type(cls.__name__, (cls,), {"_draw": draw})
    return layer


@pytest.mark.parametrize("make", LAYERS)
class TestEveryLayer:
    def test_the_same_seed_repeats_and_goes_on(self, make, rng):
        x = rng.standard_normal((6, 7, 6, 2)).astype(np.float32)
        first, second, other = make(seed=4), make(seed=4), make(seed=5)
        a, b = first.forward(x, training=True), first.forward(x, training=True)
        np.testing.assert_array_equal(second.forward(x, training=True), a)
        np.testing.assert_array_equal(second.forward(x, training=True), b)
        if first.output_shape(x.shape)[1:3] != (9, 12):  # which is a resizing, without chance
            assert not np.array_equal(a, b)
            assert not np.array_equal(other.forward(x, training=True), a)

    def test_reseed_restarts_from_the_seed_of_the_layer_or_else_of_the_training(self, make, rng):
        x = rng.standard_normal((6, 7, 6, 2)).astype(np.float32)
        without, given = make(), make(seed=4)
        for layer in (without, given):
            layer.reseed(1, 2, 3)
        outputs = [layer.forward(x, training=True) for layer in (without, given)]
        for layer, same, another in ((without, (1, 2, 3), (1, 3, 3)), (given, (9, 2, 3), (9, 3, 3))):
            expected = outputs[layer is given]
            layer.reseed(*same)
            np.testing.assert_array_equal(layer.forward(x, training=True), expected)
            layer.reseed(*another)
            if expected.shape[1:3] != (9, 12):
                assert not np.array_equal(layer.forward(x, training=True), expected)

    @pytest.mark.parametrize("data_format", FORMATS)
    def test_gradient(self, make, data_format, rng):
        x = as_format(rng.standard_normal((3, 7, 6, 2)), data_format)
        check_gradient(repeated(make(data_format=data_format)), x)

    def test_formats_agree(self, make, rng):
        x = rng.standard_normal((3, 7, 6, 2))
        last, first = make(seed=2), make(seed=2, data_format="channels_first")
        y = last.forward(x, training=True)
        np.testing.assert_array_equal(
            first.forward(as_format(x, "channels_first"), training=True), np.moveaxis(y, -1, 1)
        )
        grad = rng.standard_normal(y.shape)
        np.testing.assert_array_equal(first.backward(np.moveaxis(grad, -1, 1)), np.moveaxis(last.backward(grad), -1, 1))

    def test_threads_do_not_change_bits(self, make, rng):
        x = rng.standard_normal((32, 40, 40, 5)).astype(np.float32)
        before, results = fc.get_num_threads(), []
        for threads in (1, 2):
            fc.set_num_threads(threads)
            layer = make(seed=3)
            y = layer.forward(x, training=True)
            results.append((y.tobytes(), layer.backward(y).tobytes()))
        fc.set_num_threads(before)
        assert results[0] == results[1]

    def test_empty_batch(self, make):
        layer = make()
        y = layer.forward(np.ones((0, 7, 6, 2)), training=True)
        assert y.shape == layer.output_shape((0, 7, 6, 2))
        assert layer.backward(y).shape == (0, 7, 6, 2)

    def test_config_builds_the_same_layer(self, make, rng):
        layer = make(seed=7, data_format="channels_first")
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        x = rng.standard_normal((4, 2, 7, 6))
        np.testing.assert_array_equal(again.forward(x, training=True), layer.forward(x, training=True))


@pytest.mark.parametrize("make", [LAYERS[0], LAYERS[4], LAYERS[8], LAYERS[10], LAYERS[13], LAYERS[14]])
def test_without_training_images_stay(make):
    x = np.ones((2, 4, 4, 1), np.float32)
    assert make()(x) is x


class TestRandomFlip:
    @pytest.mark.parametrize("data_format", FORMATS)
    @pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
    def test_each_image_is_turned_or_not_in_each_way(self, mode, data_format, rng):
        x = rng.standard_normal((200, 3, 4, 2)).astype(np.float32)
        y = RandomFlip(mode, seed=0, data_format=data_format).forward(as_format(x, data_format), training=True)
        y = y if data_format == "channels_last" else np.moveaxis(y, 1, -1)
        ways = [(a, b) for a in (1, -1) for b in (1, -1)]
        counts = dict.fromkeys(ways, 0)
        for image, turned in zip(x, y, strict=True):
            (way,) = [way for way in ways if np.array_equal(turned, image[:: way[0], :: way[1]])]
            counts[way] += 1
        possible = {(1, 1), *[(-1, 1)] * ("vertical" in mode), *[(1, -1)] * ("horizontal" in mode)}
        possible |= {(-1, -1)} if mode == "horizontal_and_vertical" else set()
        assert {way for way, count in counts.items() if count} == possible
        assert all(abs(counts[way] / 200 - 1 / len(possible)) < 0.15 for way in possible)

    def test_gradient_is_turned_back(self, rng):
        layer, x = RandomFlip(seed=1), rng.standard_normal((9, 4, 5, 2)).astype(np.float32)
        y = layer.forward(x, training=True)
        np.testing.assert_array_equal(layer.backward(y), x)


class TestRandomCrop:
    @pytest.mark.parametrize("data_format", FORMATS)
    def test_each_image_is_cut_at_a_place_of_its_own(self, data_format):
        rows, columns = np.meshgrid(np.arange(6.0), np.arange(5.0), indexing="ij")
        x = np.tile(np.stack([rows, columns], -1), (300, 1, 1, 1))
        layer = RandomCrop(4, 2, seed=0, data_format=data_format)
        y = layer.forward(as_format(x, data_format), training=True)
        y = y if data_format == "channels_last" else np.moveaxis(y, 1, -1)
        places = y[:, 0, 0]
        np.testing.assert_array_equal(y - places[:, None, None], np.tile(x[0, :4, :2], (300, 1, 1, 1)))
        found = {tuple(place) for place in places.tolist()}
        assert found == {(top, left) for top in range(3) for left in range(4)}

    def test_gradient_is_put_back_in_its_place(self):
        layer = RandomCrop(2, 2, seed=0)
        x = np.zeros((5, 4, 4, 1), np.float32)
        layer.forward(x, training=True)
        grad_x = layer.backward(np.arange(1.0, 21.0).reshape(5, 2, 2, 1))
        assert (np.count_nonzero(grad_x, axis=(1, 2, 3)) == 4).all()
        assert grad_x.sum() == 210

    def test_a_window_of_the_same_size_is_the_image(self, rng):
        x = rng.standard_normal((2, 4, 5, 1)).astype(np.float32)
        for training in (False, True):
            np.testing.assert_array_equal(RandomCrop(4, 5).forward(x, training=training), x)

    def test_without_training_the_largest_window_of_that_aspect_ratio_is_resized(self, torch, rng):
        x = rng.standard_normal((2, 3, 8, 20))
        y = RandomCrop(4, 6, data_format="channels_first", dtype="float64")(x)
        window = torch.tensor(x[:, :, :, 4:16])  # 8 x 12
        expected = torch.nn.functional.interpolate(window, size=(4, 6), mode="bilinear").numpy()
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)

    def test_small_images_are_enlarged_in_training_too(self, rng):
        x = rng.standard_normal((2, 3, 3, 1)).astype(np.float32)
        layer = RandomCrop(6, 6)
        np.testing.assert_array_equal(layer.forward(x, training=True), layer(x))


class TestRandomTranslation:
    @pytest.mark.parametrize("data_format", FORMATS)
    @pytest.mark.parametrize("fill_mode", FILLS)
    @pytest.mark.parametrize("factors", [(0.0, 0.0), (0.25, -0.4), (-0.33, 0.17), (1.0, -1.0), (-0.9, 0.92)])
    @pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
    def test_matches_scipy(self, interpolation, factors, fill_mode, data_format, rng):
        ndimage = pytest.importorskip("scipy.ndimage")
        x = rng.standard_normal((2, 8, 10, 3))
        height, width = ((factor, factor) for factor in factors)
        layer = RandomTranslation(
            height, width, fill_mode, interpolation, fill_value=1.5, data_format=data_format, dtype="float64"
        )
        y = layer.forward(as_format(x, data_format), training=True)
        expected = ndimage.shift(
            x,
            (0, 8 * factors[0], 10 * factors[1], 0),
            order=int(interpolation == "bilinear"),
            mode=FILLS[fill_mode],
            cval=1.5,
            prefilter=False,
        )
        np.testing.assert_allclose(y, as_format(expected, data_format), rtol=0, atol=1e-12)

    def test_images_move_by_distances_of_their_own_within_the_bounds(self):
        x = np.tile(np.arange(100.0).reshape(1, 1, 100, 1), (500, 1, 1, 1))
        layer = RandomTranslation(0.0, (-0.1, 0.3), "nearest", seed=0, dtype="float64")
        distances = 50 - layer.forward(x, training=True)[:, 0, 50, 0]
        assert -10 <= distances.min() < -9
        assert 29 < distances.max() <= 30
        assert abs(distances.mean() - 10) < 2

    def test_not_finite_pixels_do_not_spread_by_whole_distances(self):
        x = np.array([1.0, np.nan, 3.0, 4.0]).reshape(1, 1, 4, 1)
        y = RandomTranslation(0.0, (0.25, 0.25), "constant").forward(x, training=True)
        np.testing.assert_array_equal(y.ravel(), [0, 1, np.nan, 3])

    def test_a_number_stands_for_both_directions(self):
        assert RandomTranslation(0.2, (0.3, -0.1)).get_config()["height_factor"] == [-0.2, 0.2]
        assert RandomTranslation(0.2, (0.3, -0.1)).width_factor == (-0.1, 0.3)


def network():
    model = fc.Sequential(
        [
            RandomFlip(input_shape=(8, 8, 1)),
            RandomTranslation(0.2, 0.2),
            RandomCrop(6, 6),
            Conv2D(4, 3, activation="relu"),
            Flatten(),
            Dense(2),
        ]
    )
    model.compile("sgd", "mse")
    return model


def test_training_repeats_and_resumes_bit_by_bit():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 8, 8, 1)), rng.standard_normal((20, 2))
    whole, parts = network(), network()
    parts.set_weights(whole.get_weights())
    whole.fit(x, y, batch_size=8, epochs=4, verbose=0, seed=3)
    parts.fit(x, y, batch_size=8, epochs=2, verbose=0, seed=3)
    parts.predict(x)  # draws no random numbers
    parts.fit(x, y, batch_size=8, epochs=4, initial_epoch=2, verbose=0, seed=3)
    for ours, theirs in zip(parts.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (
            lambda: RandomFlip("both"),
            ValueError,
            "RandomFlip: mode must be 'horizontal_and_vertical' or .*, got 'both'",
        ),
        (lambda: RandomFlip(seed=1.0), TypeError, "RandomFlip: seed must be an integer, got 1.0"),
        (lambda: RandomCrop(0, 3), ValueError, "RandomCrop: height must be at least 1, got 0"),
        (lambda: RandomCrop(3, 2.0), TypeError, "RandomCrop: width must be an integer, got 2.0"),
        (
            lambda: RandomTranslation(1.5, 0.1),
            ValueError,
            "RandomTranslation: height_factor must be a number or a pair of numbers from -1 to 1, got 1.5",
        ),
        (
            lambda: RandomTranslation(0.1, (0.1, 0.2, 0.3)),
            ValueError,
            r"RandomTranslation: width_factor must be a number or a pair of .*, got \(0.1, 0.2, 0.3\)",
        ),
        (lambda: RandomTranslation("1", 0), TypeError, "RandomTranslation: height_factor must be a number, got '1'"),
        (
            lambda: RandomTranslation(0, 0, "mirror"),
            ValueError,
            "RandomTranslation: fill_mode must be 'reflect' or 'constant' or 'wrap' or 'nearest', got 'mirror'",
        ),
        (
            lambda: RandomTranslation(0, 0, interpolation="cubic"),
            ValueError,
            "RandomTranslation: interpolation must be 'bilinear' or 'nearest', got 'cubic'",
        ),
        (lambda: RandomTranslation(0, 0, fill_value=None), TypeError, "RandomTranslation: fill_value must be a number"),
    ],
)
def test_errors(make, error, text):
    with pytest.raises(error, match=f"^{text}"):
        make()


class TestRandomZoom:
    @pytest.mark.parametrize("fill_mode", FILLS)
    @pytest.mark.parametrize("factors", [(0.25, -0.4), (-0.9, 1.0)])
    @pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
    def test_matches_scipy(self, interpolation, factors, fill_mode, rng):
        # Keras 3.15 has the same values, except for "wrap", where TensorFlow leaves a pixel out.
        ndimage = pytest.importorskip("scipy.ndimage")
        x = rng.standard_normal((7, 6))
        pairs = [(factor, factor) for factor in factors]
        layer = RandomZoom(*pairs, fill_mode, interpolation, fill_value=1.5, dtype="float64")
        middle, zoom = np.array([3, 2.5]), 1 + np.array(factors)
        if interpolation == "nearest":
            middle = middle + 1e-9  # halves are rounded up
        expected = ndimage.affine_transform(
            x, zoom, middle - zoom * (middle - (1e-9 if interpolation == "nearest" else 0)),
            order=interpolation == "bilinear", mode=FILLS[fill_mode], cval=1.5,
        )  # fmt: skip
        np.testing.assert_allclose(layer(x[np.newaxis, ..., np.newaxis], training=True)[0, ..., 0], expected, atol=1e-7)

    def test_one_factor_keeps_the_aspect_ratio_and_images_have_their_own(self):
        x = np.add.outer(np.arange(9.0), np.arange(9.0)).reshape(1, 9, 9, 1)
        y = RandomZoom(0.5, fill_mode="nearest", seed=1)(np.repeat(x, 4, axis=0), training=True)[..., 0]
        np.testing.assert_allclose(y, y.transpose(0, 2, 1), rtol=1e-6)
        np.testing.assert_allclose(y[:, 4, 4], 8, rtol=1e-6)
        steps = y[:, 4, 5] - y[:, 4, 4]
        assert (np.abs(steps - 1) <= 0.5).all()
        assert len(set(steps.round(3))) == 4


class TestRandomRotation:
    @pytest.mark.parametrize("data_format", FORMATS)
    @pytest.mark.parametrize("quarters", [-2, -1, 0, 1, 2, 3])
    def test_quarter_turns_are_those_of_numpy(self, quarters, data_format, rng):
        x = rng.standard_normal((2, 5, 5, 3)).astype(np.float32)
        layer = RandomRotation((quarters / 4, quarters / 4), data_format=data_format)
        y = layer.forward(as_format(x, data_format), training=True)
        np.testing.assert_array_equal(y, as_format(np.rot90(x, quarters, axes=(1, 2)), data_format))
        grad = layer.backward(as_format(x, data_format))
        np.testing.assert_array_equal(grad, as_format(np.rot90(x, -quarters, axes=(1, 2)), data_format))

    @pytest.mark.parametrize("fill_mode", FILLS)
    @pytest.mark.parametrize("factor", [0.1, -0.3, 0.77])
    def test_matches_scipy(self, factor, fill_mode, rng):
        # Keras 3.15 has the same values, except for "wrap", where TensorFlow leaves a pixel out.
        ndimage = pytest.importorskip("scipy.ndimage")
        x = rng.standard_normal((7, 6))
        layer = RandomRotation((factor, factor), fill_mode, fill_value=1.5, dtype="float64")
        cos, sin = np.cos(2 * np.pi * factor), np.sin(2 * np.pi * factor)
        matrix, middle = np.array([[cos, sin], [-sin, cos]]), np.array([3, 2.5])
        expected = ndimage.affine_transform(
            x, matrix, middle - matrix @ middle, order=1, mode=FILLS[fill_mode], cval=1.5
        )
        y = layer(x[np.newaxis, ..., np.newaxis], training=True)[0, ..., 0]
        np.testing.assert_allclose(y, expected, atol=1e-7)

    def test_images_turn_by_angles_of_their_own(self, rng):
        x = np.repeat(rng.standard_normal((1, 6, 6, 1)), 5, axis=0)
        y = RandomRotation(0.5, seed=2)(x, training=True)
        assert len({image.tobytes() for image in y}) == 5


class TestRandomValues:
    def test_brightness_is_added_and_cut(self, rng):
        x = rng.random((6, 4, 3, 2)).astype(np.float32)
        layer = RandomBrightness(0.4, value_range=[0, 1], seed=3)
        y = layer.forward(x, training=True)
        added = np.array([np.median((b - a)[(b > 0) & (b < 1)]) for a, b in zip(x, y, strict=True)])
        np.testing.assert_allclose(y, np.clip(x + added.reshape(-1, 1, 1, 1), 0, 1), atol=1e-6)
        assert np.abs(added).max() <= 0.4
        assert len(set(added.round(4))) == 6
        np.testing.assert_array_equal(layer.backward(np.ones_like(x)), (y > 0) & (y < 1))

    def test_brightness_is_a_part_of_the_range(self):
        y = RandomBrightness((-0.2, -0.2))(np.full((1, 1, 1, 1), 100.0), training=True)
        assert y.item() == pytest.approx(100 - 0.2 * 255)

    def test_contrast_is_about_the_mean_of_each_channel(self, rng):
        x = rng.standard_normal((5, 4, 3, 2))
        y = RandomContrast((0.5, 0.9), (-99.0, 99.0), seed=3, dtype="float64")(x, training=True)
        mean = x.mean(axis=(1, 2), keepdims=True)
        ratio = (y - mean) / (x - mean)
        np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1, :1], x.shape))
        factors = ratio[:, 0, 0, 0]
        assert ((factors >= 0.5) & (factors <= 1.9)).all()
        assert len(set(factors.round(4))) == 5
        cut = RandomContrast(0.0, (-0.5, 0.5), dtype="float64")(x, training=True)
        np.testing.assert_allclose(cut, np.clip(x, -0.5, 0.5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomZoom((-1.0, 0.5)), r"RandomZoom: height_factor must be greater than -1, .*, got \(-1.0, 0.5\)"),
        (lambda: RandomZoom(0.1, 1.0), "RandomZoom: width_factor must be greater than -1, and a single number less"),
        (lambda: RandomZoom(0.1, fill_mode="mirror"), "RandomZoom: fill_mode must be 'reflect' or"),
        (lambda: RandomRotation(1.5), "RandomRotation: factor must be a number or a pair of numbers from -1 to 1, got"),
        (lambda: RandomRotation(0.1, interpolation="cubic"), "RandomRotation: interpolation must be 'bilinear' or"),
        (lambda: RandomBrightness(2.0), "RandomBrightness: factor must be a number or a pair"),
        (lambda: RandomBrightness(0.2, (1, 1)), r"value_range must be two numbers that differ, got \(1, 1\)"),
        (lambda: RandomContrast(-0.2), "RandomContrast: factor must be a number or a pair of numbers from 0 to 1, got"),
        (lambda: RandomContrast(0.2, 255), "RandomContrast: value_range must be a pair of numbers, got 255"),
    ],
)
def test_factors_and_ranges_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class TestResizing:
    @pytest.mark.parametrize("data_format", FORMATS)
    @pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
    @pytest.mark.parametrize("size", [(4, 9), (14, 12), (7, 6)])
    def test_is_the_interpolation_of_torch(self, size, interpolation, data_format, torch, rng):
        x = rng.standard_normal((2, 7, 6, 3))
        # "nearest-exact", torch's name of the pixel whose middle is nearest, is what Keras 3.15 takes.
        mode = "nearest-exact" if interpolation == "nearest" else interpolation
        expected = torch.nn.functional.interpolate(torch.from_numpy(as_format(x, "channels_first")), size, mode=mode)
        layer = Resizing(*size, interpolation, data_format=data_format, dtype="float64")
        y = layer(as_format(x, data_format))
        np.testing.assert_allclose(y, as_format(np.moveaxis(expected.numpy(), 1, -1), data_format), rtol=1e-12)
        np.testing.assert_array_equal(layer(as_format(x, data_format), training=True), y)
        assert layer.output_shape((None, *y.shape[1:])) == (None, *y.shape[1:])

    @pytest.mark.parametrize("data_format", FORMATS)
    @pytest.mark.parametrize("crop", [False, True])
    def test_gradient(self, crop, data_format, rng):
        x = as_format(rng.standard_normal((2, 7, 6, 2)), data_format)
        check_gradient(Resizing(4, 9, crop_to_aspect_ratio=crop, data_format=data_format), x)

    def test_crops_the_middle_of_the_aspect_ratio(self, rng):
        x = rng.standard_normal((1, 4, 10, 1)).astype(np.float32)
        np.testing.assert_array_equal(Resizing(4, 4, crop_to_aspect_ratio=True)(x), x[:, :, 3:7])
        np.testing.assert_array_equal(Resizing(4, 10)(x), x)

    def test_of_unknown_sizes_in_a_model(self, rng):
        model = fc.Sequential([fc.Input((None, None, 3)), Resizing(8, 6), Flatten(), Dense(2)])
        assert model.predict(rng.random((2, 11, 5, 3))).shape == (2, 2)
        assert model.predict(rng.random((2, 4, 9, 3))).shape == (2, 2)

    def test_refuses(self):
        with pytest.raises(ValueError, match="Resizing: height must be at least 1, got 0"):
            Resizing(0, 3)
        with pytest.raises(ValueError, match="Resizing: interpolation must be 'bilinear' or 'nearest', got 'bicubic'"):
            Resizing(3, 3, "bicubic")
