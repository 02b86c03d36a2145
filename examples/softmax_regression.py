r"""Softmax regression on photographs: 150,528 inputs, 1,000 classes, and a gradient that is one difference.

An image of 224 x 224 x 3 = 150,528 numbers x; a weight for each of them and each of 1,000 classes, W of shape
1,000 x 150,528, which is 150,528,000 weights; scores z = W x and probabilities y = softmax(z), y_k = exp(z_k) / sum_j
exp(z_j). With a target t of one 1, the loss is cross-entropy, J = -sum_k t_k ln y_k = -z_t + ln sum_j exp(z_j). So

    dJ/dz_k = -t_k + exp(z_k) / sum_j exp(z_j),   dJ/dz = softmax(W x) - t
    dJ/dW_ki = dJ/dz_k x_i,                       dJ/dW = (softmax(W x) - t) x^T

The same in two steps: dy_j/dz_k = y_j ([j = k] - y_k) is a whole matrix, dJ/dy_j = -t_j/y_j, and their product is
softmax(z) - t again, but divides by y_j first, which may be zero.

To check all weights one by one would take 150 million losses. A random direction D checks all at once: the slope of J
along D is the sum of all products of gradient and D,

    (J(W + h D) - J(W - h D)) / (2h) = sum_ki dJ/dW_ki D_ki + O(h^2)

and a gradient with a mistake in it is right for no random D. The layer computes in float32. Differences need more
digits: J is computed from the same weights in float64, in blocks of inputs, since a copy of W in float64 takes 1.2 GB.

C. Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3.4, equation 4.109.

With --small: images of 32 x 32 x 3 and 100 classes.

Run it with ``python examples/softmax_regression.py``. It exits with 1 if a figure does not hold; it takes 2.5 GB.
"""

import sys

import numpy as np
from lecture import Lecture

import fastconv.functional as F
from fastconv.layers import Dense

BISHOP = "Bishop 2006, equation 4.109"
SLOPE = "central differences"
BLOCK = 4096
DIRECTIONS = 3

# In parts of the largest number: float32 rounds each product, and sums of 150,528 of them, to a few 1e-6 of x W.
ROUNDING = 1e-5
# In parts of the gradient's and the direction's length: a wrong gradient is off by about 1.
SLOPE_ERROR = 1e-4
STEP = 1e-4


def scores_along(x, kernel, direction, steps):
    """Return scores for weights moved along a direction by each step, in float64."""
    scores = np.zeros((len(steps), kernel.shape[1]))
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        moved = direction[block].astype(np.float64)
        for row, step in zip(scores, steps, strict=True):
            row += x[block].astype(np.float64) @ (kernel[block] + step * moved)
    return scores


def check_gradient(lecture, layer, x, label):
    """Compare the layer's gradient with the formula; return it."""
    z = layer.forward(x[None], training=True)
    grad_z = F.cross_entropy_backward(1.0, z, [label])
    layer.backward(grad_z, needs_input=False)
    gradient = layer.grads["kernel"]

    target = np.eye(layer.units)[label]
    kernel = layer.params["kernel"]
    exact = scores_along(x, kernel, kernel, [0.0])[0]  # not moved at all
    exponentials = np.exp(exact - exact.max())
    difference = exponentials / exponentials.sum() - target
    error = float(np.abs(grad_z[0] - difference).max())
    lecture.check("dJ/dz = softmax(Wx) - t", f"difference at most {ROUNDING:.0e}", error, error <= ROUNDING, BISHOP)

    y = F.softmax(exact[None])
    grad_y = -target / y
    error = float(np.abs(F.softmax_backward(grad_y, exact[None], output=y) - difference).max())
    lecture.check("dJ/dz through dy/dz, in float64", "difference at most 1e-12", error, error <= 1e-12, BISHOP)

    error = max(
        float(np.abs(gradient[start : start + BLOCK] - np.outer(x[start : start + BLOCK], difference)).max())
        for start in range(0, len(x), BLOCK)
    )
    name = f"dJ/dW = (softmax(Wx) - t) x^T, all {gradient.size:,}"
    lecture.check(name, f"difference at most {ROUNDING:.0e}", error, error <= ROUNDING, BISHOP)
    return gradient


def check_directions(lecture, layer, x, label, gradient):
    """Compare slopes along random directions with differences of the loss."""
    for seed in range(DIRECTIONS):
        direction = np.random.default_rng(seed).standard_normal(gradient.shape, np.float32)
        above, below = F.cross_entropy(
            scores_along(x, layer.params["kernel"], direction, [STEP, -STEP]), [label, label], reduction="none"
        )
        measured = float(above - below) / (2 * STEP)
        slope = float(np.vdot(gradient, direction))
        # A random direction has a slope of about the gradient's length.
        error = abs(slope - measured) / float(np.linalg.norm(gradient))
        text = f"{slope:.5f} and {measured:.5f}: {error:.1e}"
        name = f"slope by gradient and by differences, direction {seed}"
        lecture.check(name, f"apart by at most {SLOPE_ERROR:.0e} of |dJ/dW|", text, error <= SLOPE_ERROR, SLOPE)


def check_wrong_gradient(lecture, layer, x, label, gradient):
    """Show that the check sees a mistake: the gradient without - t."""
    direction = np.random.default_rng(DIRECTIONS).standard_normal(gradient.shape, np.float32)
    length = float(np.linalg.norm(gradient))
    right = float(np.vdot(gradient, direction))
    # Without - t, the gradient of the right class is larger by x.
    wrong = right + float(x @ direction[:, label])
    error = abs(wrong - right) / length
    name = "softmax(Wx) x^T, without - t, along a random direction"
    lecture.check(name, "off by more than 0.01 of |dJ/dW|", error, error > 0.01, "a gradient with a mistake")


def main() -> int:
    """Check the gradient of one image."""
    lecture = Lecture("Softmax regression: the gradient softmax(Wx) - t, and random directions")
    side, classes = (32, 100) if lecture.small else (224, 1000)
    inputs = side * side * 3
    rng = np.random.default_rng(0)
    x = rng.random(inputs, np.float32)
    label = 7
    layer = Dense(classes, use_bias=False)
    layer.build((None, inputs))
    wanted = 307_200 if lecture.small else 150_528_000
    count = layer.count_params()
    name = f"weights of {inputs:,} inputs and {classes:,} classes"
    lecture.check(name, f"{wanted:,}", f"{count:,}", count == wanted, "224 x 224 x 3 x 1,000")
    gradient = check_gradient(lecture, layer, x, label)
    check_directions(lecture, layer, x, label, gradient)
    check_wrong_gradient(lecture, layer, x, label, gradient)
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
