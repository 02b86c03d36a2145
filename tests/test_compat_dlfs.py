"""The book's layers against loops, differences, and scripts as the book has them."""

# ruff: noqa: NPY002 - masks come from the global generator, as in the book

import itertools
import runpy
import sys
import textwrap
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv as fc
from fastconv.compat import dlfs
from fastconv.compat.dlfs import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Pooling,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    col2im,
    im2col,
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
    """Compare with an expectation in float64, to the rounding of short sums in `dtype`."""
    assert actual.shape == np.shape(expected)
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, rtol=0, atol=200 * np.finfo(dtype).eps * (1 + np.abs(expected).max()))


def loop_im2col(x, fh, fw, stride, pad):
    n, c, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    oh, ow = (h + 2 * pad - fh) // stride + 1, (w + 2 * pad - fw) // stride + 1
    rows = [
        padded[i, :, y * stride : y * stride + fh, z * stride : z * stride + fw].ravel()
        for i, y, z in itertools.product(range(n), range(oh), range(ow))
    ]
    return np.array(rows).reshape(n * oh * ow, c * fh * fw), (oh, ow)


def loop_convolution(x, w, b, stride, pad):
    fn, _, fh, fw = w.shape
    rows, (oh, ow) = loop_im2col(x, fh, fw, stride, pad)
    out = np.array([[(row * kernel.ravel()).sum() for kernel in w] for row in rows]) + b
    return out.reshape(len(x), oh, ow, fn).transpose(0, 3, 1, 2)


def loop_pooling(x, ph, pw, stride, pad):
    n, c, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=-np.inf)
    oh, ow = (h + 2 * pad - ph) // stride + 1, (w + 2 * pad - pw) // stride + 1
    out, arg_max = np.empty((n, c, oh, ow)), []
    for i, y, z, k in itertools.product(range(n), range(oh), range(ow), range(c)):
        window = padded[i, k, y * stride : y * stride + ph, z * stride : z * stride + pw]
        out[i, k, y, z] = window.max()
        arg_max.append(window.argmax())
    return out, np.array(arg_max)


def loop_batch_normalization(x, gamma, beta, mean=None, variance=None):
    flat = x.reshape(len(x), -1).astype(np.float64)
    out = np.empty_like(flat)
    for j in range(flat.shape[1]):
        column = flat[:, j]
        m = sum(column) / len(column) if mean is None else mean[j]
        v = sum((column - m) ** 2) / len(column) if variance is None else variance[j]
        out[:, j] = gamma[j] * (column - m) / np.sqrt(v + 10e-7) + beta[j]
    return out.reshape(x.shape)


def numerical_gradient(f, x, step=1e-5):
    """Differences element by element, changing `x` in place as the book's gradient check does."""
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


def check_layer(layer, x, rng, **weights):
    """Compare all gradients of a layer with differences, in float64; `weights` are gradients' names by weights'."""
    gy = rng.standard_normal(layer.forward(x).shape)
    dx = layer.backward(gy)
    found = {name: getattr(layer, gradient) for name, gradient in weights.items()}

    def loss():
        return float((layer.forward(x) * gy).sum())

    np.testing.assert_allclose(dx, numerical_gradient(loss, x), rtol=1e-6, atol=1e-7)
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, numerical_gradient(loss, getattr(layer, name)), rtol=1e-6, atol=1e-7)


