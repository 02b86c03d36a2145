"""A network of the kind that students of CS231n write, on the drop-in's layers."""

import math

import numpy as np
import pytest

from fastconv.compat.cs231n import (
    affine_backward,
    affine_forward,
    affine_relu_backward,
    affine_relu_forward,
    conv_relu_pool_backward,
    conv_relu_pool_forward,
    softmax_loss,
)
from fastconv.datasets import load_digits

POOL = {"pool_height": 2, "pool_width": 2, "stride": 2}


class ThreeLayerConvNet:
    """conv - relu - 2x2 max pool - affine - relu - affine - softmax, as the course has its students write it."""

    def __init__(self, input_dim, num_filters, filter_size, hidden_dim, num_classes, reg, dtype=np.float32):
        c, h, w = input_dim
        rng = np.random.default_rng(1)
        shapes = {
            "W1": (num_filters, c, filter_size, filter_size),
            "W2": (num_filters * (h // 2) * (w // 2), hidden_dim),
            "W3": (hidden_dim, num_classes),
        }
        self.params = {}
        for name, shape in shapes.items():
            inputs = math.prod(shape[1:]) if name == "W1" else shape[0]
            self.params[name] = (rng.standard_normal(shape) * math.sqrt(2 / inputs)).astype(dtype)
            self.params["b" + name[1]] = np.zeros(shape[0] if name == "W1" else shape[1], dtype)
        self.reg = reg

    def loss(self, X, y=None):
        p = self.params
        pad = (p["W1"].shape[2] - 1) // 2
        a1, cache1 = conv_relu_pool_forward(X, p["W1"], p["b1"], {"stride": 1, "pad": pad}, POOL)
        a2, cache2 = affine_relu_forward(a1, p["W2"], p["b2"])
        scores, cache3 = affine_forward(a2, p["W3"], p["b3"])
        if y is None:
            return scores
        loss, dscores = softmax_loss(scores, y)
        grads = {}
        da2, grads["W3"], grads["b3"] = affine_backward(dscores, cache3)
        da1, grads["W2"], grads["b2"] = affine_relu_backward(da2, cache2)
        _, grads["W1"], grads["b1"] = conv_relu_pool_backward(da1, cache1)
        for name in ("W1", "W2", "W3"):
            loss += 0.5 * self.reg * (p[name] ** 2).sum()
            grads[name] += self.reg * p[name]
        return loss, grads


class TestThreeLayerConvNet:
    def test_gradients_are_those_of_differences(self, rng):
        model = ThreeLayerConvNet((3, 6, 6), 3, 3, 7, 5, reg=0.1, dtype=np.float64)
        x, y = rng.standard_normal((2, 3, 6, 6)), np.array([0, 4])
        _, grads = model.loss(x, y)
        for name, values in model.params.items():
            direction, step = rng.standard_normal(values.shape), 1e-6
            values += step * direction
            ahead = model.loss(x, y)[0]
            values -= 2 * step * direction
            difference = (ahead - model.loss(x, y)[0]) / (2 * step)
            values += step * direction
            assert difference == pytest.approx((grads[name] * direction).sum(), rel=1e-5)

    def test_learns_digits(self):
        pytest.importorskip("sklearn")
        (x, y), (x_val, y_val) = load_digits()
        x, x_val = (images[:, np.newaxis].astype("float") / 16 - 0.5 for images in (x, x_val))
        model = ThreeLayerConvNet((1, 8, 8), 16, 3, 64, 10, reg=1e-4)
        rng = np.random.default_rng(0)
        for _ in range(12):
            for batch in rng.permutation(len(x))[: len(x) // 50 * 50].reshape(-1, 50):
                _, grads = model.loss(x[batch], y[batch])
                for name, w in model.params.items():
                    w -= 0.1 * grads[name]
        scores = model.loss(x_val)
        assert scores.dtype == np.float64
        assert all(w.dtype == np.float32 for w in model.params.values())
        assert (scores.argmax(axis=1) == y_val).mean() > 0.95
