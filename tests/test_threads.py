"""Several threads: the same bits, no lock held, no hang after fork."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from oracle import assert_same_bits

import fastconv as fc
import fastconv.functional as F
from fastconv import _core


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


X, W, B = normal(4, 33, 28, 28), normal(40, 33, 3, 3), normal(40)
GY = normal(4, 40, 28, 28)
LAST = {"data_format": "channels_last"}
X_LAST, W_LAST, GY_LAST = (
    X.transpose(0, 2, 3, 1).copy(),
    W.transpose(2, 3, 1, 0).copy(),
    GY.transpose(0, 2, 3, 1).copy(),
)
# Many images, each with a full Toeplitz matrix of 2 MB; and few channels, for blocks of a row.
SMALL, GRAD_SMALL = normal(64, 8, 7, 7), normal(64, 33, 7, 7)
THIN, THIN_WEIGHT, GRAD_THIN = normal(9, 3, 61, 59), normal(6, 3, 5, 5), normal(9, 6, 57, 55)
COLUMNS, GRAD_LARGER = normal(4, 33 * 9, 28 * 28), normal(4, 33, 57, 57)
POOLED = normal(4, 33, 14, 14)
ROWS, ROW_WEIGHT, GRAD_ROWS = normal(300, 130), normal(65, 130), normal(300, 65)
LONG, GRAD_LONG = normal(200_000), normal(200_001)[1:]
TABLE, GRAD_TABLE = normal(5000, 40), normal(5001, 40)[1:]

# Each is large enough to be shared between threads, and no size is a multiple of their number.
OPERATIONS = {
    "conv2d": lambda: F.conv2d(X, W, B, padding=1),
    "conv2d, channels last": lambda: F.conv2d(X_LAST, W_LAST, B, padding=1, **LAST),
    "conv2d, stride 2, float64": lambda: F.conv2d(X.astype(float), W, stride=2),
    "conv2d, grouped": lambda: F.conv2d(X, W[:33, :11], padding=1, groups=3),
    "conv2d, depthwise": lambda: F.conv2d(X, W[:33, :1], padding=1, groups=33),
    "conv2d, one image, one pixel": lambda: F.conv2d(X[:1, :, :1, :1], W, padding=1),
    "conv2d_backward": lambda: F.conv2d_backward(GY, X, W, B, padding=1),
    "conv2d_backward, channels last": lambda: F.conv2d_backward(GY_LAST, X_LAST, W_LAST, B, padding=1, **LAST),
    "conv2d_backward, stride 2": lambda: F.conv2d_backward(GY[:, :, :13, :13].copy(), X, W, B, stride=2),
    "conv2d_backward, float64": lambda: F.conv2d_backward(GY.astype(float), X, W, B, padding=1),
    "conv2d_backward, depthwise": lambda: F.conv2d_backward(GY[:, :33], X, W[:33, :1], B[:33], padding=1, groups=33),
    "relu6": lambda: F.relu6(LONG),
    "relu6_backward": lambda: F.relu6_backward(GRAD_LONG, LONG),
    "elu": lambda: F.elu(LONG),
    "elu_backward": lambda: F.elu_backward(GRAD_LONG, LONG),
    "silu": lambda: F.silu(LONG),
    "silu_backward": lambda: F.silu_backward(GRAD_LONG, LONG),
    "softplus": lambda: F.softplus(LONG),
    "softplus_backward": lambda: F.softplus_backward(GRAD_LONG, LONG),
    "gelu": lambda: F.gelu(LONG),
    "gelu_backward": lambda: F.gelu_backward(GRAD_LONG, LONG),
    "prelu": lambda: F.prelu(X, W[0, :, 0, 0]),
    "prelu_backward": lambda: F.prelu_backward(X[::-1], X, W[0, :, 0, 0]),
    "prelu_backward, channels last": lambda: F.prelu_backward(X_LAST[::-1], X_LAST, W[0, :, 0, 0], **LAST),
    "prelu_backward, one weight": lambda: F.prelu_backward(GRAD_LONG, LONG, W[0, 0, 0, :1]),
    "conv2d, direct": lambda: F.conv2d(X, W, B, padding=1, algorithm="direct"),
    "conv2d, im2col": lambda: F.conv2d(X, W, B, padding=1, algorithm="im2col"),
    "conv2d, toeplitz": lambda: F.conv2d(THIN, THIN_WEIGHT, B[:6], algorithm="toeplitz"),
    "conv2d, toeplitz_full": lambda: F.conv2d(SMALL, W[:33, :8], padding=1, algorithm="toeplitz_full"),
    "conv2d, winograd_2x2": lambda: F.conv2d(X, W, B, padding=1, algorithm="winograd_2x2"),
    "conv2d, winograd_4x4": lambda: F.conv2d(X, W, B, padding=1, algorithm="winograd_4x4"),
    "conv2d, winograd_4x4, channels last": lambda: F.conv2d(
        X_LAST, W_LAST, B, padding=1, algorithm="winograd_4x4", **LAST
    ),
    "conv2d_backward, direct": lambda: F.conv2d_backward(GY, X, W, B, padding=1, algorithm="direct"),
    "conv2d_backward, im2col": lambda: F.conv2d_backward(GY, X, W, B, padding=1, algorithm="im2col"),
    "conv2d_backward, toeplitz": lambda: F.conv2d_backward(GRAD_THIN, THIN, THIN_WEIGHT, B[:6], algorithm="toeplitz"),
    "conv2d_backward, toeplitz_full": lambda: F.conv2d_backward(
        GRAD_SMALL, SMALL, W[:33, :8], B[:33], padding=1, algorithm="toeplitz_full"
    ),
    "conv2d_backward, winograd_2x2": lambda: F.conv2d_backward(GY, X, W, B, padding=1, algorithm="winograd_2x2"),
    "conv2d_backward, winograd_4x4": lambda: F.conv2d_backward(GY, X, W, B, padding=1, algorithm="winograd_4x4"),
    "conv2d_backward, winograd_4x4, channels last": lambda: F.conv2d_backward(
        GY_LAST, X_LAST, W_LAST, B, padding=1, algorithm="winograd_4x4", **LAST
    ),
    "prepare_conv2d": lambda: F.prepare_conv2d(W, B, padding=1, activation="relu")(X),
    "conv_transpose2d": lambda: F.conv_transpose2d(GY, W, B[:33], stride=2),
    "conv_transpose2d_backward": lambda: F.conv_transpose2d_backward(GRAD_LARGER, GY, W, B[:33], stride=2),
    "one_hot": lambda: F.one_hot(np.arange(1000) % 7),
    "unfold": lambda: F.unfold(X, 3, padding=1),
    "unfold_backward": lambda: F.unfold_backward(COLUMNS, X, 3, padding=1),
    "fold": lambda: F.fold(COLUMNS, 28, 3, padding=1),
    "fold_backward": lambda: F.fold_backward(X, COLUMNS, 28, 3, padding=1),
    "max_pool2d": lambda: F.max_pool2d(X, 2, return_indices=True),
    "max_pool2d, channels last": lambda: F.max_pool2d(X_LAST, 3, 2, return_indices=True, **LAST),
    "max_pool2d_backward": lambda: F.max_pool2d_backward(POOLED, X, 2),
    "max_pool2d_backward, overlapping": lambda: F.max_pool2d_backward(GY[:, :33, :26, :26], X, 3, 1),
    "avg_pool2d": lambda: F.avg_pool2d(X, 2),
    "avg_pool2d, channels last": lambda: F.avg_pool2d(X_LAST, 3, 2, **LAST),
    "avg_pool2d, whole image": lambda: F.avg_pool2d(X_LAST, 28, **LAST),
    "avg_pool2d_backward": lambda: F.avg_pool2d_backward(GY[:, :33, :26, :26], X, 3, 1),
    "linear": lambda: F.linear(ROWS, ROW_WEIGHT, B[:1].repeat(65)),
    "linear_backward": lambda: F.linear_backward(GRAD_ROWS, ROWS, ROW_WEIGHT, B[:1].repeat(65)),
    "relu": lambda: F.relu(LONG),
    "relu_backward": lambda: F.relu_backward(GRAD_LONG, LONG),
    "leaky_relu": lambda: F.leaky_relu(LONG),
    "leaky_relu_backward": lambda: F.leaky_relu_backward(GRAD_LONG, LONG),
    "sigmoid": lambda: F.sigmoid(LONG),
    "sigmoid_backward": lambda: F.sigmoid_backward(GRAD_LONG, LONG),
    "tanh": lambda: F.tanh(LONG),
    "tanh_backward": lambda: F.tanh_backward(GRAD_LONG, LONG),
    "softmax": lambda: F.softmax(TABLE),
    "softmax_backward": lambda: F.softmax_backward(GRAD_TABLE, TABLE),
    "log_softmax": lambda: F.log_softmax(TABLE),
    "log_softmax_backward": lambda: F.log_softmax_backward(GRAD_TABLE, TABLE),
}


def poolings(axes, x):
    """Name and call of every pooling over so many axes, but for those that stand above."""
    calls = {}
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    for kind, arguments in {
        "max_pool": [2],
        "avg_pool": [2],
        "adaptive_avg_pool": [3],
        "adaptive_max_pool": [3],
    }.items():
        name = f"{kind}{axes}d"
        forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
        gy, gy_last = normal(*forward(x, *arguments).shape), normal(*forward(last, *arguments, **LAST).shape)
        calls |= {
            name: partial(forward, x, *arguments),
            f"{name}, channels last": partial(forward, last, *arguments, **LAST),
            f"{name}_backward": partial(backward, gy, x, *arguments),
            f"{name}_backward, channels last": partial(backward, gy_last, last, *arguments, **LAST),
        }
    for array, options, ending in ((x, {}, ""), (last, LAST, ", channels last")):
        pooled, indices = getattr(F, f"max_pool{axes}d")(array, 3, 1, return_indices=True, **options)
        name, size = f"max_unpool{axes}d", array.shape
        forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
        arguments = (pooled, indices, 3, 1, 0, size)
        calls[f"{name}{ending}"] = partial(forward, *arguments, **options)
        calls[f"{name}_backward{ending}"] = partial(backward, array, *arguments, **options)
    return calls


POOLINGS = [normal(3, 17, 25003), normal(3, 17, 157, 161), normal(3, 17, 29, 30, 31)]
OPERATIONS = {name: call for axes, x in enumerate(POOLINGS, 1) for name, call in poolings(axes, x).items()} | OPERATIONS


def both(name, *arguments, **options):
    """Name and call of an operation, and of its gradient."""
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    gy = normal(*np.shape(forward(*arguments, **options)))
    return {
        name: partial(forward, *arguments, **options),
        f"{name}_backward": partial(backward, gy, *arguments, **options),
    }


def shared_out(shape, filters, kernel, **options):
    """Name and call of a convolution and of its gradients, whose work is shared out in a way of its own."""
    first = options.get("data_format") == "channels_first"
    channels = shape[1] if first else shape[-1]
    x = normal(*shape)
    w = normal(filters, channels, *kernel) if first else normal(*kernel, channels, filters)
    gy, b = normal(*F.conv2d(x, w, **options).shape), normal(filters)
    name = f"{shape}, {filters} filters {kernel} {options}"
    return {
        f"conv2d, {name}": partial(F.conv2d, x, w, b, **options),
        f"conv2d_backward, {name}": partial(F.conv2d_backward, gy, x, w, b, **options),
    }


FIRST = {"data_format": "channels_first"}
SHARED_OUT = (
    # Winograd: ranges of output channels, pieces, boxes.
    ((1, 15, 14, 70), 130, (3, 3), {"padding": 1, "algorithm": "winograd_4x4", **LAST}),
    ((1, 70, 15, 14), 130, (3, 3), {"padding": 1, "algorithm": "winograd_4x4", **FIRST}),
    ((1, 57, 55, 35), 66, (3, 3), {"padding": 1, "algorithm": "winograd_4x4", **LAST}),
    ((2, 35, 57, 55), 66, (3, 3), {"padding": 1, "algorithm": "winograd_2x2", **FIRST}),
    # Direct: staged boxes; planes cut into rows; chunks of the weight gradient.
    ((2, 15, 13, 1024), 70, (1, 1), {"algorithm": "direct", **LAST}),
    ((1, 64, 24, 25), 70, (1, 1), {"algorithm": "direct", **FIRST}),
    ((1, 64, 17, 17), 70, (5, 1), {"padding": (2, 0), "algorithm": "direct", **FIRST}),
    ((3, 40, 41, 48), 35, (3, 3), {"stride": 2, "algorithm": "im2col", **LAST}),
    # Few channels: bands of col2im, chunks of runs and of patches.
    ((1, 97, 90, 3), 40, (7, 7), {"stride": 2, "padding": 3, "algorithm": "im2col", **LAST}),
    ((1, 97, 90, 3), 40, (3, 5), {"dilation": (5, 1), "algorithm": "im2col", **LAST}),
    ((1, 90, 41, 2), 33, (2, 3), {"stride": (5, 2), "padding": 1, "algorithm": "im2col", **LAST}),
    ((9, 3, 47, 51), 40, (5, 5), {"algorithm": "direct", **FIRST}),
    ((90, 1, 28, 28), 19, (7, 7), {"stride": 2, "padding": 1, "algorithm": "direct", **FIRST}),
    # Few output channels: sets of images.
    ((67, 28, 28, 1), 6, (5, 5), {"padding": 2, "algorithm": "direct", **LAST}),
    ((40, 31, 30, 2), 3, (3, 3), {"stride": 2, "dilation": 2, "algorithm": "direct", **LAST}),
)
for shape, filters, kernel, options in SHARED_OUT:
    OPERATIONS |= shared_out(shape, filters, kernel, **options)

SIGNAL, SIGNAL_WEIGHT = normal(5, 33, 2003), normal(65, 33, 5)
VOLUME, VOLUME_WEIGHT = normal(2, 17, 13, 21, 22), normal(33, 17, 3, 3, 3)
BIAS = normal(65)
LABELS = np.random.default_rng(1).integers(0, 40, 5000)
SHARES, OTHER_SHARES = F.softmax(TABLE), F.softmax(TABLE[::-1])
for calls in (
    both("conv1d", SIGNAL, SIGNAL_WEIGHT, BIAS, padding=2),
    both("conv3d", VOLUME, VOLUME_WEIGHT, BIAS[:33], padding=1),
    both("conv_transpose1d", SIGNAL, SIGNAL_WEIGHT.swapaxes(0, 1).copy(), BIAS, stride=2),
    both("conv_transpose3d", VOLUME, VOLUME_WEIGHT.swapaxes(0, 1).copy(), BIAS[:33], stride=2),
    both("pad", X, (1, 2, 3, 0), "reflect"),
    both("interpolate", X, scale_factor=2, mode="bilinear"),
    both("cross_entropy", TABLE, LABELS, reduction="none"),
    both("nll_loss", TABLE, LABELS),
    both("kl_div", TABLE, SHARES, reduction="batchmean"),
    both("binary_cross_entropy", SHARES, OTHER_SHARES),
    both("binary_cross_entropy_with_logits", TABLE, SHARES),
    *(both(name, TABLE, TABLE[::-1]) for name in ("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss")),
    both("layer_norm", TABLE, 40, TABLE[0], TABLE[1]),
    both("group_norm", X, 3, X[0, :, 0, 0], X[1, :, 0, 0]),
    both("local_response_norm", X, 5),
    both("dropout", LONG, 0.3, rng=1),
    both("dropout1d", SIGNAL, rng=1),
    both("dropout2d", X, rng=1),
    both("dropout3d", VOLUME, rng=1),
    both("batch_norm", X, None, None, X[0, :, 0, 0], X[1, :, 0, 0], True),
):
    OPERATIONS |= calls


def results(name):
    found = OPERATIONS[name]()
    return found if isinstance(found, tuple) else (found,)


def assert_all_same_bits(actual, expected, label):
    for one, other in zip(actual, expected, strict=True):
        assert_same_bits(one, other, label)


def test_every_operation_is_among_them():
    assert {name.split(",")[0] for name in OPERATIONS} == set(F.__all__)


@pytest.mark.parametrize("function", ["conv2d", "conv2d_backward"])
def test_every_algorithm_is_among_them(function):
    """Others than these two, which stand for one of the others."""
    names = {f"{function}, {algorithm}" for algorithm in _core.ALGORITHMS if algorithm not in ("auto", "winograd")}
    assert names <= OPERATIONS.keys()


@pytest.mark.parametrize("name", OPERATIONS)
def test_threads_do_not_change_bits(name, isa):
    with fc.set_num_threads(1):
        expected = results(name)
    for count in (2, 3, 5, 16):
        with fc.set_num_threads(count):
            assert_all_same_bits(results(name), expected, f"{count} threads")


@pytest.mark.parametrize("count", [1, 2])
def test_calls_from_several_python_threads_do_not_disturb_each_other(count):
    names = list(OPERATIONS)
    with fc.set_num_threads(count):
        expected = {name: results(name) for name in names}

        def work(start):
            for step in range(2 * len(names)):
                name = names[(start * 7 + step) % len(names)]
                assert_all_same_bits(results(name), expected[name], name)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))


def test_python_runs_on_during_a_convolution():
    x, w = np.ones((32, 64, 56, 56), np.float32), np.ones((64, 64, 3, 3), np.float32)
    events = []

    def convolve():
        events.append("start")
        F.conv2d(x, w)
        events.append("end")

    interval = sys.getswitchinterval()
    # Python takes the lock from no thread, so that another runs only where this one gives it up.
    sys.setswitchinterval(1000)
    try:
        worker = threading.Thread(target=convolve)
        worker.start()
        while worker.is_alive():
            events.append("main")
            worker.join(0.0001)
    finally:
        sys.setswitchinterval(interval)
    assert "main" in events[events.index("start") : events.index("end")]


FORK = """
import os, sys, threading
import numpy as np
import fastconv as fc, fastconv.functional as F