@st.composite
def windows(draw, pooling=False):
    """Return image shape, kernel, stride and pad."""
    kh, kw, stride = (draw(st.integers(1, 4)) for _ in range(3))
    pad = draw(st.integers(0, min(kh, kw) // 2 if pooling else 3))
    h, w = (draw(st.integers(max(1, k - 2 * pad), 9)) for k in (kh, kw))
    return (draw(st.integers(1, 3)), draw(st.integers(1, 4)), h, w), (kh, kw), stride, pad


class TestColumns:
    @given(windows(), DTYPES, LAYOUTS, st.integers(0, 99))
    def test_im2col_is_the_loop_and_col2im_its_transpose(self, case, dtype, layout, seed):
        shape, kernel, stride, pad = case
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(shape).astype(dtype)
        expected, _ = loop_im2col(x, *kernel, stride, pad)
        columns = im2col(laid_out(x, layout), *kernel, stride, pad)
        assert columns.dtype == dtype
        np.testing.assert_array_equal(columns, expected)
        col = rng.standard_normal(expected.shape).astype(dtype)
        image = col2im(laid_out(col, layout), shape, *kernel, stride, pad)
        assert image.dtype == dtype
        assert image.shape == shape
        assert np.vdot(image, x) == pytest.approx(np.vdot(col, expected), rel=1e-4, abs=1e-3)

    def test_errors(self):
        with pytest.raises(ValueError, match=r"im2col: input_data must have axes \(N, C, H, W\), got shape \(3, 3\)"):
            im2col(np.ones((3, 3)), 2, 2)
        with pytest.raises(ValueError, match=r"col2im: col must have shape \(4, 4\) for images of shape .* \(5, 4\)"):
            col2im(np.ones((5, 4)), (1, 1, 3, 3), 2, 2)
        with pytest.raises(ValueError, match=r"col2im: input_shape must be \(N, C, H, W\), got \(1, 3, 3\)"):
            col2im(np.ones((4, 4)), (1, 3, 3), 2, 2)
        with pytest.raises(ValueError, match="unfold: output height"):
            im2col(np.ones((1, 1, 3, 3)), 4, 4)


class TestConvolution:
    @given(windows(), DTYPES, DTYPES, LAYOUTS, st.integers(1, 5), st.integers(0, 99))
    def test_forward_is_the_loop(self, case, x_dtype, w_dtype, layout, filters, seed):
        shape, kernel, stride, pad = case
        rng = np.random.default_rng(seed)
        x, w, b = (rng.standard_normal(s) for s in (shape, (filters, shape[1], *kernel), filters))
        x, w, b = x.astype(x_dtype), w.astype(w_dtype), b.astype(w_dtype)
        layer = Convolution(laid_out(w, layout), b, stride, pad)
        expected = loop_convolution(x.astype(float), w.astype(float), b.astype(float), stride, pad)
        close(layer.forward(laid_out(x, layout)), expected, np.result_type(x_dtype, w_dtype))

    @pytest.mark.parametrize(("stride", "pad"), [(1, 0), (2, 1), (3, 2)])
    def test_gradients_are_differences(self, stride, pad, rng):
        layer = Convolution(rng.standard_normal((3, 2, 3, 2)), rng.standard_normal(3), stride, pad)
        check_layer(layer, rng.standard_normal((2, 2, 6, 5)), rng, W="dW", b="db")

    def test_attributes_are_those_of_the_book(self, rng):
        w, b, x = rng.standard_normal((2, 1, 3, 3)), np.zeros(2), rng.standard_normal((1, 1, 5, 5))
        layer = Convolution(w, b)
        assert (layer.stride, layer.pad, layer.x, layer.dW, layer.db) == (1, 0, None, None, None)
        layer.backward(np.ones_like(layer.forward(x)))
        assert layer.W is w
        assert layer.b is b
        assert layer.x is x
        assert (layer.dW.shape, layer.db.shape) == (w.shape, b.shape)

    @pytest.mark.parametrize("change", ["in place", "rebound"])
    def test_changed_weights_take_effect(self, change, rng):
        layer = Convolution(rng.standard_normal((2, 1, 3, 3)), np.zeros(2))
        x = rng.standard_normal((1, 1, 5, 5))
        before = layer.forward(x)
        if change == "in place":
            layer.W *= 2
            layer.b += 1
        else:
            layer.W = 2 * layer.W
            layer.b = layer.b + 1
        np.testing.assert_allclose(layer.forward(x), 2 * before + 1, rtol=1e-12)
        expected = loop_input_gradient(layer.W, x.shape)
        np.testing.assert_allclose(layer.backward(np.ones_like(before)), expected, rtol=1e-12, atol=1e-12)

    def test_half_precision_is_computed_in_single(self, rng):
        x, w = (
            rng.standard_normal((1, 3, 6, 6)).astype(np.float16),
            rng.standard_normal((4, 3, 3, 3)).astype(np.float16),
        )
        layer = Convolution(w, np.zeros(4, np.float16))
        expected = loop_convolution(x.astype(float), w.astype(float), 0, 1, 0)
        y = layer.forward(x)
        assert y.dtype == np.float16
        np.testing.assert_allclose(y, expected, rtol=2e-3, atol=2e-3)
        assert Convolution(w.astype(np.float32), np.zeros(4, np.float32)).forward(x).dtype == np.float32
        assert layer.backward(y).dtype == np.float16

    def test_errors(self):
        layer = Convolution(np.ones((2, 1, 3, 3)), np.zeros(2))
        with pytest.raises(RuntimeError, match="Convolution: backward needs a forward pass before it"):
            layer.backward(np.ones((1, 2, 1, 1)))
        with pytest.raises(ValueError, match=r"Convolution: x must have axes \(N, C, H, W\), got shape \(5, 5\)"):
            layer.forward(np.ones((5, 5)))
        with pytest.raises(ValueError, match=r"conv2d: .* channels"):
            layer.forward(np.ones((1, 2, 5, 5)))
        with pytest.raises(ValueError, match=r"conv2d: output height is \(2 \+ 0 \+ 0 - 3\)//1 \+ 1 = 0"):
            layer.forward(np.ones((1, 1, 2, 5)))
        with pytest.raises(TypeError, match=r"Convolution: stride must be an integer, got 1\.0"):
            Convolution(np.ones((2, 1, 3, 3)), np.zeros(2), stride=1.0)
        with pytest.raises(ValueError, match="Convolution: pad must be at least 0, got -1"):
            Convolution(np.ones((2, 1, 3, 3)), np.zeros(2), pad=-1)
        layer.forward(np.ones((1, 1, 5, 5)))
        with pytest.raises(ValueError, match=r"grad_output must have shape \(1, 2, 3, 3\)"):
            layer.backward(np.ones((1, 2, 5, 5)))


def loop_input_gradient(w, shape):
    """Return the gradient of the sum of all outputs, with stride 1 and no padding."""
    gradient = np.zeros(shape)
    _, _, fh, fw = w.shape
    for y, z in itertools.product(range(shape[2] - fh + 1), range(shape[3] - fw + 1)):
        gradient[:, :, y : y + fh, z : z + fw] += w.sum(axis=0)
    return gradient


class TestPooling:
    @given(windows(pooling=True), DTYPES, LAYOUTS, st.integers(0, 99))
    def test_forward_is_the_loop_and_the_first_maximum_counts(self, case, dtype, layout, seed):
        shape, kernel, stride, pad = case
        x = np.random.default_rng(seed).integers(-3, 3, shape).astype(dtype)  # with ties
        layer = Pooling(*kernel, stride, pad)
        expected, arg_max = loop_pooling(x, *kernel, stride, pad)
        y = layer.forward(laid_out(x, layout))
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, expected)
        # Padding before a window's first pixel counts in its positions.
        np.testing.assert_array_equal(layer.arg_max, arg_max)

    @pytest.mark.parametrize(("size", "stride", "pad"), [(2, 2, 0), (3, 1, 1), (3, 2, 0)])
    def test_gradient_is_differences(self, size, stride, pad, rng):
        x = rng.permutation(2 * 3 * 6 * 5).reshape(2, 3, 6, 5).astype(float)  # no two alike
        check_layer(Pooling(size, size, stride, pad), x, rng)

    def test_stride_is_two_unless_given(self):
        assert Pooling(3, 3).stride == 2

    def test_nan_is_the_maximum(self):
        assert np.isnan(Pooling(2, 2).forward(np.array([[[[1.0, np.nan], [3.0, 4.0]]]]))).all()

    def test_errors(self):
        layer = Pooling(2, 2)
        assert layer.arg_max is None
        with pytest.raises(RuntimeError, match="Pooling: backward needs a forward pass before it"):
            layer.backward(np.ones((1, 1, 1, 1)))
        with pytest.raises(ValueError, match=r"Pooling: x must have axes \(N, C, H, W\), got shape \(2, 2\)"):
            layer.forward(np.ones((2, 2)))
        with pytest.raises(ValueError, match="padding must"):
            Pooling(2, 2, pad=2).forward(np.ones((1, 1, 4, 4)))
        with pytest.raises(TypeError, match="Pooling: pool_h must be an integer, got '2'"):
            Pooling("2", 2)


class TestAffine:
    @given(st.integers(1, 9), st.integers(1, 9), DTYPES, DTYPES, LAYOUTS, st.integers(0, 99))
    def test_forward_is_the_loop(self, samples, outputs, x_dtype, w_dtype, layout, seed):
        rng = np.random.default_rng(seed)
        x, w, b = rng.standard_normal((samples, 2, 3)), rng.standard_normal((6, outputs)), rng.standard_normal(outputs)
        x, w, b = x.astype(x_dtype), w.astype(w_dtype), b.astype(w_dtype)
        expected = [[sum(row * w[:, o].astype(float)) + b[o] for o in range(outputs)] for row in x.reshape(samples, 6)]
        close(Affine(laid_out(w, layout), b).forward(laid_out(x, layout)), expected, np.result_type(x_dtype, w_dtype))

    def test_gradients_are_differences(self, rng):
        layer = Affine(rng.standard_normal((12, 4)), rng.standard_normal(4))
        check_layer(layer, rng.standard_normal((3, 2, 2, 3)), rng, W="dW", b="db")

    def test_images_come_back_as_images_and_none_as_none(self):
        layer = Affine(np.ones((12, 4)), np.zeros(4))
        for samples in (3, 0):
            layer.forward(np.ones((samples, 3, 2, 2)))
            assert layer.original_x_shape == (samples, 3, 2, 2)
            assert layer.x.shape == (samples, 12)
            assert layer.backward(np.ones((samples, 4))).shape == (samples, 3, 2, 2)

    def test_weights_in_place_and_rebound_take_effect(self):
        params = {"W": np.ones((2, 1)), "b": np.zeros(1)}
        layer = Affine(params["W"], params["b"])
        params["W"] -= 0.5
        assert layer.forward(np.ones((1, 2))) == 1.0
        layer.W = np.zeros((2, 1))
        assert layer.forward(np.ones((1, 2))) == 0.0

    def test_errors(self):
        with pytest.raises(RuntimeError, match="Affine: backward needs a forward pass"):
            Affine(np.ones((2, 1)), np.zeros(1)).backward(np.ones((1, 1)))
        with pytest.raises(
            ValueError, match=r"Affine: x must have a batch axis and others behind it, got shape \(2,\)"
        ):
            Affine(np.ones((2, 1)), np.zeros(1)).forward(np.ones(2))
        with pytest.raises(ValueError, match="linear: "):
            Affine(np.ones((2, 1)), np.zeros(1)).forward(np.ones((1, 3)))


class TestActivations:
    @given(DTYPES, LAYOUTS, st.integers(0, 99))
    def test_relu_and_sigmoid_are_loops(self, dtype, layout, seed):
        x = np.random.default_rng(seed).standard_normal((3, 4)).astype(dtype)
        relu, sigmoid = Relu(), Sigmoid()
        np.testing.assert_array_equal(relu.forward(laid_out(x, layout)), [[max(v, 0) for v in row] for row in x])
        np.testing.assert_array_equal(relu.mask, [[v <= 0 for v in row] for row in x])
        close(sigmoid.forward(laid_out(x, layout)), [[1 / (1 + np.exp(-float(v))) for v in row] for row in x], dtype)
        assert sigmoid.out is not None

    def test_gradients_are_differences(self, rng):
        for layer in (Relu(), Sigmoid()):
            check_layer(layer, rng.standard_normal((3, 4)), rng)

    def test_relu_leaves_the_gradient_it_is_given(self, rng):
        layer, dout = Relu(), np.ones(2)
        layer.forward(np.array([-1.0, 1.0]))
        assert layer.backward(dout).tolist() == [0.0, 1.0]
        assert dout.tolist() == [1.0, 1.0]

    def test_errors(self):
        assert Relu().mask is None
        for layer in (Relu(), Sigmoid()):
            with pytest.raises(RuntimeError, match=f"{type(layer).__name__}: backward needs a forward pass"):
                layer.backward(np.ones(2))


class TestSoftmaxWithLoss:
    @given(st.integers(1, 5), st.integers(2, 6), DTYPES, st.booleans(), st.integers(0, 99))
    def test_loss_and_gradient_are_loops(self, samples, classes, dtype, one_hot, seed):
        rng = np.random.default_rng(seed)
        x, labels = rng.standard_normal((samples, classes)).astype(dtype), rng.integers(0, classes, samples)
        y = np.array([[np.exp(float(v)) / sum(np.exp(float(u)) for u in row) for v in row] for row in x])
        targets = np.array([[float(c == label) for c in range(classes)] for label in labels])
        layer = SoftmaxWithLoss()
        loss = layer.forward(x, targets if one_hot else labels)
        expected = -sum(np.log(y[n, labels[n]] + 1e-7) for n in range(samples)) / samples
        assert loss == layer.loss == pytest.approx(expected, rel=1e-5, abs=1e-6)
        close(layer.y, y, dtype)
        close(layer.backward(), (y - targets) / samples, dtype)
        close(layer.backward(3), 3 * (y - targets) / samples, dtype)

    def test_gradient_is_differences(self, rng):
        layer, x, t = SoftmaxWithLoss(), rng.standard_normal((4, 3)), np.array([0, 2, 1, 1])
        layer.forward(x, t)
        np.testing.assert_allclose(layer.backward(), numerical_gradient(lambda: layer.forward(x, t), x), atol=1e-5)

    def test_one_sample_may_stand_alone(self):
        layer, x = SoftmaxWithLoss(), np.array([0.5, 1.0, -1.0])
        alone = layer.forward(x, np.array([0, 1, 0])), layer.backward()
        assert layer.forward(x[None], np.array([1])) == alone[0]
        np.testing.assert_array_equal(layer.backward()[0], alone[1])

    def test_saturated_scores_have_a_finite_loss(self):
        layer = SoftmaxWithLoss()
        assert layer.forward(np.array([[1e4, -1e4]]), np.array([1])) == pytest.approx(-np.log(1e-7))
        assert layer.backward().tolist() == [[1.0, -1.0]]

    def test_errors(self):
        layer, x = SoftmaxWithLoss(), np.zeros((2, 3))
        with pytest.raises(RuntimeError, match="SoftmaxWithLoss: backward needs a forward pass"):
            layer.backward()
        with pytest.raises(
            ValueError, match=r"t must hold 2 labels or one-hot rows of shape \(2, 3\), got shape \(4,\)"
        ):
            layer.forward(x, np.zeros(4, int))
        with pytest.raises(ValueError, match="t must hold labels from 0 to 2, got values from 0 to 3"):
            layer.forward(x, np.array([0, 3]))
        with pytest.raises(ValueError, match="t must hold labels from 0 to 2, got values from -1 to 0"):
            layer.forward(x, np.array([0, -1]))
        with pytest.raises(TypeError, match="t must hold integers as labels, got dtype float64"):
            layer.forward(x, np.array([0.0, 1.0]))
        with pytest.raises(ValueError, match=r"x must have axes \(N, classes\) or \(classes,\), got shape \(2, 3, 1\)"):
            layer.forward(x[..., None], np.array([0, 1]))


class TestDropout:
    @pytest.mark.parametrize("layout", ["C", "F", "every second", "reversed"])
    def test_mask_is_that_of_the_global_generator(self, layout, dtype, rng):
        x = rng.standard_normal((5, 4)).astype(dtype)
        np.random.seed(7)
        layer = Dropout(0.3)
        y = layer.forward(laid_out(x, layout))
        np.random.seed(7)
        mask = np.random.rand(5, 4) > 0.3
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, np.where(mask, x, 0))
        np.testing.assert_array_equal(layer.mask, mask)
        np.testing.assert_array_equal(layer.backward(x), np.where(mask, x, 0))

    def test_scales_at_test_time(self, dtype):
        y = Dropout(0.25).forward(np.full((2, 2), 4, dtype), train_flg=False)
        assert y.dtype == dtype
        assert (y == 3).all()

    def test_errors(self):
        with pytest.raises(ValueError, match=r"Dropout: dropout_ratio must be from 0 to 1, got 1\.5"):
            Dropout(1.5)
        layer = Dropout()
        layer.forward(np.ones(3), train_flg=False)
        with pytest.raises(RuntimeError, match="Dropout: backward needs a forward pass"):
            layer.backward(np.ones(3))
        layer.forward(np.ones((2, 3)))
        with pytest.raises(ValueError, match=r"Dropout: dout must have shape \(2, 3\), that of the output, got \(3,\)"):
            layer.backward(np.ones(3))


