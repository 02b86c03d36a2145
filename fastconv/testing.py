"""Tools to check a layer or a function: how far rounding may take a result, and whether a gradient is one.

The package's own tests use them; so may yours, for layers of your own.
"""

import copy
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]

# The factor k of `error_bound`, by algorithm. Each of t products and the sums over them are rounded once, so the error
# is below t * eps/2 / (1 - t * eps/2) of the sum of absolute products in any order of summation (Higham, Accuracy and
# Stability of Numerical Algorithms, 2002, section 3.1); twice that leaves room for the bias and the store.
# Winograd's transforms add up numbers that cancel later, and the worst case is far from any data: its factors are
# measured. The largest k over 4,000 random float32 convolutions with 1 to 33 channels and images of 1 to 13 pixels a
# side, normally distributed, all passes, was 0.9 for winograd_2x2 and 5.8 for winograd_4x4 (direct: 0.2). Four times
# that is allowed.
_FACTORS = {
    "direct": 1.0,
    "im2col": 1.0,
    "toeplitz": 1.0,
    "toeplitz_full": 1.0,
    "winograd_2x2": 4.0,
    "winograd_4x4": 24.0,
    "winograd": 24.0,
    "auto": 24.0,
}
# Those whose error at one element depends on all the products of its tile.
_MIXING = ("winograd_2x2", "winograd_4x4", "winograd", "auto")


def error_bound(
    absolute_sum: ArrayLike, terms: int, dtype: DTypeLike = np.float32, algorithm: str = "direct"
) -> NDArray[np.float64]:
    r"""Bound the rounding error of sums of products, element by element.

    .. math:: |computed - exact| \le k \cdot terms \cdot eps \cdot \sum |x| |w| + terms \cdot tiny / eps

    The second part is for subnormal numbers, which count as zero in the core; it covers factors up to 1 / eps.

    With Winograd, and "auto" that may take it, the largest sum of absolute products stands in for that of each element:
    the error of one output depends on all the inputs and weights of its tile. Their k is measured on random data, four
    times the largest that was seen, and is no proof.

    Parameters
    ----------
    absolute_sum : array_like
        The same operation on absolute values, in float64: for a convolution `conv2d(|x|, |w|, |bias|)`.
    terms : int
        Products added for one result: for a convolution kernel height x width x input channels in a group, and one
        for a bias.
    dtype : dtype
        What the operation computes in, or the result's dtype where that is less precise.
    algorithm : str
        Chooses k: 1 for "direct", "im2col", "toeplitz" and "toeplitz_full", 4 for "winograd_2x2", 24 for
        "winograd_4x4", "winograd" and "auto".

    Returns
    -------
    ndarray of float64
        In the shape of `absolute_sum`.

    Raises
    ------
    ValueError
        For an algorithm that has no bound.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.testing import error_bound
    >>> x = np.array([1.0, 1e8, -1e8], np.float32)
    >>> w = np.ones(3, np.float32)
    >>> bool(abs((x * w).sum() - 1.0) <= error_bound(np.abs(x) @ np.abs(w), terms=3))
    True
    """
    if algorithm not in _FACTORS:
        raise ValueError(f"error_bound: algorithm must be one of {', '.join(_FACTORS)}, got {algorithm!r}")
    info = np.finfo(np.dtype(dtype))
    eps, tiny = float(info.eps), float(info.tiny)
    sums = np.asarray(absolute_sum, dtype=np.float64)
    if algorithm in _MIXING and sums.size:
        sums = np.full(sums.shape, sums.max())
    return _FACTORS[algorithm] * terms * eps * sums + terms * tiny / eps


