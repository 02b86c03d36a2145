r"""Maximum likelihood and cross-entropy are one thing, and what its loss surface looks like.

**A worked case.** A coin falls 7 times heads out of n = 10. Under heads with probability p that has the probability

    likelihood       L(p) = p^7 (1 - p)^3
    its negative log  -ln L(p) = -7 ln p - 3 ln(1 - p)
    cross-entropy     H(q, p) = -0.7 ln p - 0.3 ln(1 - p)   with q = (0.7, 0.3), the shares that were seen
    KL divergence     KL(q || p) = 0.7 ln(0.7 / p) + 0.3 ln(0.3 / (1 - p))

The logarithm rises, so the largest likelihood is the least -ln L. That is n H(q, p). And H(q, p) = H(q) + KL(q || p)
where the entropy H(q) = 0.6109 does not depend on p. So all four have their best p in one place: the derivative
-0.7/p + 0.3/(1 - p) is zero at p = 0.7. A network whose last layer is a sigmoid finds it by gradient descent on the
cross-entropy: by its input z the derivative is sigmoid(z) - 0.7.

I. Goodfellow, Y. Bengio, A. Courville, Deep Learning, 2016, sections 3.13 and 5.5.

**Loss surfaces.** A network with two weights, y = sigmoid(w_2 tanh(w_1 x)), one in each layer, shall tell positive x
from negative. Over its weights, the quadratic loss has wide plateaus where it is wrong and hardly any slope;
cross-entropy is steep there (X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
networks", 2010, figure 5). For one layer, y = sigmoid(w x + b), cross-entropy is convex: its second derivative along a
direction d is the mean of y (1 - y) (d_1 x + d_2)^2, never below zero. That of the quadratic loss is not.

Run it with ``python examples/likelihood.py``. It exits with 1 if a figure does not hold.
"""

import sys

import numpy as np
from lecture import Lecture
from matplotlib.figure import Figure

import fastconv as fc
import fastconv.functional as F
from fastconv.layers import Dense

TOSSES = np.array([1.0, 1, 1, 1, 1, 1, 1, 0, 0, 0])
SHARES = np.array([0.7, 0.3])
GRID = np.linspace(0.001, 0.999, 999)
IDENTITIES = "Goodfellow et al. 2016, section 5.5"
GLOROT = "Glorot, Bengio 2010, figure 5"

# Sums of ten logarithms up to 7.
ROUNDING = 1e-12


def criteria():
    """Return the four as functions on the grid of probabilities, the likelihood with a minus: all to be least."""
    heads = int(TOSSES.sum())
    pairs = np.stack([GRID, 1 - GRID], axis=1)
    return {
        "minus likelihood": -(GRID**heads) * (1 - GRID) ** (len(TOSSES) - heads),
        "negative log-likelihood": np.array(
            [F.binary_cross_entropy(np.full(10, p), TOSSES, reduction="sum") for p in GRID]
        ),
        "cross-entropy": np.array([F.cross_entropy(np.log(pair), SHARES) for pair in pairs]),
        "KL divergence": np.array([F.kl_div(np.log(pair), SHARES, reduction="sum") for pair in pairs]),
    }


def check_bernoulli(lecture):
    """Find where each is least and compare them with each other; return them."""
    found = criteria()
    for name, values in found.items():
        best = float(GRID[values.argmin()])
        lecture.check(f"best p by {name}", "0.7", best, abs(best - 0.7) < 1e-9, IDENTITIES)
    likelihood, negative_log, entropy, divergence = found.values()
    errors = {
        "-ln L = the sum of binary cross-entropies": -np.log(-likelihood) - negative_log,
        "-ln L = n H(q, p)": negative_log - 10 * entropy,
        "H(q, p) - KL(q || p) = H(q) = 0.6109": entropy - divergence + (SHARES * np.log(SHARES)).sum(),
    }
    for name, difference in errors.items():
        error = np.abs(difference).max()
        wanted = f"on 999 p, difference at most {ROUNDING:.0e}"
        lecture.check(name, wanted, error, error <= ROUNDING, IDENTITIES)
    lecture.check("least KL divergence", "0", float(divergence.min()), abs(divergence.min()) < ROUNDING, IDENTITIES)
    return found