class TestBatchNormalization:
    @given(
        st.integers(2, 6),
        st.sampled_from([(5,), (2, 2, 3)]),
        DTYPES,
        DTYPES,
        LAYOUTS,
        st.booleans(),
        st.integers(0, 99),
    )
    def test_forward_is_the_loop(self, samples, shape, x_dtype, dtype, layout, training, seed):
        rng = np.random.default_rng(seed)
        features = int(np.prod(shape))
        x = rng.standard_normal((samples, *shape)).astype(x_dtype)
        gamma, beta, mean = (rng.standard_normal(features).astype(dtype) for _ in range(3))
        variance = rng.uniform(0.5, 2, features)
        layer = BatchNormalization(gamma, beta, running_mean=mean, running_var=variance)
        y = layer.forward(laid_out(x, layout), training)
        running = () if training else (mean, variance)
        expected = loop_batch_normalization(x, gamma, beta, *running)
        assert y.dtype == np.result_type(x_dtype, dtype)
        np.testing.assert_allclose(y, expected, rtol=0, atol=2e-3 if y.dtype == np.float32 else 1e-9)
        flat = x.reshape(samples, -1).astype(np.float64)
        share = 0.1 if training else 0
        np.testing.assert_allclose(layer.running_mean, (1 - share) * mean + share * flat.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            layer.running_var, (1 - share) * variance + share * flat.var(0), rtol=1e-5, atol=1e-6
        )

    @pytest.mark.parametrize("shape", [(6, 4), (4, 2, 2, 3)], ids=str)
    def test_gradients_are_differences(self, shape, rng):
        features = int(np.prod(shape[1:]))
        layer = BatchNormalization(rng.standard_normal(features), rng.standard_normal(features))
        check_layer(layer, rng.standard_normal(shape), rng, gamma="dgamma", beta="dbeta")

    def test_each_value_of_an_image_is_a_feature(self, rng):
        layer = BatchNormalization(np.ones(8), np.zeros(8))
        y = layer.forward(rng.standard_normal((50, 2, 2, 2)))
        np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
        assert layer.running_mean.shape == (8,)
        assert (layer.input_shape, layer.batch_size) == ((50, 2, 2, 2), 50)

    def test_given_statistics_are_not_written_to(self, rng):
        mean, variance = np.zeros(3), np.ones(3)
        BatchNormalization(np.ones(3), np.zeros(3), 0.5, mean, variance).forward(rng.standard_normal((4, 3)))
        assert not mean.any()
        assert (variance == 1).all()

    def test_a_single_sample_has_no_deviation(self):
        layer = BatchNormalization(np.array([2.0, 3.0]), np.array([1.0, -1.0]))
        assert layer.forward(np.array([[5.0, 6.0]])).tolist() == [[1.0, -1.0]]
        assert layer.backward(np.ones((1, 2))).tolist() == [[0.0, 0.0]]
        assert layer.running_mean == pytest.approx([0.5, 0.6])
        assert layer.running_var.tolist() == [0.0, 0.0]

    def test_gamma_and_beta_may_be_one_number_for_all(self, rng):
        x = rng.standard_normal((4, 3))
        expected = BatchNormalization(np.full(3, 2.0), np.full(3, 1.0)).forward(x)
        np.testing.assert_array_equal(BatchNormalization(np.array(2.0), np.array([1.0])).forward(x), expected)

    def test_errors(self):
        layer = BatchNormalization(np.ones(3), np.zeros(3))
        layer.forward(np.ones((2, 3)), train_flg=False)
        with pytest.raises(RuntimeError, match="BatchNormalization: backward needs a forward pass"):
            layer.backward(np.ones((2, 3)))
        with pytest.raises(ValueError, match="batch_norm: weight must have shape"):
            layer.forward(np.ones((2, 4)))
        with pytest.raises(ValueError, match="BatchNormalization: momentum must be from 0 to 1, got 2"):
            BatchNormalization(np.ones(3), np.zeros(3), momentum=2)


