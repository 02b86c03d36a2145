r"""Four ways to differentiate a program, on J = cos(sin(x^2) + 3 x^2).

By hand, dJ/dx = -sin(sin(x^2) + 3 x^2) (cos(x^2) + 3) 2x. A program that computes J can do it as well:

**Finite differences** (f(x + h) - f(x))/h have an error of about |f''| h/2, and (f(x + h) - f(x - h))/(2h) one of
|f'''| h^2/6. But the numerator is a difference of nearly equal numbers, so rounding adds eps |f|/h: a smaller h is
better only down to about eps^(1/2) = 1e-8, and eps^(1/3) = 6e-6.

**Complex step**: f(x + ih) = f(x) + ih f'(x) - h^2 f''(x)/2 - ..., so f'(x) = Im f(x + ih)/h with an error of h^2, and
no difference: h may be 1e-20 (W. Squire, G. Trapp, SIAM Review 40, 1998).

**Dual numbers** (forward mode) a + b e with e^2 = 0 compute exactly with the first two terms of that series:
(a + b e)(c + d e) = ac + (ad + bc) e, and f(a + b e) = f(a) + f'(a) b e. With 1 for b, the result carries f'(x).

**Reverse mode** first computes all intermediate results, then from the last to the first the gradient of J by each,
as the chain rule says: the gradients by a result's users, times their slopes, added up. With n inputs it costs no more;
the other three cost n times as much. It is how networks learn:

    forward                backward
    J = cos(u)             dJ/du  = -sin(u)
    u = u1 + u2            dJ/du1 = dJ/du * 1           dJ/du2 = dJ/du * 1
    u1 = sin(t)            dJ/dt  = dJ/du1 cos(t)  (a first part)
    u2 = 3 t               dJ/dt += dJ/du2 * 3     (and the other)
    t = x^2                dJ/dx  = dJ/dt * 2x

The example is that of M. R. Gormley, Introduction to Machine Learning (CMU 10-601), "Backpropagation". On all four:
A. Baydin et al., "Automatic Differentiation in Machine Learning: a Survey", arXiv:1502.05767.

Run it with ``python examples/differentiation.py``. It exits with 1 if a figure does not hold.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from lecture import Lecture
from matplotlib.figure import Figure

SURVEY = "arXiv:1502.05767"
HAND = "chain rule by hand"
X = 1.3
EPS = np.finfo(float).eps


def program(x, sin=np.sin, cos=np.cos):
    """Compute J; x may be a number, a complex number or whatever else can be added and multiplied."""
    t = x * x
    return cos(sin(t) + t * 3)


def by_hand(x):
    """Return dJ/dx."""
    return -np.sin(np.sin(x**2) + 3 * x**2) * (np.cos(x**2) + 3) * 2 * x


# Differences and the complex step.


def forward_difference(x, h):
    """Return the slope from x to x + h."""
    return (program(x + h) - program(x)) / h


def central_difference(x, h):
    """Return the slope from x - h to x + h."""
    return (program(x + h) - program(x - h)) / (2 * h)


def complex_step(x, h):
    """Return the slope along the imaginary axis."""
    return program(complex(x, h)).imag / h


# Forward mode.


@dataclass
class Dual:
    """A value and its derivative by x."""

    value: float
    slope: float = 0.0

    def __add__(self, other):
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.value * other.value, self.value * other.slope + self.slope * other.value)


def dual_sin(a):
    """Return the sine of a dual number."""
    return Dual(np.sin(a.value), np.cos(a.value) * a.slope)


def dual_cos(a):
    """Return the cosine of a dual number."""
    return Dual(np.cos(a.value), -np.sin(a.value) * a.slope)


# Reverse mode.


@dataclass(eq=False)
class Variable:
    """A result: its value, what it was made of with the slope by each, and later the gradient of J by it."""

    value: float
    sources: list[tuple["Variable", float]] = field(default_factory=list)
    gradient: float = 0.0

    def __add__(self, other):
        return Variable(self.value + other.value, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        other = other if isinstance(other, Variable) else Variable(other)
        return Variable(self.value * other.value, [(self, other.value), (other, self.value)])


def variable_sin(a):
    """Return the sine of a variable."""
    return Variable(np.sin(a.value), [(a, np.cos(a.value))])


def variable_cos(a):
    """Return the cosine of a variable."""
    return Variable(np.cos(a.value), [(a, -np.sin(a.value))])


def backpropagate(result):
    """Fill the gradients of all that a result is made of."""
    order: dict[Variable, None] = {}

    def visit(variable):
        if variable not in order:
            for source, _ in variable.sources:
                visit(source)
            order[variable] = None

    visit(result)
    result.gradient = 1.0
    # Backwards, so that a variable has heard from all its users before it reports to its sources.
    for variable in reversed(order):
        for source, slope in variable.sources:
            source.gradient += variable.gradient * slope


def check_table(lecture):
    """Print the table of results and gradients, and compare it with the one by hand."""
    x = Variable(X)
    t = x * x
    u1, u2 = variable_sin(t), t * 3
    u = u1 + u2
    j = variable_cos(u)
    backpropagate(j)

    du = -np.sin(u.value)
    dt = du * 1 * np.cos(t.value) + du * 1 * 3
    table = [
        ("J = cos(u)", j, 1.0),
        ("u = u1 + u2", u, du),
        ("u1 = sin(t)", u1, du),
        ("u2 = 3 t", u2, du),
        ("t = x^2", t, dt),
        ("x", x, dt * 2 * X),
    ]
    print(f"  {'result':12} {'value':>10} {'dJ by it':>10} {'by hand':>10}")
    for name, variable, expected in table:
        print(f"  {name:12} {variable.value:10.6f} {variable.gradient:10.6f} {expected:10.6f}")
    worst = max(abs(variable.gradient - expected) for _, variable, expected in table)
    wanted = "difference at most 1e-14"
    lecture.check("six intermediate gradients of reverse mode", wanted, worst, worst <= 1e-14, HAND)


def error(got, x=X):
    """Return the error of a derivative, in parts of it."""
    return float(abs(got - by_hand(x)) / abs(by_hand(x)))


def reverse(x):
    """Return dJ/dx by reverse mode."""
    variable = Variable(x)
    backpropagate(program(variable, variable_sin, variable_cos))
    return variable.gradient


def check_exact(lecture):
    """Compare the ways that round only, at many places."""
    ways: dict[str, Callable[[float], float]] = {
        "complex step of 1e-20": lambda x: complex_step(x, 1e-20),
        "dual numbers": lambda x: program(Dual(x, 1.0), dual_sin, dual_cos).slope,
        "reverse mode": reverse,
    }
    places = np.linspace(-2, 2, 101)
    scale = np.abs(by_hand(places)).max()
    for name, way in ways.items():
        worst = float(max(abs(way(x) - by_hand(x)) for x in places) / scale)
        lecture.check(f"{name}, 101 places", "error at most 1e-14", worst, worst <= 1e-14, SURVEY)


def check_differences(lecture):
    """Follow the error of differences as h shrinks; return steps and errors by name."""
    steps = 10.0 ** np.arange(-1, -16.25, -0.5)
    ways = {"forward": forward_difference, "central": central_difference, "complex step": complex_step}
    errors = {name: np.array([error(way(X, h)) for h in steps]) for name, way in ways.items()}

    def order(name, coarse, fine):
        a, b = (errors[name][np.isclose(steps, h)][0] for h in (coarse, fine))
        return float(np.log(a / b) / np.log(coarse / fine))

    for name, coarse, fine, wanted in (
        ("forward", 1e-3, 1e-6, 1),
        ("central", 1e-2, 1e-4, 2),
        ("complex step", 1e-2, 1e-5, 2),
    ):
        power = order(name, coarse, fine)
        text = f"error falls as h^{wanted}, within 0.1"
        lecture.check(f"{name}: power of h", text, power, abs(power - wanted) < 0.1, "Taylor's series")
    for name, least, most in (("forward", 1e-10, 1e-6), ("central", 1e-13, 1e-9)):
        best = float(errors[name].min())
        at = steps[errors[name].argmin()]
        text = f"{least:.0e} to {most:.0e}"
        lecture.check(f"{name}: least error, at h = {at:.0e}", text, best, least <= best <= most, "rounding adds eps/h")
    last = float(errors["forward"][-1])
    lecture.check("forward: error at h = 1e-16", "above 0.1: digits are gone", last, last > 0.1, "rounding adds eps/h")
    return steps, errors


def draw(steps, errors):
    """Draw errors over steps."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in errors.items():
        axes.loglog(steps, np.maximum(values, EPS / 4), "o-", markersize=3, label=name)
    axes.axhline(EPS, color="0.7", linewidth=0.8)
    axes.set(xlabel="step h", ylabel="relative error of dJ/dx")
    axes.legend(frameon=False)
    return figure


def main() -> int:
    """Check the figures and draw them."""
    lecture = Lecture("Differences, complex step, dual numbers and reverse mode on J = cos(sin(x^2) + 3 x^2)")
    check_table(lecture)
    check_exact(lecture)
    lecture.picture(draw(*check_differences(lecture)), "errors")
    return lecture.finish()


if __name__ == "__main__":
    sys.exit(main())
