r"""A shallow ReLU network bends a line once for each unit: more units, a better fit.

A network of one input, D hidden ReLU units and one output is

    f(x) = phi_0 + sum_d phi_d max(0, theta_d0 + theta_d1 x)

Each unit is a straight line that is cut off at zero, at the joint x = -theta_d0 / theta_d1. The sum is a continuous
function of at most D + 1 straight pieces, and every such function is such a sum. So any continuous function on an
interval is met as closely as one likes by enough units: the universal approximation theorem (G. Cybenko, 1989, and
K. Hornik, 1991, for sigmoids; M. Leshno et al., 1993, for whatever is no polynomial). S. Prince, Understanding Deep
Learning, 2023, chapter 3.

Here D = 3, 10, 30 and 100 units learn f(x) = sin(2 pi x) + sin(5 pi x)/2 on [-1, 1] from 200 points. The error is the
mean square of what is left, in parts of the variance of f: 1 for the best constant.

Settings, fixed beforehand: joints start uniformly spread over [-1, 1]; Adam with a rate that falls from 0.01 to zero
along half a cosine, 10,000 epochs of all 200 points at once (300 with --small, and only 3 and 30 units), seed 0; the
last epoch counts. The error is measured at 1,001 points, most of them between those of the training.

Run it with ``python examples/shallow_networks.py``. It exits with 1 if a figure does not hold.
"""

import sys
from itertools import pairwise

import numpy as np
from lecture import Lecture
from matplotlib.figure import Figure

import fastconv as fc
from fastconv.layers import Dense

PRINCE = "Prince 2023, chapter 3"
X = np.linspace(-1, 1, 200)[:, None]
BETWEEN = np.linspace(-1, 1, 1001)[:, None]


def curve(x):
    """Return the function to be learnt."""
    return np.sin(2 * np.pi * x) + 0.5 * np.sin(5 * np.pi * x)


def network(units):
    """Return a shallow network whose joints lie in [-1, 1]."""
    rng = np.random.default_rng(0)
    hidden = Dense(units, activation="relu")
    slopes = rng.choice([-3.0, 3.0], units)
    hidden.params.update(kernel=slopes[None], bias=-slopes * rng.uniform(-1, 1, units))
    model = fc.Sequential([hidden, Dense(1, kernel_initializer=fc.initializers.GlorotUniform(seed=0))])
    model.build((None, 1))
    return model


def fit(units, epochs):
    """Return a trained network."""
    model = network(units)
    model.compile(fc.optimizers.Adam(fc.schedules.CosineDecay(0.01, epochs)), "mean_squared_error")
    model.fit(X, curve(X), batch_size=len(X), epochs=epochs, verbose=0, seed=0)
    return model


def error(model):
    """Return the mean squared error in parts of the function's variance."""
    wanted = curve(BETWEEN)
    return float(np.mean((model.predict(BETWEEN) - wanted) ** 2) / wanted.var())


def pieces(model):
    """Return the number of straight pieces on [-1, 1], by the joints of the units."""
    hidden = model.layers[0].params
    joints = -hidden["bias"] / hidden["kernel"][0]
    return 1 + len(np.unique(joints[np.abs(joints) < 1]))


def check_joint_form(lecture, model):
    """Compare a network with the straight pieces between its joints."""
    hidden = model.layers[0].params
    joints = np.sort(-hidden["bias"] / hidden["kernel"][0])
    corners = np.unique(np.concatenate([[-1], joints[np.abs(joints) < 1], [1]]))[:, None]
    straight = np.interp(BETWEEN[:, 0], corners[:, 0], model.predict(corners)[:, 0])
    difference = float(np.abs(straight - model.predict(BETWEEN)[:, 0]).max())
    lecture.check(
        "the network, and straight lines between its joints",
        "difference at most 1e-4",
        difference,
        difference <= 1e-4,
        PRINCE,
    )


def draw(models):
    """Draw the fits."""
    figure = Figure(figsize=(3 * len(models), 2.8), layout="constrained")
    for axes, (units, model) in zip(figure.subplots(1, len(models), sharey=True), models.items(), strict=True):
        axes.plot(BETWEEN, curve(BETWEEN), color="0.7", linewidth=3)
        axes.plot(BETWEEN, model.predict(BETWEEN), color="C0")
        axes.set(title=f"{units} units: {100 * error(model):.2g}% of the variance", xlabel="x")
    return figure


def main() -> int:
    """Train the networks and compare their errors."""
    lecture = Lecture("Shallow ReLU networks: more units, a better fit")
    widths, epochs = ((3, 30), 300) if lecture.small else ((3, 10, 30, 100), 10_000)
    models = {units: fit(units, epochs) for units in widths}
    errors = [error(model) for model in models.values()]
    for units, value in zip(widths, errors, strict=True):
        print(f"  {units} units: {value:.5f} of the variance, {pieces(models[units])} pieces")
    name = f"error of {', '.join(map(str, widths))} units, in parts of the variance"
    falling = all(after < before for before, after in pairwise(errors))
    lecture.check(name, "falling", ", ".join(f"{value:.2g}" for value in errors), falling, PRINCE)
    least = 0.5 if lecture.small else 0.01
    lecture.check(f"error of {widths[-1]} units", f"below {least}", errors[-1], errors[-1] < least, PRINCE)
    check_joint_form(lecture, models[widths[-1]])
    lecture.picture(draw(models), "fits")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
