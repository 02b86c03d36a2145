"""The area under a curve of two rates, over thresholds."""

# ruff: noqa: D102 - what an overriding method does stands in Metric.

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fastconv._numbers import count
from fastconv.metrics import _targets
from fastconv.metrics.base import Array, Metric

EPSILON = 1e-7


class AUC(Metric):
    """The area under the ROC curve, or under that of precision over recall, through points at some thresholds.

    The ROC curve is that of the true positive rate ``tp / (tp + fn)`` over the false positive rate ``fp / (fp + tn)``:
    the area is the probability that an output of the class is larger than one that is not, as far as the thresholds
    tell them apart. A rate of nothing is 0, as in Keras.

    Parameters
    ----------
    num_thresholds : int
        At least 2: evenly from 0 to 1, the two a little outside.
    curve : {"ROC", "PR"}
    name : str

    Notes
    -----
    Between two points of the ROC curve lies a straight line, of that of precision the hyperbola on which true and
    false positives grow together (Davis and Goadrich 2006), Keras' ``summation_method="interpolation"``. All outputs of
    all samples count alike, as with ``multi_label=False``.

    References
    ----------
    ``keras.metrics.AUC``.

    Examples
    --------
    >>> metric = AUC()
    >>> metric.update_state([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])
    >>> round(metric.result(), 4)
    0.75
    """

    def __init__(self, num_thresholds: int = 200, curve: Literal["ROC", "PR"] = "ROC", name: str = "auc") -> None:
        self.num_thresholds = count("AUC: num_thresholds", num_thresholds, 2)
        if curve not in ("ROC", "PR"):
            raise ValueError(f"AUC: curve must be 'ROC' or 'PR', got {curve!r}")
        self.curve = curve
        self._thresholds = np.linspace(0, 1, self.num_thresholds)
        self._thresholds[[0, -1]] = -EPSILON, 1 + EPSILON
        super().__init__(name)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return above how many thresholds each output is."""
        above: Array = np.searchsorted(self._thresholds, y_pred)
        return above

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        true_values, outputs = np.asarray(y_true), np.asarray(y_pred)
        if outputs.ndim == 1:
            true_values, outputs = true_values.reshape(-1, 1), outputs.reshape(-1, 1)
        true = _targets.rows(f"{self.name}: y_true", true_values, outputs)
        weights = self._weights(1.0 if sample_weight is None else sample_weight, outputs.shape)
        above = self.values(true_values, outputs)
        for counts, chosen in ((self._positive, true), (self._negative, ~true)):
            counts += np.bincount(above[chosen], weights[chosen], minlength=self.num_thresholds + 1)

    def result(self) -> float:
        """Return the area; 0 if there was no batch."""
        # Of thresholds from the lowest to the highest, the weight of the outputs above.
        tp, fp = (np.cumsum(counts[:0:-1])[::-1] for counts in (self._positive, self._negative))
        if self.curve == "ROC":
            recall, fall_out = _ratio(tp, self._positive.sum()), _ratio(fp, self._negative.sum())
            return float(((fall_out[:-1] - fall_out[1:]) * (recall[:-1] + recall[1:])).sum() / 2)
        p = tp + fp
        slope = _ratio(tp[:-1] - tp[1:], p[:-1] - p[1:])
        both = (p[:-1] > 0) & (p[1:] > 0)
        logarithm = np.log(np.divide(p[:-1], p[1:], out=np.ones_like(slope), where=both))
        parts = slope * (tp[:-1] - tp[1:] + (tp[1:] - slope * p[1:]) * logarithm)
        return float(_ratio(parts, self._positive.sum()).sum())

    def reset_state(self) -> None:
        super().reset_state()
        self._positive, self._negative = np.zeros((2, self.num_thresholds + 1))


def _ratio(numerator: Array, denominator: Array | float) -> Array:
    """Return the quotients; 0 where the denominator is not positive."""
    divisor = np.broadcast_to(denominator, numerator.shape)
    quotients: Array = np.divide(numerator, divisor, out=np.zeros(numerator.shape), where=divisor > 0)
    return quotients
