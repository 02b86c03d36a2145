"""What happens around the epochs and batches of `fit`: recording, stopping, saving, showing progress."""

from fastconv.callbacks.base import Callback, CallbackList, LambdaCallback, Logs
from fastconv.callbacks.checkpoint import ModelCheckpoint
from fastconv.callbacks.history import CSVLogger, History
from fastconv.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from fastconv.callbacks.progress import EpochPrinter, ProgressBar, track
from fastconv.callbacks.stopping import EarlyStopping, TerminateOnNaN

__all__ = [
    "Callback",
    "CallbackList",
    "LambdaCallback",
    "History",
    "CSVLogger",
    "ModelCheckpoint",
    "EarlyStopping",
    "TerminateOnNaN",
    "LearningRateScheduler",
    "ReduceLROnPlateau",
    "ProgressBar",
    "EpochPrinter",
    "Logs",
    "track",
]