def check_learnt(lecture):
    """Let a network of one bias learn the coin: 200 steps of gradient descent."""
    x = np.zeros((len(TOSSES), 1))
    model = fc.Sequential([Dense(1, activation="sigmoid", dtype="float64", input_shape=(1,))])
    model.compile(fc.optimizers.SGD(1.0), "binary_crossentropy")
    model.fit(x, TOSSES[:, None], batch_size=len(TOSSES), epochs=200, verbose=0, seed=0)
    learnt = float(model.predict(x[:1])[0, 0])
    lecture.check("p learnt by gradient descent on cross-entropy", "0.7", learnt, abs(learnt - 0.7) < 1e-6, IDENTITIES)


X = np.concatenate([np.linspace(-2, -0.2, 20), np.linspace(0.2, 2, 20)])
T = (X > 0).astype(float)


def surfaces(logits):
    """Return mean quadratic loss and mean cross-entropy for logits (..., 40)."""
    y = F.sigmoid(logits)
    targets = np.broadcast_to(T, logits.shape)
    return (
        F.mse_loss(y, targets, reduction="none").mean(-1),
        F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(-1),
    )


def two_layers(side):
    """Return weights -6 to 6, and both losses over them, of one weight in each of two layers."""
    weights = np.linspace(-6, 6, side)
    w1, w2 = np.meshgrid(weights, weights, indexing="ij")
    return weights, surfaces(w2[..., None] * np.tanh(w1[..., None] * X))


def check_surfaces(lecture, weights, losses):
    """Compare the slopes where the network is sure and wrong, and convexity for one layer."""
    step = weights[1] - weights[0]
    quadratic, entropy = (np.hypot(*np.gradient(loss, step))[2, -3] for loss in losses)
    ratio = float(entropy / quadratic)
    name = "slope of cross-entropy in parts of the quadratic's, at weights that are wrong"
    lecture.check(name, "at least 10", ratio, ratio >= 10, GLOROT)

    rng = np.random.default_rng(0)
    centre, direction = rng.uniform(-5, 5, (2000, 2, 1)), rng.standard_normal((2000, 2, 1))
    h = 0.1

    def along(offset):
        weight, bias = np.moveaxis(centre + offset * direction, 1, 0)
        return surfaces(weight * X + bias)

    before, middle, after = along(-h), along(0), along(h)
    second = [float(((b + a - 2 * m) / h**2).min()) for b, m, a in zip(before, middle, after, strict=True)]
    wanted = "at least -1e-9"
    name = "least of 2,000 second differences, one layer, cross-entropy"
    lecture.check(name, wanted, second[1], second[1] >= -1e-9, "convex: mean of y (1 - y) (d1 x + d2)^2")
    name = "least of 2,000 second differences, one layer, quadratic"
    lecture.check(name, "below -0.01", second[0], second[0] < -0.01, "not convex")


def draw(found, weights, losses):
    """Draw the four criteria and both surfaces."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    axes = figure.add_subplot(1, 3, 1)
    for name, values in found.items():
        axes.plot(GRID, values / np.abs(values).max() if name == "minus likelihood" else values, label=name)
    axes.axvline(0.7, color="0.7", linewidth=0.8)
    axes.set(xlabel="p", ylim=(-1.1, 20), title="7 heads of 10 (likelihood scaled to 1)")
    axes.legend(frameon=False, loc="upper center")
    grid = np.meshgrid(weights, weights, indexing="ij")
    for place, title, loss in zip((2, 3), ("quadratic loss", "cross-entropy"), losses, strict=True):
        axes = figure.add_subplot(1, 3, place, projection="3d")
        axes.plot_surface(*grid, loss, cmap="viridis", linewidth=0)
        axes.set(xlabel="$w_1$", ylabel="$w_2$", title=title)
        axes.view_init(25, -60)
    return figure


def main() -> int:
    """Check the figures and draw them."""
    lecture = Lecture("Maximum likelihood = least cross-entropy = least KL divergence; two loss surfaces")
    found = check_bernoulli(lecture)
    check_learnt(lecture)
    weights, losses = two_layers(61)
    check_surfaces(lecture, weights, losses)
    lecture.picture(draw(found, weights, losses), "surfaces")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
