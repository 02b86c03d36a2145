"""When callbacks are called: the base of all, and several as one."""

# ruff: noqa: D102 - what an overriding method does stands in Callback.

from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastconv.trainer import Trainer

Logs = MutableMapping[str, float]
"""Numbers by name. What a callback adds to those of an epoch, the callbacks after it find there."""


class Callback:
    """Base of all callbacks: every method may be overridden, none does anything here.

    Attributes
    ----------
    model : Trainer
        The model in training.
    params : dict
        "epochs" and "steps" of the run, and "samples" of an epoch; what is not known is None.
    """

    model: "Trainer"
    params: dict[str, Any]

    def set_model(self, model: "Trainer") -> None:
        """Take the model, before training begins."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Take what is known of the run, before training begins."""
        self.params = params

    def on_train_begin(self, logs: Logs) -> None:
        """Run once, before the first epoch."""

    def on_train_end(self, logs: Logs) -> None:
        """Run once, after the last epoch, also where an exception or Ctrl-C ends the training."""

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        """Run before an epoch; epochs count from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Run after an epoch and its validation: `logs` has the epoch's loss and metrics."""

    def on_train_batch_begin(self, batch: int, logs: Logs) -> None:
        """Run before a batch; `logs` has its "size"."""

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Run after a batch: `logs` has the means of loss and metrics over the epoch so far."""

    def on_test_begin(self, logs: Logs) -> None:
        """Run before `evaluate`, and before the validation of an epoch of `fit`."""

    def on_test_end(self, logs: Logs) -> None:
        """Run after those: `logs` has loss and metrics."""

    def on_test_batch_begin(self, batch: int, logs: Logs) -> None:
        """Run before a batch of those; `logs` has its "size"."""

    def on_test_batch_end(self, batch: int, logs: Logs) -> None:
        """Run after a batch of those: `logs` has the means of loss and metrics so far."""

    def on_predict_begin(self, logs: Logs) -> None:
        """Run before `predict`."""

    def on_predict_end(self, logs: Logs) -> None:
        """Run after `predict`."""


class LambdaCallback(Callback):
    """A callback made of functions, of one for each method of `Callback`, which says when each is called and with what.

    Examples
    --------
    >>> callback = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    >>> callback.on_epoch_end(0, {"loss": 0.5})
    0 0.5
    """

    def __init__(
        self,
        on_epoch_begin: Callable[[int, Logs], Any] | None = None,
        on_epoch_end: Callable[[int, Logs], Any] | None = None,
        on_train_begin: Callable[[Logs], Any] | None = None,
        on_train_end: Callable[[Logs], Any] | None = None,
        on_train_batch_begin: Callable[[int, Logs], Any] | None = None,
        on_train_batch_end: Callable[[int, Logs], Any] | None = None,
        **others: Callable[..., Any],
    ) -> None:
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **others,
        }
        for name, function in given.items():
            if not (name.startswith("on_") and hasattr(Callback, name)):
                raise TypeError(f"LambdaCallback: there is no {name!r}, see Callback")
            if function is not None:
                setattr(self, name, function)


class CallbackList(Callback):
    """Several callbacks as one."""

    def __init__(self, callbacks: Iterable[Callback], function: str = "fit") -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"{function}: callbacks must hold Callback objects, got {callback!r}")

    def set_model(self, model: "Trainer") -> None:
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        for callback in self.callbacks:
            callback.set_params(params)

    def on_train_begin(self, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_train_begin(logs)

    def on_train_end(self, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_train_end(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_test_begin(logs)

    def on_test_end(self, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_test_end(logs)

    def on_test_batch_begin(self, batch: int, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_test_batch_begin(batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_test_batch_end(batch, logs)

    def on_predict_begin(self, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_predict_begin(logs)

    def on_predict_end(self, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_predict_end(logs)