class SimpleConvNet:
    """conv - relu - pool - affine - relu - affine - softmax, with the structure of the book's network."""

    def __init__(self, rng, images=(1, 8, 8), filters=16, size=3, hidden=50, classes=10):
        c, h, w = images
        pooled = (h // 2) * (w // 2)
        self.params = {
            "W1": 0.1 * rng.standard_normal((filters, c, size, size)),
            "b1": np.zeros(filters),
            "W2": 0.1 * rng.standard_normal((filters * pooled, hidden)),
            "b2": np.zeros(hidden),
            "W3": 0.1 * rng.standard_normal((hidden, classes)),
            "b3": np.zeros(classes),
        }
        p = self.params
        self.layers = OrderedDict(
            Conv1=Convolution(p["W1"], p["b1"], pad=size // 2),
            Relu1=Relu(),
            Pool1=Pooling(2, 2, stride=2),
            Affine1=Affine(p["W2"], p["b2"]),
            Relu2=Relu(),
            Affine2=Affine(p["W3"], p["b3"]),
        )
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        return self.last_layer.forward(self.predict(x), t)

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        names = {"1": "Conv1", "2": "Affine1", "3": "Affine2"}
        return {key: getattr(self.layers[names[key[1]]], f"d{key[0]}") for key in self.params}


def test_gradients_of_a_network_are_differences(rng):
    network = SimpleConvNet(rng, images=(1, 6, 6), filters=2, hidden=5, classes=3)
    x, t = rng.standard_normal((2, 1, 6, 6)), np.array([0, 2])
    grads = network.gradient(x, t)
    for key, param in network.params.items():
        numeric = numerical_gradient(lambda: network.loss(x, t), param)
        assert np.abs(grads[key] - numeric).mean() < 1e-6, key


def test_network_of_the_book_learns_digits(rng):
    (x_train, t_train), (x_test, t_test) = fc.datasets.load_digits()
    x_train, x_test = (x[:, None].astype(np.float32) / 16 for x in (x_train, x_test))
    network = SimpleConvNet(rng)
    velocity = {key: np.zeros_like(value) for key, value in network.params.items()}
    for _ in range(8):
        order = rng.permutation(len(x_train))
        for start in range(0, len(order), 50):
            chosen = order[start : start + 50]
            grads = network.gradient(x_train[chosen], t_train[chosen])
            for key, param in network.params.items():
                velocity[key] = 0.9 * velocity[key] - 0.05 * grads[key]
                param += velocity[key]  # in place, on the array that the layer holds
    assert (network.predict(x_test).argmax(axis=1) == t_test).mean() > 0.95


LAYERS = """
    from common.util import im2col, col2im

    class _Layer:
        origin = "book"

    class Convolution(_Layer): ...
    class Pooling(_Layer): ...
    class Affine(_Layer): ...
    class Relu(_Layer): ...
    class Sigmoid(_Layer): ...
    class SoftmaxWithLoss(_Layer): ...
    class Dropout(_Layer): ...
    class BatchNormalization(_Layer): ...
    class MulLayer(_Layer): ...
"""
UTIL = """
    def im2col(): ...
    def col2im(): ...
    def smooth_curve(x):
        return x
"""


@pytest.fixture
def forget_common():
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "common"]:
        del sys.modules[name]
    assert all(type(finder).__name__ != "_Finder" for finder in sys.meta_path)


@pytest.fixture
def book(tmp_path, forget_common):
    """A folder with a package `common` like the book's, and a chapter beside it."""
    for path, text in {
        "common/__init__.py": "",
        "common/layers.py": LAYERS,
        "common/util.py": UTIL,
        "common/gradient.py": "value = 'from the book'",
        "ch07/train.py": """
            import os, sys
            sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
            from common.layers import *
            from common.layers import MulLayer
            from common.util import im2col, smooth_curve
            from common.gradient import value
        """,
    }.items():
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text))
    return tmp_path


