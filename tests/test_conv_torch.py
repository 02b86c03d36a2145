"""Convolution gives what torch.nn.functional gives, in every form of its arguments."""

import numpy as np
import pytest
import strategies
from hypothesis import given, note, settings
from oracle import assert_within, every_setting, torch_conv

import fastconv.functional as F
from fastconv import reference
from fastconv.testing import error_bound

X, W, B = (2, 6, 11, 10), (9, 6, 3, 2), (9,)


def draw(rng, *shapes, dtype=np.float64):
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def assert_same_as_torch(torch, arrays, *args, **options):
    """Compare output and all gradients, in float64; the weight tells the number of axes."""
    name = f"conv{arrays[1].ndim - 2}d"
    tensors = [None if array is None else torch.tensor(array, requires_grad=True) for array in arrays]
    expected = getattr(torch.nn.functional, name)(*tensors, *args, **options)
    y = getattr(F, name)(*arrays, *args, **options)
    assert y.shape == tuple(expected.shape)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=1e-12)
    gy = np.random.default_rng(1).standard_normal(y.shape)
    expected.backward(torch.tensor(gy))
    gradients = getattr(F, f"{name}_backward")(gy, *arrays, *args, **options)
    for gradient, tensor in zip(gradients, [*tensors, None][:3], strict=True):
        if tensor is None:
            assert gradient is None
        else:
            assert gradient.shape == tuple(tensor.shape)
            np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2},
        {"stride": (2, 3)},
        {"stride": (2,)},
        {"stride": [3, 1]},
        {"padding": 1},
        {"padding": (2, 0)},
        {"padding": (1,)},
        {"padding": [1, 2]},
        {"padding": "valid", "stride": 2},
        {"padding": "same"},
        {"padding": "same", "dilation": (2, 3)},
        {"dilation": 2},
        {"dilation": (1, 3)},
        {"dilation": (2,)},
        {"dilation": [2, 1]},
        {"groups": 3},
        {"stride": 2, "padding": (1, 2), "dilation": (3, 2), "groups": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_options(torch, options, with_bias, rng):
    x, w, b = draw(rng, X, (9, 6 // options.get("groups", 1), 3, 2), B)
    assert_same_as_torch(torch, [x, w, b if with_bias else None], **options)


def test_arguments_by_position(torch, rng):
    assert_same_as_torch(torch, draw(rng, X, (9, 2, 3, 2), B), 2, (1, 2), (2, 1), 3)


def test_arguments_by_name(torch, rng):
    x, w, b = draw(rng, X, W, B)
    names = {"stride": 2, "padding": 1, "dilation": 1, "groups": 1}
    expected = torch.nn.functional.conv2d(input=torch.tensor(x), weight=torch.tensor(w), bias=torch.tensor(b), **names)
    np.testing.assert_allclose(F.conv2d(input=x, weight=w, bias=b, **names), expected.numpy(), rtol=0, atol=1e-12)


def test_image_without_a_batch_axis(torch, rng):
    assert_same_as_torch(torch, draw(rng, X[1:], W, B), padding=1)


def test_empty_batch(torch, rng):
    assert_same_as_torch(torch, draw(rng, (0, 6, 11, 10), W, B), stride=2)


def test_depthwise(torch, rng):
    assert_same_as_torch(torch, draw(rng, X, (12, 1, 3, 3), (12,)), padding=1, groups=6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2},
        {"stride": (3,)},
        {"stride": [2]},
        {"padding": 2},
        {"padding": (1,)},
        {"padding": "valid", "dilation": 2},
        {"padding": "same"},
        {"padding": "same", "dilation": (2,)},
        {"dilation": 3},
        {"groups": 3},
        {"stride": (2,), "padding": [3], "dilation": 2, "groups": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_options_of_conv1d(torch, options, with_bias, rng):
    x, w, b = draw(rng, (2, 6, 20), (9, 6 // options.get("groups", 1), 4), (9,))
    assert_same_as_torch(torch, [x, w, b if with_bias else None], **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2},
        {"stride": (1, 2, 3)},
        {"stride": (2,)},
        {"padding": 1},
        {"padding": (2, 0, 1)},
        {"padding": [1]},
        {"padding": "valid", "stride": [2, 1, 2]},
        {"padding": "same", "dilation": (2, 1, 3)},
        {"dilation": (1, 3, 2)},
        {"groups": 2},
        {"stride": (2, 1, 2), "padding": (0, 1, 2), "dilation": 2, "groups": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_options_of_conv3d(torch, options, with_bias, rng):
    x, w, b = draw(rng, (2, 4, 7, 8, 6), (6, 4 // options.get("groups", 1), 3, 2, 2), (6,))
    assert_same_as_torch(torch, [x, w, b if with_bias else None], **options)


@pytest.mark.parametrize("axes", [1, 3])
class TestOneAndThreeAxes:
    @pytest.fixture
    def arrays(self, axes, rng):
        return draw(rng, (2, 4, *(7, 6, 8)[:axes]), (6, 2, *(3, 2, 2)[:axes]), (6,))

    def test_arguments_by_position(self, torch, arrays):
        assert_same_as_torch(torch, arrays, 2, (1,), 1, 2)

    def test_arguments_by_name(self, torch, axes, arrays):
        x, w, b = arrays
        options = {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}
        tensors = {"input": torch.tensor(x), "weight": torch.tensor(w), "bias": torch.tensor(b)}
        expected = getattr(torch.nn.functional, f"conv{axes}d")(**tensors, **options)
        y = getattr(F, f"conv{axes}d")(input=x, weight=w, bias=b, **options)
        np.testing.assert_allclose(y, expected.numpy(), rtol=0, atol=1e-12)

    def test_image_without_a_batch_axis(self, torch, arrays):
        x, w, b = arrays
        assert_same_as_torch(torch, [x[0], w, b], padding=1, groups=2)

    def test_empty_batch(self, torch, arrays):
        x, w, b = arrays
        assert_same_as_torch(torch, [x[:0], w, b], groups=2)


@settings(max_examples=100)
@given(case=strategies.conv2d(dtypes=(np.float32,)))
def test_float32_is_as_close_to_torch_as_rounding_allows(torch, case):
    """Both are within the bound of the exact result, so they are within twice the bound of each other."""
    x, w, b = case.arrays()
    absolute = [None if array is None else np.abs(array) for array in (x, w, b)]
    bound = 2 * error_bound(reference.conv2d(*absolute, **case.options), case.terms, np.float32)
    tensors = [None if array is None else torch.tensor(array) for array in (x, w, b)]
    expected = torch_conv(torch, *tensors, **case.options).numpy()
    for setting in every_setting():
        note(setting)
        assert_within(F.conv2d(x, w, b, **case.options), expected, bound, setting)
