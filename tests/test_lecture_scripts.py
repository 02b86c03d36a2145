"""The lecture scripts notice mistakes: with a wrong function in place of a right one, its figures fail."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

if not EXAMPLES.is_dir():
    pytest.skip("the examples are not here", allow_module_level=True)


def scaled(function):
    return lambda *args, **options: function(*args, **options) * 1.01


def larger(function):
    return lambda *args, **options: function(*args, **options) + 1


def flipped(function):
    return lambda x, w, *args, **options: function(x, w[..., ::-1], *args, **options)


# Script, what is wrong in it, how, and a figure that fails by it.
MISTAKES = [
    ("convolution_and_correlation", "F.conv1d", flipped, "F.conv1d is correlation"),
    ("convolution_and_correlation", "integral", scaled, "error of the sum with steps of 1/256"),
    ("convolution_and_correlation", "F.conv2d", flipped, "F.conv2d is correlation"),
    (
        "convolution_arithmetic",
        "convolution",
        larger,
        "relationship 15, o = floor((i + 2p - k - (k - 1)(d - 1))/s) + 1",
    ),
    ("convolution_arithmetic", "pooling", larger, "relationship 7, pooling: o = floor((i - k)/s) + 1"),
    ("convolution_arithmetic", "transposed", larger, "relationship 14, o' = i: the convolution's own input"),
    ("convolution_arithmetic", "F.conv_transpose1d", flipped, "it is the transpose: <C x, y> = <x, C^T y>"),
    ("layer_costs", "counted", larger, "one filter has C_i x K x K weights"),
    ("layer_costs", "SeparableConv2D.multiply_adds", larger, "256 5x5 kernels on 12x12x3, depthwise separable"),
    ("linear_stacks", "depth", larger, "depth, 100 blocks with 2^100 paths"),
    ("linear_stacks", "toeplitz_matrix", scaled, "M(w) M(v) and M(u)"),
    ("separable_filters", "filter2d", scaled, "row, then column, and all at once"),
    ("loss_values", "F.mse_loss", scaled, "squared error, Keras' mean, network A"),
    ("loss_values", "metrics.cross_entropy", scaled, "five ways to cross-entropy, network B"),
    ("likelihood", "F.kl_div", scaled, "H(q, p) - KL(q || p) = H(q) = 0.6109"),
    ("likelihood", "F.binary_cross_entropy", scaled, "-ln L = n H(q, p)"),
    ("differentiation", "by_hand", scaled, "dual numbers, 101 places"),
    ("differentiation", "forward_difference", scaled, "forward: power of h"),
    ("backward_tables", "sigmoid_slope", scaled, "logistic regression, y* = 0: dJ/da = y - y*"),
    ("backward_tables", "F.sigmoid_backward", scaled, "two layers, y* = 1: dJ/dy, dJ/db, dJ/dbeta"),
    ("softmax_regression", "F.cross_entropy_backward", scaled, "slope by gradient and by differences, direction 0"),
    ("perceptron", "fires", lambda fires: lambda *args: 1 - fires(*args), "AND by one perceptron"),
]


@pytest.mark.parametrize(
    ("script", "name", "mistake", "figure"), MISTAKES, ids=[f"{script}-{name}" for script, name, *_ in MISTAKES]
)
def test_mistake_fails_its_figure(script, name, mistake, figure, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--small", "--output", str(tmp_path)])
    spec = importlib.util.spec_from_file_location(script, EXAMPLES / f"{script}.py")
    example = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, script, example)
    spec.loader.exec_module(example)
    owner, _, attribute = name.rpartition(".")
    target = getattr(example, owner) if owner else example
    monkeypatch.setattr(target, attribute, mistake(getattr(target, attribute)))
    assert example.main() == 1
    figures = json.loads((tmp_path / f"{script}.json").read_text())["figures"]
    assert any(found["name"].startswith(figure) and not found["holds"] for found in figures)