def check_gradient(
    layer_or_function: Any,
    inputs: ArrayLike | tuple[ArrayLike | None, ...],
    *,
    backward: Callable[..., Any] | None = None,
    directions: int = 3,
    step: float = 1e-5,
    rtol: float = 1e-6,
    seed: int = 0,
    **options: Any,
) -> None:
    r"""Compare gradients with differences, in float64.

    For the scalar :math:`L = \sum gy \cdot f(\ldots)` with a random gy, and for random directions d of each argument a

    .. math:: \sum \frac{\partial L}{\partial a} \cdot d \approx \frac{L(a + h d) - L(a - h d)}{2 h}

    One direction covers all elements of an argument at once, so the cost does not grow with their number.

    Parameters
    ----------
    layer_or_function : layer or callable
        A layer has `forward(x, training)`, `backward(grad_y)`, `params` and `grads`; a float64 copy of it is checked,
        with its input and all its parameters, and it must give the same output for the same input (a layer that draws
        random numbers does not). A function `f(*inputs, **options)` comes with
        `f_backward(grad_output, *inputs, **options)`, which returns the gradient of each array argument: one array, or
        a tuple.
    inputs : array_like or tuple of array_like
        The arguments of a function; one array for a layer, a tuple for one of several inputs. None stands for an
        argument that is absent and is not checked. Keep them away from kinks: `max(x, 0)` has no derivative at 0, a
        maximum none where the two largest are equal.
    backward : callable, optional
        The gradient of a function. By default `<name>_backward` from the module of the function.
    directions : int
        Directions tried for each argument.
    step : float
        h; elements of d are normally distributed.
    rtol : float
        Allowed difference of the two numbers, relative to sum(abs(gradient * d)), beyond the rounding error of the
        difference.
    seed : int
        Of gy and d: a failure repeats.
    **options
        Passed to the function and to its gradient.

    Raises
    ------
    AssertionError
        A gradient of another shape, not finite or different from the difference; the text names the argument, the
        direction and both numbers.
    TypeError
        A function whose gradient is not given and not found; a layer with `backward` or options.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.testing import check_gradient
    >>> def cube(x):
    ...     return x**3
    >>> check_gradient(cube, np.array([1.0, 2.0]), backward=lambda gy, x: gy * 3 * x**2)
    >>> check_gradient(cube, np.array([1.0, 2.0]), backward=lambda gy, x: gy * 2 * x**2)
    Traceback (most recent call last):
        ...
    AssertionError: check_gradient: cube, argument 0, direction 0: gradient gives 0.0501..., difference gives 0.0752...
    """
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    if hasattr(layer_or_function, "forward"):
        if backward is not None or options:
            raise TypeError("check_gradient: backward and options must belong to a function, got a layer")
        subject = _layer_subject(layer_or_function, arguments)
    else:
        subject = _function_subject(layer_or_function, arguments, backward, options)
    rng = np.random.default_rng(seed)
    y = np.asarray(subject.value(subject.arguments))
    if y.dtype != np.float64:
        raise AssertionError(f"check_gradient: {subject.name}: output must be float64, got {y.dtype}")
    grad_y = rng.standard_normal(y.shape)
    # Each value of L is rounded to within a few eps of the sum of its absolute terms, and a difference holds two.
    rounding = 16 * np.finfo(np.float64).eps * float(np.abs(grad_y * y).sum()) / step
    gradients = subject.gradients(subject.arguments, grad_y)
    for name, array in subject.arguments.items():
        label = f"check_gradient: {subject.name}, {name}"
        gradient = np.asarray(gradients[name])
        if gradient.shape != array.shape or gradient.dtype == object:
            raise AssertionError(f"{label}: gradient must be an array of shape {array.shape}, got {gradients[name]!r}")
        if not np.isfinite(gradient).all():
            raise AssertionError(f"{label}: gradient must be finite, got {gradient}")
        for number in range(directions):
            direction = rng.standard_normal(array.shape)
            ahead, behind = (
                float((grad_y * subject.value({**subject.arguments, name: array + h * direction})).sum())
                for h in (step, -step)
            )
            difference, product = (ahead - behind) / (2 * step), float((gradient * direction).sum())
            tolerance = rtol * float(np.abs(gradient * direction).sum()) + rounding
            if not abs(difference - product) <= tolerance:
                raise AssertionError(
                    f"{label}, direction {number}: gradient gives {product!r}, difference gives {difference!r}"
                )


_Arguments = Mapping[str, Array]


class _Subject(NamedTuple):
    """What is checked, be it a layer or a function."""

    name: str
    arguments: _Arguments
    value: Callable[[_Arguments], Array]
    gradients: Callable[[_Arguments, Array], Mapping[str, Any]]


def _layer_subject(layer: Any, arguments: tuple[Any, ...]) -> _Subject:
    several = bool(getattr(layer, "several_inputs", False))
    labels = [f"input[{index}]" for index in range(len(arguments))] if several else ["input"]
    inputs = {label: np.asarray(x, dtype=np.float64) for label, x in zip(labels, arguments, strict=True)}
    twin = copy.deepcopy(layer)
    if hasattr(twin, "dtype"):
        twin.dtype = np.dtype(np.float64)

    def forward(values: _Arguments) -> Array:
        x = [values[label] for label in labels]
        y: Array = twin.forward(x if several else x[0], training=True)
        return y

    forward(inputs)
    names = {f"params[{name!r}]": name for name in twin.params}

    def value(values: _Arguments) -> Array:
        twin.params.update({name: values[label] for label, name in names.items()})
        return forward(values)

    def gradients(values: _Arguments, grad_y: Array) -> Mapping[str, Any]:
        value(values)
        grad_x = twin.backward(grad_y)
        found = dict(zip(labels, grad_x if several else [grad_x], strict=True))
        return {**found, **{label: twin.grads.get(name) for label, name in names.items()}}

    params = {label: np.array(twin.params[name], dtype=np.float64) for label, name in names.items()}
    return _Subject(type(layer).__name__, {**inputs, **params}, value, gradients)


def _function_subject(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    backward: Callable[..., Any] | None,
    options: Mapping[str, Any],
) -> _Subject:
    name = getattr(function, "__name__", repr(function))
    if backward is None:
        backward = getattr(sys.modules[function.__module__], f"{name}_backward", None)
    if backward is None:
        raise TypeError(
            f"check_gradient: backward must be given for {name}; {function.__module__} has no {name}_backward"
        )
    derivative = backward
    positions = {f"argument {i}": i for i, argument in enumerate(arguments) if argument is not None}

    def filled(values: _Arguments) -> list[Array | None]:
        return [values.get(f"argument {i}") for i in range(len(arguments))]

    def value(values: _Arguments) -> Array:
        return np.asarray(function(*filled(values), **options))

    def gradients(values: _Arguments, grad_y: Array) -> Mapping[str, Any]:
        found = derivative(grad_y, *filled(values), **options)
        found = found if isinstance(found, tuple) else (found,)
        return {label: found[i] if i < len(found) else None for label, i in positions.items()}

    given = {label: np.array(arguments[i], dtype=np.float64) for label, i in positions.items()}
    return _Subject(name, given, value, gradients)
