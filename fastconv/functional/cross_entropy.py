"""Cross-entropy of classes, from logits or log-probabilities, its gradients, and class numbers as rows."""

import operator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastconv._checks import Array, channels_last, check_shape, deliver, number, to_array
from fastconv._memory import empty
from fastconv.functional._reduction import Reduction, check_reduction, operands, reduced, spread
from fastconv.functional.softmax import log_softmax, log_softmax_backward


def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Cross-entropy of the softmax of logits, for targets given as labels or as probabilities.

    .. math::

        l_n = -\sum_c w_c \, t_{nc} \log p_{nc}, \quad p_n = \mathrm{softmax}(x_n)

    A label :math:`k` stands for :math:`t_k = 1`. Label smoothing :math:`\epsilon` turns :math:`t_{nc}` into
    :math:`(1 - \epsilon) \, t_{nc} + \epsilon / C` for :math:`C` classes; with labels the first term is weighted by
    :math:`w_k`.

    Parameters
    ----------
    input : array_like
        Logits, shape ``(C,)``, ``(n, C)`` or ``(n, C, ...)``; with "channels_last" ``(n, ..., C)``.
    target : array_like
        Labels from 0 to ``C - 1``, of the input's shape without the axis of classes; or probabilities, of the input's
        shape.
    weight : array_like, optional
        Factors :math:`w` of the classes, shape ``(C,)``.
    ignore_index : int
        Samples with this label count neither in the sum nor in the divisor of the mean. It may lie outside of the
        labels. It has no meaning for probabilities.
    reduction : {"mean", "sum", "none"}
        "mean" divides the sum by the sum of the labels' weights, which is the number of samples without `weight`; for
        probabilities always by the number of samples.
    label_smoothing : float
        From 0 to 1.
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    ndarray
        Of shape ``()``, or with "none" of the input's shape without the axis of classes. Its dtype is
        ``np.result_type`` of all arrays but labels; integers and booleans are promoted by
        ``np.result_type(..., np.float32)``, float16 is computed in float32. The mean of no samples is NaN.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; labels that are no integers.
    ValueError
        Shapes that do not fit, a label out of range, an unknown `reduction`, a `label_smoothing` out of range.

    See Also
    --------
    cross_entropy_backward : the gradient.
    nll_loss : the same from log-probabilities.

    Notes
    -----
    Finite for any finite input. With further axes and channels first the input is copied once.

    References
    ----------
    ``torch.nn.functional.cross_entropy``. C. Szegedy et al., "Rethinking the Inception Architecture for Computer
    Vision", CVPR 2016 (label smoothing).

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.cross_entropy([[0.0, 0.0], [8.0, 0.0]], [0, 1], reduction="none").round(4)
    array([0.6931, 8.0003])
    """
    problem = _problem(
        "cross_entropy", None, input, target, weight, ignore_index, reduction, label_smoothing, data_format
    )
    return problem.loss(log_softmax(problem.rows))


def cross_entropy_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of `cross_entropy` by its input, :math:`p_{nc} \sum_k w_k t_{nk} - w_c t_{nc}`.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the loss: a scalar, or with ``reduction="none"`` of the loss's shape. A Python number takes the
        dtype of the other arrays.
    input, target, weight, ignore_index, reduction, label_smoothing, data_format
        As they were given to `cross_entropy`.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type`` of all arrays but labels by the rule of `cross_entropy`. Zero for ignored
        samples.

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`; also a `grad_output` of another shape than the loss.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.cross_entropy_backward(1.0, [[0.0, 0.0], [1000.0, 0.0]], [0, 1])
    array([[-0.25,  0.25],
           [ 0.5 , -0.5 ]])
    """
    name = "cross_entropy_backward"
    problem = _problem(name, grad_output, input, target, weight, ignore_index, reduction, label_smoothing, data_format)
    log_p = log_softmax(problem.rows)
    return problem.gradient(log_softmax_backward(problem.gradient_rows(), None, output=log_p))


