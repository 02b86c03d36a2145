"""How good predictions are: metrics that a model follows batch by batch, and functions of whole label arrays.

Accuracy, top-k, cross-entropy and the confusion matrix need NumPy only. Cohen's kappa, Matthews' correlation,
precision, recall and F1 are scikit-learn's.
"""

from fastconv.metrics.area import AUC
from fastconv.metrics.base import MeanMetric, Metric
from fastconv.metrics.functions import (
    accuracy,
    cohen_kappa,
    confusion_matrix,
    cross_entropy,
    f1,
    matthews_corrcoef,
    precision,
    recall,
    top_k,
)
from fastconv.metrics.streaming import (
    CLASSES,
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    Crossentropy,
    MeanAbsoluteError,
    MeanSquaredError,
    Precision,
    Recall,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    TopKAccuracy,
    TopKCategoricalAccuracy,
    get,
)

__all__ = [
    "accuracy",
    "top_k",
    "cross_entropy",
    "confusion_matrix",
    "cohen_kappa",
    "matthews_corrcoef",
    "precision",
    "recall",
    "f1",
    "Metric",
    "MeanMetric",
    "Accuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "BinaryAccuracy",
    "TopKAccuracy",
    "TopKCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "Crossentropy",
    "CategoricalCrossentropy",
    "SparseCategoricalCrossentropy",
    "BinaryCrossentropy",
    "AUC",
    "Precision",
    "Recall",
    "MeanSquaredError",
    "RootMeanSquaredError",
    "MeanAbsoluteError",
    "CLASSES",
    "get",
]
