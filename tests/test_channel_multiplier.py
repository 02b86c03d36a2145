"""Depthwise convolution with several filters for each channel, channels last, where vectors run along filters."""

import numpy as np
import pytest
from oracle import assert_same_bits, small_integers

import fastconv as fc
import fastconv.functional as F
from fastconv import reference

# Channels and filters of each: one vector and less, filters that divide a vector and that do not, several units.
CHANNELS = [(2, 9), (8, 2), (17, 2), (3, 8), (11, 3), (70, 2), (5, 12)]
# Kernel, stride, padding, dilation.
KERNELS = [(3, 1, 1, 1), (3, 2, 1, 1), ((5, 3), (2, 3), (2, 0), 1), (7, 1, 3, 1), (3, 1, 2, 2), (1, 2, 0, 1)]


def case(channels, filters, kernel, stride, padding, dilation, shape=(2, 8, 11)):
    """Return arrays, channels last, and options."""
    rng = np.random.default_rng(channels * filters)
    height, width = np.broadcast_to(kernel, 2).tolist()
    x = small_integers(rng, (*shape, channels))
    w = small_integers(rng, (height, width, 1, channels * filters))
    given = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": channels,
        "data_format": "channels_last",
    }
    return x, w, small_integers(rng, channels * filters), given


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize(("channels", "filters"), CHANNELS)
def test_results_are_exact_on_small_integers(channels, filters, kernel, isa, threads, dtype):
    x, w, b, given = case(channels, filters, *kernel)
    y = reference.conv2d(x, w, b, **given)
    gy = small_integers(np.random.default_rng(1), y.shape)
    expected = y, *reference.conv2d_backward(gy, x, w, b, **given)
    x, w, b, gy = (array.astype(dtype) for array in (x, w, b, gy))
    found = F.conv2d(x, w, b, **given), *F.conv2d_backward(gy, x, w, b, **given)
    for ours, known in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, known)
    assert_same_bits(F.prepare_conv2d(w, b, **given)(x), found[0])


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize(("channels", "filters"), [(17, 2), (70, 3)])
def test_activations_follow_the_sums(channels, filters, activation, isa, dtype):
    x, w, b, given = (a.astype(dtype) if isinstance(a, np.ndarray) else a for a in case(channels, filters, 3, 1, 1, 1))
    function = {"relu": F.relu, "sigmoid": F.sigmoid, "tanh": F.tanh}[activation]
    found = F.conv2d(x / 4, w / 4, b / 4, **given, activation=activation)
    np.testing.assert_allclose(found, function(F.conv2d(x / 4, w / 4, b / 4, **given)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("channels", "filters"), [(9, 2), (70, 2), (3, 7)])
def test_transposed_convolution_adds_the_filters_and_one_bias(channels, filters, isa, threads, dtype):
    x, w, _, given = case(channels * filters, 1, 3, 2, 1, 1)
    w = w.reshape(3, 3, 1, channels * filters)
    b = np.arange(1.0, channels + 1)
    given = {key: value for key, value in given.items() if key != "groups"} | {"groups": channels}
    expected = reference.conv_transpose2d(x, w, b, **given)
    found = F.conv_transpose2d(x.astype(dtype), w.astype(dtype), b.astype(dtype), **given)
    np.testing.assert_array_equal(found, expected)


def test_bits_do_not_depend_on_threads_or_batch(isa, dtype, rng):
    x, w = rng.standard_normal((3, 40, 30, 24)).astype(dtype), rng.standard_normal((3, 3, 1, 72)).astype(dtype)
    given = {"padding": 1, "groups": 24, "data_format": "channels_last"}
    before, results = fc.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            fc.set_num_threads(count)
            y = F.conv2d(x, w, **given)
            results.append((y, *F.conv2d_backward(y, x, w, **given)[:2]))
    finally:
        fc.set_num_threads(before)
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            assert_same_bits(first, second)
    assert_same_bits(np.concatenate([F.conv2d(image[None], w, **given) for image in x]), results[0][0])


def test_a_layer_of_keras_form_computes_what_one_filter_after_the_other_does(rng):
    def built(filters):
        layer = fc.layers.DepthwiseConv2D(3, depth_multiplier=filters, padding="same", use_bias=False)
        model = fc.Sequential([fc.layers.InputLayer((9, 10, 16)), layer])
        model.compile()
        return model

    x = rng.standard_normal((2, 9, 10, 16)).astype(np.float32)
    several, single = built(2), built(1)
    (kernel,) = several.get_weights()
    y = several.predict(x, verbose=0)
    for j in range(2):
        single.set_weights([kernel[..., j : j + 1]])
        np.testing.assert_allclose(y[..., j::2], single.predict(x, verbose=0), rtol=1e-5, atol=1e-5)