class TestInstall:
    def test_without_a_package_common_there_is_one(self, forget_common):
        with dlfs.install() as installation:
            import common.layers
            from common.util import im2col

            assert common.layers.Convolution is Convolution
            assert im2col is dlfs.im2col
            assert installation.replaced == []
            with pytest.raises(ModuleNotFoundError):
                import common.gradient
        with pytest.raises(ModuleNotFoundError):
            import common

    def test_scripts_of_the_book_run_unchanged(self, book, monkeypatch):
        monkeypatch.setattr(sys, "path", [*sys.path])
        with dlfs.install() as installation:
            names = runpy.run_path(str(book / "ch07" / "train.py"))
            for name in ("Convolution", "Pooling", "Affine", "Relu", "BatchNormalization"):
                assert names[name] is getattr(dlfs, name)
            assert names["im2col"] is im2col
            assert "common.layers.Dropout" in installation.replaced
            assert len(installation.replaced) == 10
            # All else is the book's.
            assert names["MulLayer"].origin == "book"
            assert names["smooth_curve"](1) == 1
            assert names["value"] == "from the book"
        assert sys.modules["common.layers"].Convolution.origin == "book"
        assert sys.modules["common.util"].im2col is not im2col

    def test_modules_that_are_loaded_are_changed_and_restored(self, book, monkeypatch):
        monkeypatch.syspath_prepend(str(book))
        import common.layers

        installation = dlfs.install()
        assert common.layers.Relu is Relu
        assert dlfs.install() is installation
        installation.undo()
        assert common.layers.Relu.origin == "book"
        installation.undo()

    def test_another_package_of_that_name_is_left_alone(self, book, monkeypatch):
        (book / "common" / "layers.py").write_text("class Convolution: ...")
        monkeypatch.syspath_prepend(str(book))
        with dlfs.install() as installation:
            with pytest.raises(ImportError, match=r"common\.layers must be the book's and have Pooling, .*layers\.py"):
                import common.layers  # noqa: F401
            assert installation.replaced == []

    def test_another_module_that_is_loaded_is_an_error_at_once(self, book, monkeypatch):
        (book / "common" / "layers.py").write_text("class Convolution: ...")
        monkeypatch.syspath_prepend(str(book))
        import common.layers

        with pytest.raises(ImportError, match="must be the book's and have Pooling"):
            dlfs.install()
        assert common.layers.Convolution is not Convolution

    def test_a_package_without_layers_gets_none(self, book, monkeypatch):
        (book / "common" / "layers.py").unlink()
        monkeypatch.syspath_prepend(str(book))
        with dlfs.install(), pytest.raises(ModuleNotFoundError, match=r"common\.layers"):
            import common.layers  # noqa: F401