fc.set_num_threads(2)
x, w = np.ones((4, 32, 28, 28), np.float32), np.ones((32, 32, 3, 3), np.float32)
gy = np.ones((4, 32, 26, 26), np.float32)
compute = lambda: [F.conv2d(x, w), *F.conv2d_backward(gy, x, w)[:2], F.max_pool2d(x, 2), F.relu(x), F.softmax(x)]
expected = compute()

def in_child():
    same = all(np.array_equal(a, b) for a, b in zip(compute(), expected))
    return 0 if same else 1

def fork():
    child = os.fork()
    if child == 0:
        os._exit(in_child())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


def run(script):
    """Run in a process of its own, so that a hang ends in a failure."""
    done = subprocess.run(
        [sys.executable, "-c", FORK + script], timeout=120, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no fork")
class TestFork:
    def test_child_of_a_parent_that_used_threads_works(self):
        run("assert [fork() for _ in range(3)] == [0, 0, 0]")

    def test_child_may_ask_for_threads(self):
        run("""
child = os.fork()
if child == 0:
    fc.set_num_threads(2)
    os._exit(in_child())
assert os.waitpid(child, 0)[1] == 0
assert in_child() == 0, "the parent goes on with its threads"
""")

    def test_multiprocessing_by_fork_works(self):
        run("""
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.starmap(in_child, [()] * 6) == [0] * 6
""")

    def test_fork_while_another_thread_computes(self):
        run("""
stop = threading.Event()
def keep_busy():
    while not stop.is_set():
        compute()
busy = threading.Thread(target=keep_busy)
busy.start()
try:
    assert [fork() for _ in range(10)] == [0] * 10
finally:
    stop.set()
    busy.join()
""")

    def test_grandchild_works(self):
        run("""
child = os.fork()
if child == 0:
    os._exit(in_child() or fork())
assert os.waitpid(child, 0)[1] == 0
""")
