r"""Backpropagation line by line: logistic regression, and a network of two sigmoid layers.

Of one sample with inputs x_j and the target y* of 0 or 1, J is the cross-entropy. Each line of the backward pass takes
the gradient above it, times one slope.

**Logistic regression**

    forward                                        backward
    J = -(y* log y + (1 - y*) log(1 - y))          dJ/dy = (1 - y*)/(1 - y) - y*/y
    y = 1/(1 + exp(-a))                            dJ/da = dJ/dy * exp(-a)/(1 + exp(-a))^2
    a = sum_j theta_j x_j                          dJ/dtheta_j = dJ/da * x_j,  dJ/dx_j = dJ/da * theta_j

The slope of the sigmoid is y (1 - y), so dJ/da = (1 - y*) y - y* (1 - y) = y - y*: what is left of the first two lines.

**Two layers**

    J as above                                     dJ/dy as above
    y = 1/(1 + exp(-b))                            dJ/db = dJ/dy * exp(-b)/(1 + exp(-b))^2
    b = sum_j beta_j z_j                           dJ/dbeta_j = dJ/db * z_j,  dJ/dz_j = dJ/db * beta_j
    z_j = 1/(1 + exp(-a_j))                        dJ/da_j = dJ/dz_j * exp(-a_j)/(1 + exp(-a_j))^2
    a_j = sum_i alpha_ji x_i                       dJ/dalpha_ji = dJ/da_j * x_i,  dJ/dx_i = sum_j dJ/da_j alpha_ji

Every line is compared with the gradient functions of `fastconv.functional`, those of weights and inputs with what
layers compute, and all with the complex step (see differentiation.py), which knows nothing of tables.

M. R. Gormley, Introduction to Machine Learning (CMU 10-601), "Backpropagation"; there J is the log-likelihood, with the
other sign.

Run it with ``python examples/backward_tables.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture

import fastconv as fc
import fastconv.functional as F
from fastconv.layers import Dense

SOURCE = "CMU 10-601, Backpropagation"
INPUTS, HIDDEN = 4, 3
STEP = 1e-20
ROUNDING = 1e-14


def sigmoid(a):
    """Return 1/(1 + exp(-a)), also of complex numbers."""
    return 1 / (1 + np.exp(-a))


def sigmoid_slope(a):
    """Return its slope as the table has it."""
    return np.exp(-a) / (1 + np.exp(-a)) ** 2


def cross_entropy(y, target):
    """Return J."""
    return -(target * np.log(y) + (1 - target) * np.log(1 - y))


def by_complex_step(function, point):
    """Return the gradient of a function, one entry after the other."""
    gradient = np.empty(point.shape)
    for place in np.ndindex(point.shape):
        moved = np.array(point, complex)
        moved[place] += 1j * STEP
        gradient[place] = np.imag(function(moved)).item() / STEP
    return gradient


def logistic_table(x, theta, target):
    """Return the results of the forward pass and the gradients, by their names."""
    a = theta @ x
    y = sigmoid(a)
    grads = {"y": (1 - target) / (1 - y) - target / y}
    grads["a"] = grads["y"] * sigmoid_slope(a)
    grads["theta"] = grads["a"] * x
    grads["x"] = grads["a"] * theta
    return {"x": x, "theta": theta, "a": a, "y": y}, grads


def two_layer_table(x, alpha, beta, target):
    """Return the results of the forward pass and the gradients, by their names."""
    a = alpha @ x
    z = sigmoid(a)
    b = beta @ z
    y = sigmoid(b)
    grads = {"y": (1 - target) / (1 - y) - target / y}
    grads["b"] = grads["y"] * sigmoid_slope(b)
    grads["beta"] = grads["b"] * z
    grads["z"] = grads["b"] * beta
    grads["a"] = grads["z"] * sigmoid_slope(a)
    grads["alpha"] = np.outer(grads["a"], x)
    grads["x"] = alpha.T @ grads["a"]
    return {"x": x, "alpha": alpha, "a": a, "z": z, "beta": beta, "b": b, "y": y}, grads


def print_table(results, grads):
    """Print values and gradients, the last result first, as the backward pass runs."""
    for name in grads:
        value, gradient = (
            np.array2string(np.asarray(v), precision=4, separator=" ") for v in (results[name], grads[name])
        )
        print(f"  {name} = {value}".replace("\n", "") + f", dJ/d{name} = {gradient}".replace("\n", ""))


def compare(lecture, network, way, grads, expected):
    """Note the largest difference between a table's gradients and those of another way."""
    worst = max(np.abs(np.reshape(expected[name], np.shape(grads[name])) - grads[name]).max() for name in expected)
    name = f"{network}: {', '.join(f'dJ/d{name}' for name in expected)} {way}"
    lecture.check(name, f"difference at most {ROUNDING:.0e}", float(worst), worst <= ROUNDING, SOURCE)


