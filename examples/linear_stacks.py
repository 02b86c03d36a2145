r"""A stack of linear layers is one linear layer, and how deep a network is.

**Linear stacks.** y = W_3 (W_2 (W_1 x + b_1) + b_2) + b_3 is the layer

    W = W_3 W_2 W_1,   b = W_3 W_2 b_1 + W_3 b_2 + b_3

so depth without activations adds nothing. It can even take away: the rank of W is at most the width of the narrowest
layer. The same holds of convolutions. Their kernels multiply as polynomials do: (x * v) * w = x * (v * w), so a 3x3 and
a 3x3 convolution are one of 5x5 with the kernel

    u[o, c] = sum_m v[m, c] * w[o, m]   (whole convolution, over the channels m between them)

and in matrices, M(u) = M(w) M(v). With a ReLU in between no linear layer does the same: f(x) + f(-x) = 2 f(0) holds for
every layer W x + b, and fails.

**Depth** is the length of the longest path from an input to an output of the graph of computations. It depends on what
counts as a step (I. Goodfellow, Y. Bengio, A. Courville, Deep Learning, 2016, figure 1.3): logistic regression,
sigmoid(w_1 x_1 + w_2 x_2), has depth 3 in products, sums and sigmoids, and depth 1 if itself is a step. A layer's depth
is 1 more than the largest of its inputs', which takes one walk through the graph. To look at all the paths takes
longer: each layer that joins two can double their number.

Run it with ``python examples/linear_stacks.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture

import fastconv as fc
import fastconv.functional as F
from fastconv.layers import Activation, Add, Concatenate, Conv2D, Dense, Input, Multiply
from fastconv.toeplitz import toeplitz_matrix

LINEAR = "W = W3 W2 W1"
KERNELS = "(x * v) * w = x * (v * w)"
BOOK = "Goodfellow et al. 2016, figure 1.3"

# Sums of 100 products of numbers around 1 in float64.
ROUNDING = 1e-12


def check_dense(lecture):
    """Multiply out three dense layers and compare; then put a ReLU in."""
    rng = np.random.default_rng(0)
    widths = (20, 3, 12)
    options = {"dtype": "float64", "bias_initializer": fc.initializers.RandomNormal(seed=1)}
    stack = fc.Sequential([Dense(width, **options) for width in widths])
    x = rng.standard_normal((50, 10))
    y = stack.predict(x)

    one = Dense(widths[-1], dtype="float64")
    kernel, bias = np.eye(10), np.zeros(10)
    for layer in stack.layers:
        kernel, bias = kernel @ layer.params["kernel"], bias @ layer.params["kernel"] + layer.params["bias"]
    one.params.update(kernel=kernel, bias=bias)
    wanted = f"difference at most {ROUNDING:.0e}"
    error = np.abs(one(x) - y).max()
    lecture.check("three dense layers and their product", wanted, error, error <= ROUNDING, LINEAR)
    rank = np.linalg.matrix_rank(kernel)
    lecture.check("rank of 10 -> 20 -> 3 -> 12", "3", rank, rank == 3, "rank(A B) <= rank(A), rank(B)")

    def bend(model):
        return np.abs(model.predict(x) + model.predict(-x) - 2 * model.predict(np.zeros((1, 10)))).max()

    straight = bend(stack)
    lecture.check("f(x) + f(-x) - 2 f(0), linear", f"at most {ROUNDING:.0e}", straight, straight <= ROUNDING, LINEAR)
    bent = bend(fc.Sequential([Dense(width, activation="relu", **options) for width in widths]))
    lecture.check("f(x) + f(-x) - 2 f(0), with ReLU", "above 0.01", bent, bent > 0.01, LINEAR)


def check_convolutions(lecture):
    """Join two convolutions to one, by kernels and by matrices."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 9, 10))
    v, w = rng.standard_normal((4, 2, 3, 3)), rng.standard_normal((5, 4, 3, 3))
    y = F.conv2d(F.conv2d(x, v), w)
    # Each kernel of w as an image of channels m, convolved (so flipped) with those of v.
    joint = F.conv2d(w, v.swapaxes(0, 1)[:, :, ::-1, ::-1], padding=2)
    wanted = f"difference at most {ROUNDING:.0e}"
    error = np.abs(F.conv2d(x, joint) - y).max()
    name = f"3x3 after 3x3 and one {joint.shape[2]}x{joint.shape[3]} convolution"
    lecture.check(name, wanted, error, error <= ROUNDING, KERNELS)
    product = toeplitz_matrix(w, (4, 7, 8)) @ toeplitz_matrix(v, (2, 9, 10))
    error = np.abs(product - toeplitz_matrix(joint, (2, 9, 10))).max()
    lecture.check("M(w) M(v) and M(u)", wanted, error, error <= ROUNDING, KERNELS)
    bent = np.abs(F.conv2d(F.relu(F.conv2d(x, v)), w) - y).max()
    lecture.check("with a ReLU in between", "difference above 0.01", bent, bent > 0.01, KERNELS)


