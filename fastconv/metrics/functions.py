"""Functions of all targets and predictions of a data set at once.

Labels are class numbers from 0. Wherever a function takes predicted labels it also takes what a network returned, with
one axis more than the labels, and reads the class with the largest output from it.
"""

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv import losses
from fastconv._numbers import count
from fastconv.metrics import _targets

Array = NDArray[Any]
Average = Literal["macro", "micro", "weighted"]


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the share of samples whose class was predicted.

    Parameters
    ----------
    y_true : array_like of int
        Labels, shape ``(n,)``.
    y_pred : array_like
        Labels, or outputs of shape ``(n, classes)``.

    Raises
    ------
    TypeError
        If labels are not integers.
    ValueError
        If shapes do not fit, or there are no labels.

    Examples
    --------
    >>> accuracy([1, 0], [[0.2, 0.8], [0.1, 0.9]])
    0.5
    """
    true, predicted, _ = _labels("accuracy", y_true, y_pred)
    return float(np.mean(true == predicted))


def top_k(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> float:
    """Return the share of samples whose class is among the `k` with the largest outputs.

    A class counts as among them when fewer than `k` classes have a larger output; none does where an output is NaN.

    Parameters
    ----------
    y_true : array_like
        Labels, shape ``(n,)``, or one-hot rows, shape ``(n, classes)``.
    y_pred : array_like
        Probabilities or logits, shape ``(n, classes)``.
    k : int

    Raises
    ------
    ValueError
        If shapes do not fit, there are no samples, a label is out of range, or `k` is less than 1.

    Examples
    --------
    >>> top_k([2, 0], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], k=2)
    0.5
    """
    k = count("top_k: k", k, 1)
    outputs = _outputs("top_k", y_pred)
    return float(np.mean(_targets.in_top_k("top_k: y_true", np.asarray(y_true), outputs, k)))


def cross_entropy(y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False) -> float:
    """Return the mean of ``-log(p)`` over the samples, ``p`` the probability that was given to their class.

    Parameters
    ----------
    y_true : array_like
        Labels, shape ``(n,)``, or rows of probabilities (one-hot, as a rule), shape ``(n, classes)``.
    y_pred : array_like
        Probabilities, kept within 1e-7 of 0 and 1, or logits; shape ``(n, classes)``.
    from_logits : bool
        Which of the two.

    Raises
    ------
    ValueError
        If shapes do not fit, there are no samples, or a label is out of range.

    Examples
    --------
    >>> round(cross_entropy([0, 1], [[0.5, 0.5], [0.25, 0.75]]), 4)
    0.4904
    """
    true, outputs = np.asarray(y_true), _outputs("cross_entropy", y_pred)
    if true.shape == outputs.shape:
        return float(losses.CategoricalCrossentropy(from_logits)(true, outputs))
    numbers = _targets.labels("cross_entropy: y_true", true, outputs)
    return float(losses.SparseCategoricalCrossentropy(from_logits)(numbers, outputs))


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, num_classes: int | None = None) -> NDArray[np.int64]:
    """Count how often each class was taken for each: row ``i``, column ``j`` counts class ``i`` predicted as ``j``.

    Parameters
    ----------
    y_true : array_like of int
        Labels from 0 to ``num_classes - 1``.
    y_pred : array_like
        Labels in the same shape, or outputs of shape ``(*y_true.shape, classes)``.
    num_classes : int, optional
        By default as many as there are outputs, or the largest label plus one.

    Raises
    ------
    TypeError
        If labels are not integers.
    ValueError
        If shapes differ or a label is out of range.

    Examples
    --------
    >>> confusion_matrix([0, 1, 1], [0, 0, 1])
    array([[1, 0],
           [1, 1]])
    """
    true, predicted, classes = _labels("confusion_matrix", y_true, y_pred, num_classes, least=0)
    cells = true * classes + predicted
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64, copy=False)


def cohen_kappa(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    r"""Return Cohen's kappa, the agreement beyond that of chance, by scikit-learn.

    .. math:: \kappa = (p_o - p_e) / (1 - p_e)

    with :math:`p_o` the accuracy and :math:`p_e` what guesses of the same frequencies would reach. NaN where both know
    only one class, the same.

    Parameters
    ----------
    y_true, y_pred : array_like
        As for `accuracy`.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    TypeError, ValueError
        As `accuracy`.

    References
    ----------
    J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20, 1960.

    Examples
    --------
    >>> round(cohen_kappa([0, 0, 1, 1], [0, 0, 1, 0]), 4)
    0.5
    """
    true, predicted, _ = _labels("cohen_kappa", y_true, y_pred)
    return float(_score("cohen_kappa", "cohen_kappa_score", true, predicted))


def matthews_corrcoef(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    r"""Return Matthews' correlation coefficient, by scikit-learn.

    From -1 to 1, 0 for guesses; for two classes

    .. math:: (tp \, tn - fp \, fn) / \sqrt{(tp + fp) (tp + fn) (tn + fp) (tn + fn)}

    and for more the :math:`R_K` of Gorodkin. 0 where one of the two knows only one class.

    Parameters
    ----------
    y_true, y_pred : array_like
        As for `accuracy`.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    TypeError, ValueError
        As `accuracy`.

    References
    ----------
    J. Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient", Computational Biology
    and Chemistry 28, 2004.

    Examples
    --------
    >>> round(matthews_corrcoef([0, 0, 1, 1], [0, 0, 1, 0]), 4)
    0.5774
    """
    true, predicted, _ = _labels("matthews_corrcoef", y_true, y_pred)
    return float(_score("matthews_corrcoef", "matthews_corrcoef", true, predicted))


def precision(
    y_true: ArrayLike, y_pred: ArrayLike, average: Average | None = "macro", num_classes: int | None = None
) -> Any:
    """Return how many of the samples predicted as a class are of it, ``tp / (tp + fp)``, by scikit-learn.

    Parameters
    ----------
    y_true, y_pred : array_like
        As for `accuracy`.
    average : {"macro", "micro", "weighted"} or None
        The mean of the classes that occur, "weighted" by how often they do; "micro" counts all samples together, which
        makes it the accuracy. None for each class by itself.
    num_classes : int, optional
        With ``average=None``, of how many classes; by default as for `confusion_matrix`.

    Returns
    -------
    float or ndarray, shape (num_classes,)
        0 for a class that was never predicted.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    TypeError, ValueError
        As `accuracy`; also for another `average`.

    Examples
    --------
    >>> precision([0, 1, 1, 1], [0, 0, 1, 1], average=None)
    array([0.5, 1. ])
    """
    return _by_class("precision", "precision_score", y_true, y_pred, average, num_classes)


def recall(
    y_true: ArrayLike, y_pred: ArrayLike, average: Average | None = "macro", num_classes: int | None = None
) -> Any:
    """Return how many of the samples of a class were found, ``tp / (tp + fn)``, by scikit-learn.

    Arguments, result and errors are those of `precision`; 0 for a class that does not occur.

    Examples
    --------
    >>> recall([0, 1, 1, 1], [0, 0, 1, 1], average="micro")
    0.75
    """
    return _by_class("recall", "recall_score", y_true, y_pred, average, num_classes)


def f1(y_true: ArrayLike, y_pred: ArrayLike, average: Average | None = "macro", num_classes: int | None = None) -> Any:
    """Return the harmonic mean of precision and recall, ``2 tp / (2 tp + fp + fn)``, by scikit-learn.

    Arguments, result and errors are those of `precision`; 0 for a class that neither occurs nor was predicted.

    Examples
    --------
    >>> f1([0, 1, 1, 1], [0, 0, 1, 1], average=None).round(4)
    array([0.6667, 0.8   ])
    """
    return _by_class("f1", "f1_score", y_true, y_pred, average, num_classes)


def _by_class(
    function: str, score: str, y_true: ArrayLike, y_pred: ArrayLike, average: object, num_classes: int | None
) -> Any:
    if average not in ("macro", "micro", "weighted", None):
        raise ValueError(f"{function}: average must be 'macro', 'micro', 'weighted' or None, got {average!r}")
    true, predicted, classes = _labels(function, y_true, y_pred, num_classes)
    labels = np.arange(classes) if average is None else None
    result = _score(function, score, true, predicted, labels=labels, average=average, zero_division=0)
    return result if average is None else float(result)


def _score(function: str, score: str, true: Array, predicted: Array, **options: Any) -> Any:
    """Call a function of scikit-learn, without its warnings of labels with one class: our docstrings say what comes."""
    try:
        from sklearn import metrics
    except ImportError as error:
        raise ImportError(f'{function} needs scikit-learn: pip install "fastconv[demo]"') from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(metrics, score)(true, predicted, **options)


def _outputs(function: str, y_pred: ArrayLike) -> Array:
    outputs = np.asarray(y_pred)
    if outputs.ndim < 2 or outputs.size == 0:
        raise ValueError(f"{function}: y_pred must have shape (n, classes), at least (1, 1), got {outputs.shape}")
    return outputs


def _labels(
    function: str, y_true: ArrayLike, y_pred: ArrayLike, num_classes: int | None = None, least: int = 1
) -> tuple[Array, Array, int]:
    """Return true and predicted labels, flat and checked, at least as many as `least`, and the number of classes."""
    true, predicted = np.asarray(y_true), np.asarray(y_pred)
    outputs = predicted.shape[-1] if predicted.ndim == true.ndim + 1 and predicted.shape[-1] else None
    if outputs is not None:
        predicted = predicted.argmax(axis=-1)
    if true.shape != predicted.shape:
        raise ValueError(f"{function}: y_pred must have y_true's shape {true.shape}, got {np.shape(y_pred)}")
    if true.size < least:
        raise ValueError(f"{function}: y_true must hold at least one label, got none")
    pairs = {"y_true": true, "y_pred": predicted}
    for name, labels in pairs.items():
        if labels.size and labels.dtype.kind not in "iu":
            raise TypeError(f"{function}: {name} must hold integers, got {labels.dtype}")
    if num_classes is None:
        num_classes = outputs or 1 + max((int(labels.max()) for labels in pairs.values() if labels.size), default=-1)
    for name, labels in pairs.items():
        _targets.check_range(f"{function}: {name}", labels, num_classes)
    return true.astype(np.intp).ravel(), predicted.astype(np.intp).ravel(), num_classes