def layer_gradients(layers, x, target):
    """Return the gradients of the kernels of a stack of layers, and that of its input."""
    y = x[None]
    for layer in layers:
        y = layer.forward(y, training=True)
    _, grad = fc.losses.BinaryCrossentropy().with_gradient(np.array([[target]]), y)
    for layer in reversed(layers):
        grad = layer.backward(grad)
    return [layer.grads["kernel"].T for layer in layers], grad[0]


def dense(kernel):
    """Return a sigmoid layer without bias that has a kernel of shape (outputs, inputs)."""
    layer = Dense(len(kernel), activation="sigmoid", use_bias=False, dtype="float64")
    layer.params["kernel"] = kernel.T.copy()
    return layer


def check_logistic(lecture, x, theta, target):
    """Check logistic regression for one target."""
    network = f"logistic regression, y* = {target:.0f}"
    results, grads = logistic_table(x, theta, target)
    print(f" {network}")
    print_table(results, grads)
    shorter = float(abs(grads["a"] - (results["y"] - target)))
    lecture.check(
        f"{network}: dJ/da = y - y*", f"difference at most {ROUNDING:.0e}", shorter, shorter <= ROUNDING, SOURCE
    )

    grad_y = F.binary_cross_entropy_backward(1.0, results["y"][None], [target])
    grad_a = F.sigmoid_backward(grad_y, results["a"][None])
    grad_x, grad_theta, _ = F.linear_backward(grad_a[None], x[None], theta[None])
    expected = {"y": grad_y, "a": grad_a, "theta": grad_theta, "x": grad_x}
    compare(lecture, network, "and fastconv.functional", grads, expected)
    (grad_theta,), grad_x = layer_gradients([dense(theta[None])], x, target)
    compare(lecture, network, "and layers", grads, {"theta": grad_theta, "x": grad_x})
    stepped = {
        "y": by_complex_step(lambda y: cross_entropy(y, target), results["y"]),
        "a": by_complex_step(lambda a: cross_entropy(sigmoid(a), target), results["a"]),
        "theta": by_complex_step(lambda theta: cross_entropy(sigmoid(theta @ x), target), theta),
        "x": by_complex_step(lambda x: cross_entropy(sigmoid(theta @ x), target), x),
    }
    compare(lecture, network, "and complex steps", grads, stepped)


def check_two_layers(lecture, x, alpha, beta, target):
    """Check the network of two layers for one target."""
    network = f"two layers, y* = {target:.0f}"
    results, grads = two_layer_table(x, alpha, beta, target)
    print(f" {network}")
    print_table(results, grads)

    grad_y = F.binary_cross_entropy_backward(1.0, results["y"][None], [target])
    grad_b = F.sigmoid_backward(grad_y, results["b"][None])
    grad_z, grad_beta, _ = F.linear_backward(grad_b[None], results["z"][None], beta[None])
    grad_a = F.sigmoid_backward(grad_z, results["a"][None])
    grad_x, grad_alpha, _ = F.linear_backward(grad_a, x[None], alpha)
    expected = {"y": grad_y, "b": grad_b, "beta": grad_beta, "z": grad_z, "a": grad_a, "alpha": grad_alpha, "x": grad_x}
    compare(lecture, network, "and fastconv.functional", grads, expected)
    (grad_alpha, grad_beta), grad_x = layer_gradients([dense(alpha), dense(beta[None])], x, target)
    compare(lecture, network, "and layers", grads, {"alpha": grad_alpha, "beta": grad_beta, "x": grad_x})

    def after_z(z, beta=beta):
        return cross_entropy(sigmoid(beta @ z), target)

    stepped = {
        "y": by_complex_step(lambda y: cross_entropy(y, target), results["y"]),
        "b": by_complex_step(lambda b: cross_entropy(sigmoid(b), target), results["b"]),
        "beta": by_complex_step(lambda beta: after_z(results["z"], beta), beta),
        "z": by_complex_step(after_z, results["z"]),
        "a": by_complex_step(lambda a: after_z(sigmoid(a)), results["a"]),
        "alpha": by_complex_step(lambda alpha: after_z(sigmoid(alpha @ x)), alpha),
        "x": by_complex_step(lambda x: after_z(sigmoid(alpha @ x)), x),
    }
    compare(lecture, network, "and complex steps", grads, stepped)


def main() -> int:
    """Check both tables for both targets."""
    lecture = Lecture("The backward tables of logistic regression and of a two-layer sigmoid network")
    rng = np.random.default_rng(10601)
    x, theta = rng.standard_normal((2, INPUTS))
    alpha, beta = rng.standard_normal((HIDDEN, INPUTS)), rng.standard_normal(HIDDEN)
    for target in (0.0, 1.0):
        check_logistic(lecture, x, theta, target)
        check_two_layers(lecture, x, alpha, beta, target)
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