def depth(model):
    """Return the length of the longest path from an input to an output, in layers."""
    graph = model.graph
    depths = graph.walk([0] * len(graph.inputs), lambda node, inputs: [max(inputs) + 1] * len(node.shapes))
    return max(depths[graph.reference(tensor)] for tensor in graph.outputs)


def paths(node):
    """Yield the lengths of all the paths from inputs to a node, one by one."""
    if not node.inputs:
        yield 0
    for tensor in node.inputs:
        for length in paths(tensor.node):
            yield length + 1


def logistic_regression():
    """Return sigmoid(w1 x1 + w2 x2) of products, a sum and a sigmoid."""
    w1, x1, w2, x2 = (Input((1,)) for _ in range(4))
    return fc.Model([w1, x1, w2, x2], Activation("sigmoid")(Add()([Multiply()([w1, x1]), Multiply()([w2, x2])])))


def one_step():
    """Return the same as one step."""
    x = Input((2,))
    return fc.Model(x, Dense(1, activation="sigmoid")(x))


def residual(blocks):
    """Return a chain of residual blocks of two convolutions and a sum each."""
    x = y = Input((8, 8, 4))
    for _ in range(blocks):
        y = Add()([y, Conv2D(4, 3, padding="same")(Conv2D(4, 3, padding="same", activation="relu")(y))])
    return fc.Model(x, y)


def densely_connected(layers):
    """Return a block each of whose layers sees all before it."""
    tensors = [Input((8, 8, 2))]
    for _ in range(layers):
        joined = Concatenate()(tensors) if len(tensors) > 1 else tensors[0]
        tensors.append(Conv2D(2, 3, padding="same")(joined))
    return fc.Model(tensors[0], tensors[-1])


def check_depth(lecture):
    """Compare depths with those by hand, and with the longest of all the paths."""
    cases = {
        "logistic regression in products, sums, sigmoids": (logistic_regression(), 3, BOOK),
        "logistic regression as a step": (one_step(), 1, BOOK),
        "5 residual blocks of 2 convolutions and a sum": (residual(5), 15, "3 x 5; arXiv:1512.03385"),
        "6 densely connected layers": (densely_connected(6), 11, "6 + 5 joints; arXiv:1608.06993"),
    }
    for name, (model, wanted, source) in cases.items():
        got = depth(model)
        lengths = [length for tensor in model.graph.outputs for length in paths(tensor.node)]
        text = f"{got}, the longest of {len(lengths)} paths has {max(lengths)}"
        lecture.check(f"depth, {name}", str(wanted), text, got == wanted == max(lengths), source)
    deep = depth(residual(100))
    lecture.check("depth, 100 blocks with 2^100 paths", "300", deep, deep == 300, "3 x 100")


def main() -> int:
    """Check the figures."""
    lecture = Lecture("A stack of linear layers is one linear layer; the depth of a network")
    check_dense(lecture)
    check_convolutions(lecture)
    check_depth(lecture)
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