def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Negative log-likelihood of labels, :math:`l_n = -w_k x_{nk}` for the label :math:`k` of sample :math:`n`.

    Parameters
    ----------
    input : array_like
        Log-probabilities, as `log_softmax` gives them, in the shapes of `cross_entropy`.
    target : array_like of int
        Labels from 0 to ``C - 1``, of the input's shape without the axis of classes.
    weight, ignore_index, reduction, data_format
        As for `cross_entropy`.

    Returns
    -------
    ndarray
        As of `cross_entropy`.

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy`.

    See Also
    --------
    nll_loss_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.nll_loss``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.nll_loss(np.log([[0.25, 0.75], [0.5, 0.5]]), [1, 0], reduction="none").round(4)
    array([0.2877, 0.6931])
    """
    problem = _problem("nll_loss", None, input, target, weight, ignore_index, reduction, 0.0, data_format, True)
    return problem.loss(problem.rows)


def nll_loss_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of `nll_loss` by its input: :math:`-w_k` at the labels, 0 elsewhere.

    Parameters, results and errors are those of `cross_entropy_backward` and `nll_loss`.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.nll_loss_backward(1.0, [[-1.0, -1.0], [-1.0, -1.0]], [1, 0])
    array([[ 0. , -0.5],
           [-0.5,  0. ]])
    """
    name = "nll_loss_backward"
    problem = _problem(name, grad_output, input, target, weight, ignore_index, reduction, 0.0, data_format, True)
    return problem.gradient(problem.gradient_rows())


class _Labels(NamedTuple):
    """Targets given as the index of a class."""

    labels: Array  # (rows, 1), 0 where a sample is ignored
    kept: Array  # (rows,), False where a sample is ignored
    weight: Array | None
    smoothing: float

    def row_weights(self, dtype: Any) -> Array:
        """Return the weight of each row's label, 0 where it is ignored."""
        weights = self.kept if self.weight is None else np.where(self.kept, self.weight[self.labels[:, 0]], 0)
        converted: Array = weights.astype(dtype, copy=False)
        return converted

    def divisor(self, dtype: Any) -> float:
        return float(np.count_nonzero(self.kept) if self.weight is None else self.row_weights(dtype).sum())

    def values(self, log_p: Array) -> Array:
        at_label = log_p[np.arange(len(log_p)), self.labels[:, 0]]  # half the time of np.take_along_axis
        values = -(1 - self.smoothing) * at_label * self.row_weights(log_p.dtype)
        if self.smoothing:
            weighted = log_p if self.weight is None else log_p * self.weight
            values -= self.smoothing / log_p.shape[1] * weighted.sum(axis=1)
        # Whatever stands in the row of an ignored sample, NaN included.
        return np.where(self.kept, values, values.dtype.type(0))

    def gradient(self, row_gradients: Array, classes: int) -> Array:
        gradient = empty((len(self.labels), classes), row_gradients.dtype)
        if self.smoothing:
            spread_out = -self.smoothing / classes * np.where(self.kept, row_gradients, 0)[:, np.newaxis]
            gradient[...] = spread_out if self.weight is None else spread_out * self.weight
        else:
            gradient.fill(0)
        at_label = (self.smoothing - 1) * row_gradients * self.row_weights(row_gradients.dtype)
        gradient[np.arange(len(gradient)), self.labels[:, 0]] += at_label
        return gradient


class _Probabilities(NamedTuple):
    """Targets given as a distribution over the classes, smoothed and weighted."""

    targets: Array  # (rows, classes)

    def divisor(self, dtype: Any) -> float:
        return len(self.targets)

    def values(self, log_p: Array) -> Array:
        values: Array = -np.einsum("rc,rc->r", self.targets, log_p)
        return values

    def gradient(self, row_gradients: Array, classes: int) -> Array:
        gradient = empty(self.targets.shape, self.targets.dtype)
        np.multiply(self.targets, -row_gradients[:, np.newaxis], out=gradient)
        return gradient


class _Problem(NamedTuple):
    """Classes as rows: one for each sample, or each pixel of it."""

    function: str
    rows: Array
    targets: _Labels | _Probabilities
    grad_output: Array | None
    reduction: str
    last: bool  # whether the input has the classes last
    input_shape: tuple[int, ...]
    result: np.dtype[Any]

    def loss(self, log_p: Array) -> Array:
        values = self.targets.values(log_p).reshape(self._loss_shape())
        return reduced(values, self.reduction, self.targets.divisor(log_p.dtype), self.result)

    def gradient_rows(self) -> Array:
        """Return the gradient of the logarithms of the probabilities, in rows."""
        grad_output = to_array(self.function, "grad_output", self.grad_output)
        dtype = self.rows.dtype
        divisor = self.targets.divisor(dtype)
        single = spread(self.function, grad_output, self.reduction, divisor, self._loss_shape())
        return self.targets.gradient(np.broadcast_to(single.reshape(-1), len(self.rows)), self.rows.shape[1])

    def gradient(self, rows: Array) -> Array:
        """Return rows as an array of the input's shape."""
        if self.last or len(self.input_shape) <= 2:
            return deliver(rows.reshape(self.input_shape), None, self.result)
        n, classes, *rest = self.input_shape
        gradient = empty(self.input_shape, self.result)
        gradient[...] = np.moveaxis(rows.reshape(n, *rest, classes), -1, 1)
        return gradient

    def _loss_shape(self) -> tuple[int, ...]:
        return _without_classes(self.input_shape, self.last)


def _problem(
    function: str,
    grad_output: Any,
    input: Any,
    target: Any,
    weight: Any,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
    data_format: str,
    labels_only: bool = False,
) -> _Problem:
    check_reduction(function, reduction)
    smoothing = number(function, "label_smoothing", label_smoothing)
    if not 0 <= smoothing <= 1:
        raise ValueError(f"{function}: label_smoothing must be from 0 to 1, got {label_smoothing!r}")
    last = channels_last(function, data_format)
    input, target = to_array(function, "input", input), to_array(function, "target", target)
    probabilities = not labels_only and target.shape == input.shape
    (gy, x, w, t), result = operands(
        function,
        ("grad_output", "weight", "target"),
        grad_output=grad_output,
        input=input,
        weight=weight,
        target=target if probabilities else None,
    )
    if x.ndim == 0:
        raise ValueError(f"{function}: input must have an axis of classes, got a scalar")
    classes = x.shape[_class_axis(x.ndim, last)]
    if w is not None:
        check_shape(function, "weight", w, (classes,), f" for {classes} classes")
    targets: _Labels | _Probabilities
    if probabilities:
        rows = _as_rows(t, last)
        if smoothing:
            rows = rows * (1 - smoothing) + smoothing / classes
        targets = _Probabilities(rows if w is None else rows * w)
    else:
        labels, kept = _labels(function, target, _without_classes(x.shape, last), classes, ignore_index)
        targets = _Labels(labels, kept, w, smoothing)
    return _Problem(function, _as_rows(x, last), targets, gy, reduction, last, x.shape, result)


def _labels(
    function: str, labels: Array, shape: tuple[int, ...], classes: int, ignore_index: int
) -> tuple[Array, Array]:
    """Return labels as a column, 0 where they are ignored, and which are not."""
    try:
        ignored = operator.index(ignore_index)
    except TypeError:
        raise TypeError(f"{function}: ignore_index must be an integer, got {ignore_index!r}") from None
    check_shape(function, "target", labels, shape, ", that of input without the axis of classes")
    if labels.dtype.kind not in "iu" and labels.size:
        raise TypeError(f"{function}: target must hold integers, the labels, got {labels.dtype}")
    labels = labels.reshape(-1)
    kept = labels != ignored
    labels = np.where(kept, labels, 0).astype(np.intp)
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        bad = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(f"{function}: target must hold labels from 0 to {classes - 1}, got {bad}")
    return labels[:, np.newaxis], kept


def _class_axis(axes: int, last: bool) -> int:
    return axes - 1 if last or axes == 1 else 1


def _without_classes(shape: tuple[int, ...], last: bool) -> tuple[int, ...]:
    axis = _class_axis(len(shape), last)
    return shape[:axis] + shape[axis + 1 :]


def _as_rows(array: Array, last: bool) -> Array:
    axis = _class_axis(array.ndim, last)
    moved = array if axis == array.ndim - 1 else np.moveaxis(array, axis, -1)
    return np.ascontiguousarray(moved).reshape(-1, array.shape[axis])


def one_hot(input: ArrayLike, num_classes: int = -1) -> Array:
    """Class numbers as rows that hold 1 at the class and 0 elsewhere: ``y[..., k] = 1 if x[...] == k else 0``.

    Parameters
    ----------
    input : array_like of int
        Class numbers from 0 to ``num_classes - 1``, of any shape.
    num_classes : int
        How many there are; by default, -1, the largest in `input` plus one.

    Returns
    -------
    ndarray of int64
        Shape ``(*input.shape, num_classes)``.

    Raises
    ------
    TypeError
        If the input does not hold integers, or `num_classes` is none.
    ValueError
        If a class number is out of range; an empty input without `num_classes`.

    See Also
    --------
    fastconv.utils.to_categorical : the same in float32, as Keras has it.

    References
    ----------
    ``torch.nn.functional.one_hot``.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.one_hot([0, 2])
    array([[1, 0, 0],
           [0, 0, 1]])
    """
    labels = to_array("one_hot", "input", input)
    if labels.dtype.kind not in "iu" and labels.size:
        raise TypeError(f"one_hot: input must hold integers, got {labels.dtype}")
    classes = _one_hot_classes(labels, num_classes)
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        bad = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(f"one_hot: input must hold class numbers from 0 to {classes - 1}, got {bad}")
    rows = np.zeros((labels.size, classes), np.int64)
    rows[np.arange(labels.size), labels.ravel().astype(np.intp)] = 1
    return rows.reshape(*labels.shape, classes)


def _one_hot_classes(labels: Array, num_classes: Any) -> int:
    if isinstance(num_classes, bool | np.bool_) or not isinstance(num_classes, int | np.integer):
        raise TypeError(f"one_hot: num_classes must be an integer, got {num_classes!r}")
    if num_classes != -1 and num_classes < 1:
        raise ValueError(f"one_hot: num_classes must be -1 or at least 1, got {num_classes}")
    if num_classes == -1 and not labels.size:
        raise ValueError(f"one_hot: num_classes must be given for an input without values, got shape {labels.shape}")
    return max(int(labels.max()) + 1, 1) if num_classes == -1 else int(num_classes)
