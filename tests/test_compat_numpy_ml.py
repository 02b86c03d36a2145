"""numpy-ml's layers and functions against loops, differences, and its bookkeeping of gradients."""

# ruff: noqa: NPY002 - weights come from the global generator, as in numpy-ml

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv.compat.numpy_ml import (
    SGD,
    BatchNorm2D,
    Conv1D,
    Conv2D,
    Deconv2D,
    Flatten,
    FullyConnected,
    LeakyReLU,
    Pool2D,
    ReLU,
    Sigmoid,
    Tanh,
    activations,
    col2im,
    conv1D,
    conv2D,
    im2col,
    pad1D,
    pad2D,
)

DTYPES = st.sampled_from([np.float32, np.float64])
LAYOUTS = st.sampled_from(["C", "F", "every second", "reversed"])


def laid_out(array, layout):
    """Return the same values in other places of memory."""
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "every second":
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    return array[::-1].copy()[::-1] if layout == "reversed" else array


def close(actual, expected, dtype):
    assert actual.shape == np.shape(expected)
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, rtol=0, atol=200 * np.finfo(dtype).eps * (1 + np.abs(expected).max()))


def loop_pads(pad, sizes, kernel, stride, dilation):
    """Return (before, after) for each axis, as the text of numpy-ml says it."""
    if pad in ("same", "causal"):
        pairs = []
        for size, k in zip(sizes, kernel, strict=True):
            reach = k + (k - 1) * dilation
            total = 0
            while (size + total - reach) // stride + 1 < size or size + total < reach:
                total += 1
            pairs.append((total, 0) if pad == "causal" else (total // 2, total - total // 2))
        return pairs
    if isinstance(pad, int):
        return [(pad, pad)] * len(sizes)
    return [pad[:2], pad[2:]] if len(pad) == 4 else [pad] if len(sizes) == 1 else [(pad[0],) * 2, (pad[1],) * 2]


def loop_conv(x, w, stride, pad, dilation):
    """Cross-correlation over one or two axes, output by output."""
    axes = x.ndim - 2
    padded = np.pad(x, [(0, 0), *loop_pads(pad, x.shape[1:-1], w.shape[:axes], stride, dilation), (0, 0)])
    outs = [(padded.shape[1 + a] - (w.shape[a] - 1) * (dilation + 1) - 1) // stride + 1 for a in range(axes)]
    y = np.zeros((len(x), *outs, w.shape[-1]))
    for place in itertools.product(*map(range, outs)):
        for tap in itertools.product(*map(range, w.shape[:axes])):
            pixel = tuple(o * stride + t * (dilation + 1) for o, t in zip(place, tap, strict=True))
            y[(slice(None), *place)] += padded[(slice(None), *pixel)] @ w[tap]
    return y


def loop_deconv(x, w, stride, pad):
    """Each pixel stamps the kernel; numpy-ml then cuts half of the padding off, the odd row first."""
    n, rows, cols, _ = x.shape
    fr, fc, _, co = w.shape
    full = np.zeros((n, stride * (rows - 1) + fr, stride * (cols - 1) + fc, co))
    for i, j, u, v in itertools.product(range(rows), range(cols), range(fr), range(fc)):
        full[:, i * stride + u, j * stride + v] += x[:, i, j] @ w[u, v]
    if pad == "same":
        totals = fr - 1, fc - 1
    else:
        totals = [sum(pair) for pair in loop_pads(pad, (rows, cols), (fr, fc), stride, 0)]
    (top, bottom), (left, right) = ((total - total // 2, total // 2) for total in totals)
    return full[:, top : full.shape[1] - bottom, left : full.shape[2] - right]


def loop_pool(x, kernel, stride, pad, mode):
    padded = np.pad(x, [(0, 0), *loop_pads(pad, x.shape[1:3], kernel, stride, 0), (0, 0)])
    outs = [(padded.shape[1 + a] - kernel[a]) // stride + 1 for a in range(2)]
    y = np.empty((len(x), *outs, x.shape[3]))
    for i, j in itertools.product(*map(range, outs)):
        window = padded[:, i * stride : i * stride + kernel[0], j * stride : j * stride + kernel[1]]
        y[:, i, j] = window.max(axis=(1, 2)) if mode == "max" else window.mean(axis=(1, 2))
    return y


PADS_1D = st.one_of(
    st.integers(0, 3), st.tuples(st.integers(0, 2), st.integers(0, 2)), st.sampled_from(["same", "causal"])
)
PADS_2D = st.one_of(
    st.integers(0, 3),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.tuples(*[st.integers(0, 2)] * 4),
    st.just("same"),
)


@st.composite
def convolutions(draw, axes, dilations=2):
    """Return input shape, weight shape, stride, pad and dilation."""
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(0, dilations))
    pad = draw(PADS_1D if axes == 1 else PADS_2D)
    sizes = tuple(draw(st.integers(k + (k - 1) * dilation, 9)) for k in kernel)
    ci, co = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    return (draw(st.integers(1, 3)), *sizes, ci), (*kernel, ci, co), stride, pad, dilation


@st.composite
def poolings(draw):
    kernel, stride, pad = (draw(st.integers(1, 3)), draw(st.integers(1, 3))), draw(st.integers(1, 3)), draw(PADS_2D)
    sizes = tuple(draw(st.integers(k, 7)) for k in kernel)
    return (draw(st.integers(1, 3)), *sizes, draw(st.integers(1, 4))), kernel, stride, pad


def numerical_gradient(f, x, step=1e-5):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        before = x[index]
        values = []
        for h in (step, -step):
            x[index] = before + h
            values.append(f())
        x[index] = before
        gradient[index] = (values[0] - values[1]) / (2 * step)
    return gradient


def check_layer(layer, x, rng):
    """Compare the gradients of input and parameters with differences, in float64."""
    gy = rng.standard_normal(layer.forward(x).shape)
    dX = layer.backward(gy)
    found = {name: value.copy() for name, value in layer.gradients.items()}
    layer.flush_gradients()

    def loss():
        y = layer.forward(x)
        layer.flush_gradients()
        return float((y * gy).sum())

    np.testing.assert_allclose(dX, numerical_gradient(loss, x), rtol=1e-6, atol=1e-7)
    for name, gradient in found.items():
        numeric = numerical_gradient(loss, layer.parameters[name])
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-7, err_msg=name)


class TestFunctions:
    @given(st.sampled_from([1, 2]).flatmap(convolutions), DTYPES, DTYPES, LAYOUTS, st.integers(0, 99))
    def test_convolutions_are_loops(self, case, x_dtype, w_dtype, layout, seed):
        x_shape, w_shape, stride, pad, dilation = case
        rng = np.random.default_rng(seed)
        x, w = rng.standard_normal(x_shape).astype(x_dtype), rng.standard_normal(w_shape).astype(w_dtype)
        convolve = conv1D if x.ndim == 3 else conv2D
        y = convolve(laid_out(x, layout), laid_out(w, layout), stride, pad, dilation)
        close(y, loop_conv(x.astype(float), w.astype(float), stride, pad, dilation), np.result_type(x_dtype, w_dtype))

    @given(convolutions(2), DTYPES, LAYOUTS, st.integers(0, 99))
    def test_im2col_is_the_loop_and_col2im_its_transpose(self, case, dtype, layout, seed):
        x_shape, w_shape, stride, pad, dilation = case
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(x_shape).astype(dtype)
        pads = loop_pads(pad, x_shape[1:3], w_shape[:2], stride, dilation)
        padded = np.pad(x, [(0, 0), *pads, (0, 0)])
        d = dilation + 1
        rows, cols = ((padded.shape[1 + a] - (w_shape[a] - 1) * d - 1) // stride + 1 for a in range(2))
        outputs = [(i * stride, j * stride, n) for i in range(rows) for j in range(cols) for n in range(len(x))]
        taps = itertools.product(range(x_shape[3]), range(w_shape[0]), range(w_shape[1]))
        expected = [[padded[n, i + u * d, j + v * d, c] for i, j, n in outputs] for c, u, v in taps]
        X_col, p = im2col(laid_out(x, layout), w_shape, pad, stride, dilation)
        assert p == (*pads[0], *pads[1])
        assert X_col.dtype == dtype
        np.testing.assert_array_equal(X_col, expected)
        col = rng.standard_normal(X_col.shape).astype(dtype)
        image = col2im(laid_out(col, layout), x_shape, w_shape, p, stride, dilation)
        assert image.shape == (len(x), x_shape[3], *x_shape[1:3])
        product = np.vdot(image.transpose(0, 2, 3, 1), x)
        assert product == pytest.approx(np.vdot(col, X_col), rel=1e-4, abs=1e-3)

    @given(st.sampled_from([1, 2]).flatmap(convolutions))
    def test_padding_is_the_loop(self, case):
        x_shape, w_shape, stride, pad, dilation = case
        x = np.ones(x_shape)
        pads = loop_pads(pad, x_shape[1:-1], w_shape[:-2], stride, dilation)
        if x.ndim == 3:
            padded, p = pad1D(x, pad, w_shape[0], stride, dilation)
        else:
            padded, p = pad2D(x, pad, w_shape[:2], stride, dilation)
        assert p == tuple(itertools.chain(*pads))
        np.testing.assert_array_equal(padded, np.pad(x, [(0, 0), *pads, (0, 0)]))

    def test_errors(self):
        x = np.ones((1, 5, 5, 2))
        with pytest.raises(
            ValueError, match=r"conv2D: X must have axes \(n_ex, in_rows, in_cols, in_ch\), got shape \(5"
        ):
            conv2D(x[0], np.ones((2, 2, 2, 1)), 1, 0)
        with pytest.raises(ValueError, match=r"conv1D: W must have axes \(kernel_width, in_ch, out_ch\), got shape"):
            conv1D(x[0], np.ones((2, 2, 2, 1)), 1, 0)
        with pytest.raises(ValueError, match=r"conv2D: pad must be an integer, \(rows, columns\), .*, got \(1, 2, 3\)"):
            conv2D(x, np.ones((2, 2, 2, 1)), 1, (1, 2, 3))
        with pytest.raises(ValueError, match=r"conv2D: pad must be .*'same', got 'causal'"):
            conv2D(x, np.ones((2, 2, 2, 1)), 1, "causal")
        with pytest.raises(ValueError, match=r"conv1D: pad must be .*'same' or 'causal', got 'valid'"):
            conv1D(x[0], np.ones((2, 2, 1)), 1, "valid")
        with pytest.raises(TypeError, match=r"conv2D: pad must be an integer, got 1\.5"):
            conv2D(x, np.ones((2, 2, 2, 1)), 1, 1.5)
        with pytest.raises(ValueError, match="conv2D: dilation must be at least 0, got -1"):
            conv2D(x, np.ones((2, 2, 2, 1)), 1, 0, -1)
        with pytest.raises(
            ValueError, match="pad2D: kernel and stride must be given where pad is 'same', got None and 1"
        ):
            pad2D(x, "same", None, 1)
        with pytest.raises(ValueError, match=r"im2col: W_shape must have the 2 channels of X, got \(2, 2, 3, 1\)"):
            im2col(x, (2, 2, 3, 1), 0, 1)
        with pytest.raises(ValueError, match=r"im2col: W_shape must be \(kernel_rows, kernel_cols, in_ch, out_ch\)"):
            im2col(x, (2, 2), 0, 1)
        with pytest.raises(ValueError, match=r"col2im: X_col must have shape \(8, 16\) for images of shape"):
            col2im(np.ones((8, 15)), x.shape, (2, 2, 2, 1), 0, 1)
        with pytest.raises(
            ValueError, match=r"col2im: X_shape must be \(n_ex, in_rows, in_cols, in_ch\), got \(5, 5\)"
        ):
            col2im(np.ones((8, 16)), (5, 5), (2, 2, 2, 1), 0, 1)


class Squared:
    """An activation of one's own."""

    def __repr__(self):
        return "Squared()"  # also a part of tests' names, which have to be the same in every process

    def fn(self, z):
        return z**2

    def grad(self, z):
        return 2 * z


ACTIVATIONS = {
    None: lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "affine(slope=2, intercept=-1)": lambda z: 2 * z - 1,
    "leaky relu(alpha=0.2)": lambda z: np.where(z > 0, z, 0.2 * z),
    Squared(): lambda z: z**2,
}


class TestActivations:
    @pytest.mark.parametrize("act_fn", ACTIVATIONS, ids=str)
    def test_values_and_derivatives(self, act_fn, dtype, rng):
        z = rng.standard_normal((4, 5))
        function = activations.get("layer", act_fn)
        close(function.fn(z.astype(dtype)), ACTIVATIONS[act_fn](z.astype(dtype).astype(float)), dtype)
        ahead, behind = (ACTIVATIONS[act_fn](z + h) for h in (1e-6, -1e-6))
        np.testing.assert_allclose(function.grad(z), (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-8)

    @pytest.mark.parametrize(
        "name", ["ReLU", "Sigmoid", "Tanh", "Affine(slope=1, intercept=0)", "Leaky ReLU(alpha=0.3)"]
    )
    def test_text_is_a_name_again(self, name):
        function = activations.get("layer", name)
        assert activations.get("layer", str(function)).fn(-2.0) == function.fn(-2.0) == function(-2.0)
        assert str(function).split("(")[0] == name.split("(")[0]

    def test_slopes_at_zero_are_those_of_numpy_ml(self):
        assert [function.grad(np.zeros(1))[0] for function in (ReLU(), LeakyReLU(0.3), Sigmoid(), Tanh())] == [
            0,
            1,
            0.25,
            1,
        ]

    def test_errors(self):
        with pytest.raises(ValueError, match=r"Conv2D: act_fn must be 'relu', .*, got 'softmax'"):
            Conv2D(2, (3, 3), act_fn="softmax")
        for wrong in (3, ReLU):
            with pytest.raises(
                TypeError, match="Conv2D: act_fn must be None, a name or an object with fn and grad, got"
            ):
                Conv2D(2, (3, 3), act_fn=wrong)


class TestConvolutions:
    @given(
        st.sampled_from([1, 2]).flatmap(convolutions), DTYPES, DTYPES, LAYOUTS, st.sampled_from([None, "relu", "tanh"]),
        st.integers(0, 99),
    )  # fmt: skip
    def test_forward_is_the_loop(self, case, x_dtype, w_dtype, layout, act_fn, seed):
        x_shape, w_shape, stride, pad, dilation = case
        rng = np.random.default_rng(seed)
        x, w, b = rng.standard_normal(x_shape), rng.standard_normal(w_shape), rng.standard_normal(w_shape[-1])
        x, w, b = x.astype(x_dtype), w.astype(w_dtype), b.astype(w_dtype)
        window = {"pad": pad, "stride": stride, "dilation": dilation, "act_fn": act_fn}
        if len(x_shape) == 3:
            layer = Conv1D(w_shape[-1], w_shape[0], **window)
        else:
            layer = Conv2D(w_shape[-1], w_shape[:2], **window)
        layer.set_params({"W": laid_out(w, layout), "b": b.reshape((1,) * (len(x_shape) - 1) + (-1,))})
        z = loop_conv(x.astype(float), w.astype(float), stride, pad, dilation) + b
        dtype = np.result_type(x_dtype, w_dtype)
        close(layer.forward(laid_out(x, layout)), ACTIVATIONS[act_fn](z), dtype)
        close(layer.derived_variables["Z"][0], z, dtype)

    @given(convolutions(2, dilations=0), DTYPES, LAYOUTS, st.integers(0, 99))
    def test_transposed_forward_is_the_loop(self, case, dtype, layout, seed):
        x_shape, w_shape, stride, pad, _ = case
        rng = np.random.default_rng(seed)
        x, w = rng.standard_normal(x_shape).astype(dtype), rng.standard_normal(w_shape).astype(dtype)
        expected = loop_deconv(x.astype(float), w.astype(float), stride, pad)
        layer = Deconv2D(w_shape[3], w_shape[:2], pad=pad, stride=stride)
        layer.set_params({"W": laid_out(w, layout), "b": np.zeros((1, 1, 1, w_shape[3]), dtype)})
        if expected.size:
            close(layer.forward(laid_out(x, layout)), expected, dtype)
        else:
            with pytest.raises(ValueError, match="conv_transpose2d: output"):
                layer.forward(x)

    @pytest.mark.parametrize("act_fn", [None, "sigmoid", Squared()], ids=str)
    @pytest.mark.parametrize(
        ("layer", "arguments", "shape"),
        [
            (Conv1D, {"kernel_width": 3, "pad": "causal", "dilation": 1}, (2, 7, 3)),
            (Conv1D, {"kernel_width": 2, "pad": (1, 2), "stride": 2}, (2, 7, 3)),
            (Conv2D, {"kernel_shape": (3, 2), "pad": "same", "stride": 2}, (2, 4, 5, 2)),
            (Conv2D, {"kernel_shape": (2, 2), "pad": (1, 0, 2, 1), "dilation": 1}, (2, 4, 5, 2)),
            (Deconv2D, {"kernel_shape": (3, 2), "pad": (0, 1), "stride": 2}, (2, 3, 4, 2)),
            (Deconv2D, {"kernel_shape": (2, 3), "pad": "same"}, (2, 3, 4, 2)),
        ],
    )
    def test_gradients_are_differences(self, layer, arguments, shape, act_fn, rng):
        np.random.seed(0)
        check_layer(layer(3, act_fn=act_fn, **arguments), rng.standard_normal(shape), rng)

    @pytest.mark.parametrize(
        ("layer", "shape", "w_shape", "b_shape"),
        [
            (Conv1D(5, 4), (2, 9, 3), (4, 3, 5), (1, 1, 5)),
            (Conv2D(5, (3, 2)), (2, 6, 6, 3), (3, 2, 3, 5), (1, 1, 1, 5)),
            (Deconv2D(5, (3, 2)), (2, 6, 6, 3), (3, 2, 3, 5), (1, 1, 1, 5)),
        ],
        ids=["Conv1D", "Conv2D", "Deconv2D"],
    )
    def test_parameters_are_made_at_the_first_call(self, layer, shape, w_shape, b_shape):
        assert layer.parameters == {"W": None, "b": None}
        assert not layer.is_initialized
        assert layer.in_ch is None
        layer.forward(np.ones(shape))
        assert layer.is_initialized
        assert layer.in_ch == 3
        for arrays in (layer.parameters, layer.gradients):
            assert (arrays["W"].shape, arrays["b"].shape) == (w_shape, b_shape)
        assert not layer.gradients["W"].any()
        assert not layer.parameters["b"].any()

    @pytest.mark.parametrize(("act_fn", "gain"), [(None, 1), ("relu", np.sqrt(2)), ("tanh", 5 / 3), ("sigmoid", 1)])
    def test_initial_weights_are_those_of_the_global_generator(self, act_fn, gain):
        shape, fan_in, fan_out = (3, 3, 4, 8), 36, 72
        for init, limit in (
            ("glorot_uniform", gain * np.sqrt(6 / (fan_in + fan_out))),
            ("he_uniform", np.sqrt(6 / fan_in)),
        ):
            np.random.seed(3)
            layer = Conv2D(8, (3, 3), act_fn=act_fn, init=init)
            layer.forward(np.ones((1, 5, 5, 4)))
            np.random.seed(3)
            np.testing.assert_allclose(layer.parameters["W"], np.random.uniform(-1, 1, shape) * limit, rtol=1e-12)

    @pytest.mark.parametrize(("init", "deviation"), [("std_normal", 1), ("glorot_normal", 0.118), ("he_normal", 0.207)])
    def test_normal_initial_weights_have_their_deviation(self, init, deviation):
        np.random.seed(3)
        layer = Conv2D(64, (3, 3), init=init)
        layer.forward(np.ones((1, 5, 5, 8)))
        # Numbers within two deviations have 0.8796 of the deviation.
        factor = {"std_normal": 1, "glorot_normal": np.sqrt(2 / 648) * 0.8796, "he_normal": np.sqrt(2 / 72) * 0.8796}[
            init
        ]
        assert layer.parameters["W"].std() == pytest.approx(factor, rel=0.03)

    @pytest.mark.parametrize("change", ["in place", "rebound"])
    def test_changed_parameters_take_effect(self, change, rng):
        layer, x = Conv2D(2, (3, 3)), rng.standard_normal((1, 5, 5, 1))
        before = layer.forward(x)
        if change == "in place":
            layer.parameters["W"] *= 2
        else:
            layer.parameters["W"] = 2 * layer.parameters["W"]
        np.testing.assert_allclose(layer.forward(x), 2 * before, rtol=1e-12)

    def test_errors(self):
        layer = Conv2D(2, (3, 3))
        with pytest.raises(
            RuntimeError, match="Conv2D: backward needs a forward pass with retain_derived=True before it"
        ):
            layer.backward(np.ones((1, 1, 1, 2)))
        with pytest.raises(ValueError, match=r"Conv2D: X must have axes \(n_ex, in_rows, in_cols, in_ch\), got shape"):
            layer.forward(np.ones((5, 5, 1)))
        layer.forward(np.ones((1, 5, 5, 1)))
        with pytest.raises(ValueError, match=r"Conv2D: dLdy must have shape \(1, 3, 3, 2\), that of the output, got"):
            layer.backward(np.ones((1, 1, 1, 1)))
        with pytest.raises(ValueError, match=r"parameters\['W'\] must have shape \(3, 3, 2, 2\) for X of shape"):
            layer.forward(np.ones((1, 5, 5, 2)))
        with pytest.raises(ValueError, match="Conv2D: pad must be"):
            Conv2D(2, (3, 3), pad="causal")
        with pytest.raises(ValueError, match="Conv2D: stride must be at least 1, got 0"):
            Conv2D(2, (3, 3), stride=0)
        with pytest.raises(ValueError, match="Conv2D: kernel_shape must be an integer or a pair of integers"):
            Conv2D(2, (3, 3, 3))
        with pytest.raises(ValueError, match=r"Conv2D: init must be one of 'glorot_uniform', .*, got 'zeros'"):
            Conv2D(2, (3, 3), init="zeros")
        with pytest.raises(TypeError, match=r"Conv2D: optimizer must be None or be callable as .*, got 'adam'"):
            Conv2D(2, (3, 3), optimizer="adam")


class TestPool2D:
    @given(poolings(), st.sampled_from(["max", "average"]), DTYPES, LAYOUTS, st.integers(0, 99))
    def test_forward_is_the_loop(self, case, mode, dtype, layout, seed):
        shape, kernel, stride, pad = case
        x = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
        y = Pool2D(kernel, stride=stride, pad=pad, mode=mode).forward(laid_out(x, layout))
        close(y, loop_pool(x.astype(float), kernel, stride, pad, mode), dtype)

    @pytest.mark.parametrize("mode", ["max", "average"])
    @pytest.mark.parametrize(("stride", "pad"), [(1, 0), (2, 1), (2, "same"), (3, (1, 0, 2, 1))])
    def test_gradient_is_differences(self, mode, stride, pad, rng):
        x = rng.permutation(2 * 5 * 4 * 2).reshape(2, 5, 4, 2) - 30.5  # no two alike, none like the padding
        check_layer(Pool2D((2, 3), stride=stride, pad=pad, mode=mode), x, rng)

    def test_first_maximum_has_the_gradient(self):
        layer = Pool2D((2, 2), stride=2)
        layer.forward(np.zeros((1, 2, 2, 1)))
        assert layer.backward(np.ones((1, 1, 1, 1))).ravel().tolist() == [1, 0, 0, 0]

    def test_errors(self):
        with pytest.raises(ValueError, match="Pool2D: mode must be 'max' or 'average', got 'min'"):
            Pool2D((2, 2), mode="min")
        with pytest.raises(ValueError, match="max_pool2d: output"):
            Pool2D((5, 5)).forward(np.ones((1, 4, 4, 1)))


class TestDense:
    @given(st.integers(1, 9), st.integers(1, 9), DTYPES, LAYOUTS, st.integers(0, 99))
    def test_forward_is_the_loop(self, samples, outputs, dtype, layout, seed):
        rng = np.random.default_rng(seed)
        x, w, b = (rng.standard_normal(s).astype(dtype) for s in ((samples, 5), (5, outputs), (1, outputs)))
        layer = FullyConnected(outputs, act_fn="tanh")
        layer.set_params({"W": laid_out(w, layout), "b": b})
        expected = [[np.tanh(sum(row * w[:, o].astype(float)) + b[0, o]) for o in range(outputs)] for row in x]
        close(layer.forward(laid_out(x, layout)), expected, dtype)

    def test_gradients_are_differences(self, rng):
        np.random.seed(0)
        check_layer(FullyConnected(3, act_fn="sigmoid"), rng.standard_normal((4, 5)), rng)

    @pytest.mark.parametrize(("keep_dim", "shape"), [("first", (2, 60)), ("last", (24, 5)), (-1, (1, 120))])
    def test_flatten(self, keep_dim, shape, rng):
        layer, x = Flatten(keep_dim), rng.standard_normal((2, 3, 4, 5))
        y = layer.forward(x)
        np.testing.assert_array_equal(y, x.reshape(shape))
        np.testing.assert_array_equal(layer.backward(y), x)
        assert layer.forward(x[:0]).size == 0

    def test_errors(self):
        layer = FullyConnected(3)
        layer.forward(np.ones((2, 4)))
        with pytest.raises(
            ValueError, match=r"FullyConnected: parameters\['W'\] must have shape \(5, 3\) for X of shape"
        ):
            layer.forward(np.ones((2, 5)))
        with pytest.raises(ValueError, match=r"FullyConnected: X must have axes \(n_ex, n_in\), got shape \(2, 2, 2\)"):
            layer.forward(np.ones((2, 2, 2)))
        with pytest.raises(ValueError, match="Flatten: keep_dim must be 'first', 'last' or -1, got 'middle'"):
            Flatten("middle")


class TestBatchNorm2D:
    @given(DTYPES, LAYOUTS, st.booleans(), st.integers(0, 99))
    def test_forward_is_the_loop(self, dtype, layout, training, seed):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((3, 4, 2, 3)).astype(dtype)
        scaler, intercept, mean = (rng.standard_normal(3).astype(dtype) for _ in range(3))
        variance = rng.uniform(0.5, 2, 3)
        layer = BatchNorm2D(momentum=0.8, epsilon=1e-3)
        layer.set_params({"scaler": scaler, "intercept": intercept, "running_mean": mean, "running_var": variance})
        y = layer.forward(laid_out(x, layout), retain_derived=training)
        expected = np.empty(x.shape)
        for c in range(3):
            values = x[..., c].astype(float)
            m, v = (values.mean(), ((values - values.mean()) ** 2).mean()) if training else (mean[c], variance[c])
            expected[..., c] = scaler[c] * (values - m) / np.sqrt(v + 1e-3) + intercept[c]
            if training:
                assert layer.parameters["running_mean"][c] == pytest.approx(0.8 * mean[c] + 0.2 * m, abs=1e-6)
                assert layer.parameters["running_var"][c] == pytest.approx(0.8 * variance[c] + 0.2 * v, abs=1e-6)
        close(y, expected, dtype)

    def test_gradients_are_differences(self, rng):
        np.random.seed(0)
        layer = BatchNorm2D()
        layer.forward(np.ones((1, 1, 1, 3)), retain_derived=False)
        assert set(layer.gradients) == {"scaler", "intercept"}
        check_layer(layer, rng.standard_normal((2, 3, 2, 3)), rng)

    def test_a_single_value_has_no_deviation(self):
        layer = BatchNorm2D()
        y = layer.forward(np.full((1, 1, 1, 2), 5.0))
        assert not y.any()
        np.testing.assert_allclose(layer.backward(np.ones_like(y)), 0, atol=1e-12)

    def test_frozen_and_reset(self, rng):
        layer, x = BatchNorm2D(), rng.standard_normal((2, 3, 3, 2))
        layer.forward(x)
        layer.freeze()
        before = layer.parameters["running_mean"]
        layer.forward(x)
        assert layer.parameters["running_mean"] is before
        with pytest.raises(RuntimeError, match="BatchNorm2D: reset_running_stats needs a layer that is not frozen"):
            layer.reset_running_stats()
        layer.unfreeze()
        layer.reset_running_stats()
        assert not layer.parameters["running_mean"].any()
        assert (layer.parameters["running_var"] == 1).all()


class TestBookkeeping:
    def test_gradients_accumulate_until_they_are_flushed(self, rng):
        layer = Conv2D(2, (2, 2))
        first, second = rng.standard_normal((2, 1, 4, 4, 3))
        y = layer.forward(first)
        dX = layer.backward(y)
        once = layer.gradients["W"].copy()
        np.testing.assert_array_equal(layer.backward(y), dX)
        np.testing.assert_allclose(layer.gradients["W"], 2 * once, rtol=1e-12)
        layer.flush_gradients()
        assert layer.X == []
        assert layer.derived_variables == {"Z": [], "out_rows": [], "out_cols": []}
        assert not layer.gradients["W"].any()
        # Two forward passes and a list of two gradients.
        both = [layer.forward(first), layer.forward(second)]
        assert layer.derived_variables["out_rows"] == [3, 3]
        np.testing.assert_array_equal(layer.backward(both)[0], dX)
        with pytest.raises(
            ValueError, match=r"dLdy must be a list of 2 gradients, one for each forward pass .*, got 1"
        ):
            layer.backward(y)

    def test_gradients_need_not_be_kept(self, rng):
        layer = FullyConnected(2)
        layer.backward(layer.forward(rng.standard_normal((3, 4))), retain_grads=False)
        assert not layer.gradients["W"].any()

    def test_nothing_is_kept_of_a_pass_that_is_not_retained(self, rng):
        layer = Conv2D(2, (2, 2))
        layer.forward(rng.standard_normal((1, 4, 4, 3)), retain_derived=False)
        assert layer.X == []
        assert not layer.derived_variables

    def test_update_is_gradient_descent_with_momentum(self, rng):
        layer, x = Conv2D(2, (2, 2), optimizer=SGD(lr=0.1, momentum=0.5)), rng.standard_normal((1, 4, 4, 3))
        velocity = 0
        for step in (1, 2, 3):
            layer.backward(layer.forward(x))
            velocity = 0.5 * velocity + 0.1 * layer.gradients["W"]
            expected = layer.parameters["W"] - velocity
            layer.update()
            np.testing.assert_allclose(layer.parameters["W"], expected, rtol=1e-12)
            assert layer.optimizer.cur_step == step
            assert not layer.gradients["W"].any()

    def test_default_rate_is_a_hundredth(self):
        layer = FullyConnected(1)
        layer.backward(layer.forward(np.ones((1, 1))))
        expected = layer.parameters["W"] - 0.01 * layer.gradients["W"]
        layer.update()
        np.testing.assert_array_equal(layer.parameters["W"], expected)

    def test_optimizer_may_be_any_callable(self):
        seen = []

        def optimizer(param, grad, name, cur_loss):
            seen.append((name, cur_loss))
            return param + 1

        layer = FullyConnected(1, optimizer=optimizer)
        layer.forward(np.ones((1, 1)))
        before = layer.parameters["b"]
        layer.update(cur_loss=2.5)
        assert seen == [("W", 2.5), ("b", 2.5)]
        np.testing.assert_array_equal(layer.parameters["b"], before + 1)

    def test_frozen_layers_run_but_do_not_learn(self, rng):
        layer = FullyConnected(2)
        layer.freeze()
        y = layer.forward(rng.standard_normal((3, 4)))
        for call in (lambda: layer.backward(y), layer.update, layer.flush_gradients):
            with pytest.raises(
                RuntimeError, match=r"FullyConnected: .* needs a layer that is not frozen; call unfreeze"
            ):
                call()
        layer.unfreeze()
        assert layer.backward(y).shape == (3, 4)

    def test_set_params_takes_what_summary_returns(self, rng):
        x = rng.standard_normal((2, 6, 6, 3))
        layer = Conv2D(4, (3, 2), pad="same", stride=2, dilation=1, act_fn="leaky relu(alpha=0.1)", init="he_normal")
        y = layer.forward(x)
        summary = layer.summary()
        assert summary["layer"] == "Conv2D"
        assert summary["hyperparameters"] == {
            "layer": "Conv2D",
            "pad": "same",
            "init": "he_normal",
            "in_ch": 3,
            "out_ch": 4,
            "stride": 2,
            "dilation": 1,
            "act_fn": "Leaky ReLU(alpha=0.1)",
            "kernel_shape": (3, 2),
            "optimizer": {"cache": {}, "hyperparameters": {"id": "SGD", "lr": 0.01, "momentum": 0.0}},
        }
        twin = Conv2D(1, (1, 1))
        assert twin.set_params(summary) is twin
        np.testing.assert_array_equal(twin.forward(x), y)
        assert Pool2D((2, 2)).set_params(Pool2D((3, 3), mode="average").summary()).mode == "average"

    def test_set_params_refuses_what_is_not_there(self):
        layer = Conv2D(4, (3, 3))
        with pytest.raises(ValueError, match=r"Conv2D: summary_dict must have no names but W, b, pad, .*, got 'gamma'"):
            layer.set_params({"stride": 2, "gamma": np.ones(3)})
        assert layer.stride == 1
        with pytest.raises(ValueError, match="Conv2D: summary_dict must be of a Conv2D, got one of a Pool2D"):
            layer.set_params(Pool2D((2, 2)).summary())


def test_network_of_these_layers_learns(rng):
    """Bars of two directions, told apart by a convolution, a pooling and a dense layer."""
    np.random.seed(0)
    labels = rng.integers(0, 2, 64)
    images = 0.1 * rng.standard_normal((64, 8, 8, 1))
    for image, label, place in zip(images, labels, rng.integers(1, 7, 64), strict=True):
        (image if label else image.swapaxes(0, 1))[place] += 1
    optimizers = [SGD(lr=0.2, momentum=0.9) for _ in range(2)]
    layers = [
        Conv2D(4, (3, 3), pad="same", act_fn="relu", optimizer=optimizers[0]),
        Pool2D((8, 8), stride=8),
        Flatten(),
        FullyConnected(1, act_fn="sigmoid", optimizer=optimizers[1]),
    ]
    for _ in range(60):
        x = images
        for layer in layers:
            x = layer.forward(x)
        gradient = (x - labels[:, None]) / len(x) / np.maximum(x * (1 - x), 1e-6)
        for layer in reversed(layers):
            gradient = layer.backward(gradient)
        for layer in layers:
            layer.update()
    assert ((x[:, 0] > 0.5) == labels).mean() > 0.95
