"""Training, evaluation and prediction: what every kind of model does alike."""

import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv import losses, optimizers
from fastconv import metrics as metrics_
from fastconv._checks import to_array
from fastconv._random import check_seed, fresh_seed, generator
from fastconv.callbacks import Callback, CallbackList, EpochPrinter, History, ProgressBar, track
from fastconv.data import ArrayData, Batch, Data, check_batch_size, combine_weights, make_data, samples_of
from fastconv.executor import Executor, Inspect
from fastconv.layers.base import Array, Layer
from fastconv.losses import Loss
from fastconv.metrics import Metric
from fastconv.optimizers import Optimizer

Verbose = Literal["auto", 0, 1, 2]


class Trainer(ABC):
    """A model that can be trained; a subclass says what its layers are and how they are connected.

    Attributes
    ----------
    optimizer, loss, metrics
        What `compile` was given, as objects.
    history : History or None
        That of the last `fit`, also where an exception or Ctrl-C ended it.
    stop_training : bool
        A callback sets it to end the training after the epoch.
    """

    def __init__(self) -> None:
        self.optimizer: Optimizer | None = None
        self.loss: Loss | None = None
        self.metrics: list[Metric] = []
        self.history: History | None = None
        self.stop_training = False

    # What subclasses define.

    @property
    @abstractmethod
    def layers(self) -> list[Layer]:
        """The layers, in the order in which they run."""

    @property
    @abstractmethod
    def built(self) -> bool:
        """Whether the weights exist."""

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Return what the model is built from, as values that JSON can hold."""

    @abstractmethod
    def _accept(self, function: str, x: Array) -> None:
        """Build the model for inputs like `x`, or refuse a batch that does not fit."""

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file."""

    # Weights.

    def get_weights(self) -> list[NDArray[Any]]:
        """Return copies of all weights, layer by layer, in the order of Keras."""
        return [array.copy() for array in self._weights()]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Copy values into all weights.

        Parameters
        ----------
        weights : sequence of array_like
            In the order and the shapes of `get_weights`.

        Raises
        ------
        ValueError
            If number or shapes differ; then no weight has changed.
        """
        targets = self._weights()
        if len(weights) != len(targets):
            raise ValueError(f"set_weights: weights must hold {len(targets)} arrays, got {len(weights)}")
        arrays = [to_array("set_weights", f"weights[{index}]", weight) for index, weight in enumerate(weights)]
        for index, (target, array) in enumerate(zip(targets, arrays, strict=True)):
            if target.shape != array.shape:
                raise ValueError(f"set_weights: weights[{index}] must have shape {target.shape}, got {array.shape}")
        for target, array in zip(targets, arrays, strict=True):
            target[...] = array

    def count_params(self) -> int:
        """Return the number of weights, trained or not."""
        return sum(layer.count_params() for layer in self.layers)

    def _weights(self) -> list[Array]:
        return [array for layer in self.layers for array in (*layer.params.values(), *layer.state.values())]

    # Training.

    def compile(
        self, optimizer: object = "rmsprop", loss: object = None, metrics: Iterable[object] | None = None
    ) -> None:
        """Choose how the model is trained.

        Parameters
        ----------
        optimizer : str or Optimizer
            "sgd", "rmsprop" or "adam".
        loss : str or Loss, optional
            Needed by everything but `predict`.
        metrics : iterable of str, Metric or function of (y_true, y_pred), optional
            "accuracy" (or "acc") chooses by the shapes of targets and outputs.
        """
        chosen = optimizers.get(optimizer, "compile: optimizer")
        chosen_loss = None if loss is None else losses.get(loss, "compile: loss")
        if isinstance(metrics, str):
            raise TypeError(f"compile: metrics must be a list, got {metrics!r}")
        self.metrics = [metrics_.get(metric, "compile: metrics") for metric in metrics or ()]
        self.optimizer, self.loss = chosen, chosen_loss

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Verbose = "auto",
        callbacks: Iterable[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        *,
        seed: int | None = None,
        check_finite: bool = False,
    ) -> History:
        """Train the model.

        Parameters
        ----------
        x : array_like or iterable
            Inputs, shape ``(n, ...)``; integers are converted batch by batch. Or, without `y`, an iterable of batches
            ``(x, y)`` or ``(x, y, sample_weight)``, which is iterated anew in every epoch.
        y : array_like
            Targets, in the form that the loss takes.
        batch_size : int, optional
            By default 32.
        epochs : int
            The epoch to stop before: with `initial_epoch`, fewer are run.
        verbose : {"auto", 0, 1, 2}
            1 and "auto" draw a progress bar, 2 prints a line per epoch, 0 is silent.
        callbacks : iterable of Callback, optional
        validation_split : float
            The last part of the samples, taken before any shuffling, is evaluated after every epoch instead of used.
        validation_data : tuple or iterable, optional
            ``(x, y)`` or ``(x, y, sample_weight)`` as a tuple of arrays, or an iterable of such batches.
        shuffle : bool
            Whether samples are put into a new order in every epoch; batches of an iterable never are.
        class_weight : mapping of int to float, optional
            Multiplies the loss of each sample by the weight of its class.
        sample_weight : array_like, optional
            Shape ``(n,)``, or with an entry for every value of the loss.
        initial_epoch : int
            The epoch to begin with, counted from 0.
        seed : int, optional
            Makes order and dropout repeat exactly. What is random in an epoch depends only on this seed and the number
            of the epoch, so that a run resumed by `initial_epoch` continues as it would have.
        check_finite : bool
            Whether to look at every output and gradient, and raise a FloatingPointError that names the layer at the
            first NaN or infinity, before it reaches the weights.

        Returns
        -------
        History
            ``history.history`` maps "loss", the metrics and "val_loss"... to lists with an entry per epoch. The means
            of an epoch weight each batch by its size; they are taken while the weights change, as in Keras.

        Raises
        ------
        RuntimeError
            If the model was not compiled with a loss.
        ValueError, TypeError
            If the data do not fit together, the model or the loss.
        KeyboardInterrupt
            On Ctrl-C, as in Keras. An update of the weights is finished before, so that the model can be used, saved
            and trained further; its `history` has the epochs that were finished.
        """
        self._compiled("fit")
        for name, number in (("epochs", epochs), ("initial_epoch", initial_epoch)):
            if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
                raise ValueError(f"fit: {name} must be an integer that is not negative, got {number!r}")
        data = make_data("fit", x, y, sample_weight, batch_size)
        validation = None if validation_data is None else _validation_data(validation_data, batch_size)
        if validation_split and validation is None:
            if not isinstance(data, ArrayData):
                raise ValueError(f"fit: validation_split must be 0 where x yields batches, got {validation_split}")
            data, validation = data.split("fit", validation_split)
        seed = fresh_seed() if seed is None else check_seed("fit", seed)

        self.history = History()
        run = CallbackList([self.history, *(callbacks or ()), *_verbose_callbacks(verbose)])
        run.set_model(self)
        run.set_params({"epochs": epochs, "steps": data.steps, "samples": data.samples})
        self.stop_training = False
        logs: dict[str, float] = {}
        try:
            run.on_train_begin(logs)
            for epoch in range(initial_epoch, epochs):
                run.on_epoch_begin(epoch, {})
                for index, layer in enumerate(self.layers):
                    layer.reseed(seed, epoch, index + 1)
                batches = data.batches(generator(seed, epoch) if shuffle else None)
                logs = self._train_epoch(epoch, batches, class_weight, run, check_finite)
                if validation is not None:
                    found = self._evaluate("fit", validation, shown=False)
                    logs |= {f"val_{name}": value for name, value in found.items()}
                run.on_epoch_end(epoch, logs)
                if self.stop_training:
                    break
        finally:
            for layer in self.layers:
                layer.release()
            run.on_train_end(logs)
        return self.history

    def train_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> float | list[float] | dict[str, float]:
        """Take one step on a batch and return its loss, before the step, and its metrics, as `evaluate` does."""
        self._compiled("train_on_batch")
        data = ArrayData("train_on_batch", x, y, sample_weight)
        batch = Batch(data.x, data.y, data.sample_weight)
        weights = combine_weights("train_on_batch", batch, class_weight)
        value, outputs = self._train_step("train_on_batch", batch._replace(sample_weight=weights))
        means = _Means(self.metrics)
        means.add(value, batch.y, outputs)
        return _as_keras(means.results(), return_dict)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Verbose = "auto",
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> float | list[float] | dict[str, float]:
        """Return loss and metrics on data; arguments as for `fit`.

        Returns
        -------
        float, list of float or dict
            The loss; with metrics a list of loss and metrics; with `return_dict` a dict by name.
        """
        self._compiled("evaluate")
        data = make_data("evaluate", x, y, sample_weight, batch_size)
        shown = _shows_bar("evaluate", verbose)
        return _as_keras(self._evaluate("evaluate", data, shown), return_dict)

    def predict(self, x: ArrayLike, batch_size: int | None = None, verbose: Verbose = 0) -> Array:
        """Return the outputs for all inputs, computed batch by batch so that what lies between layers stays small.

        Parameters
        ----------
        x : array_like
            Shape ``(n, ...)``; `n` may be 0.
        batch_size : int, optional
            By default 32.
        verbose : {"auto", 0, 1, 2}
            1 and "auto" draw a progress bar.
        """
        inputs = samples_of("predict", "x", x)
        size = check_batch_size("predict", batch_size)
        shown = _shows_bar("predict", verbose)
        self._accept("predict", inputs)
        executor = Executor(self.layers)
        if len(inputs) <= size:
            return executor.forward(inputs)
        batches = (inputs[start : start + size] for start in range(0, len(inputs), size))
        result: Array | None = None
        done = 0
        for batch in track(batches, "Predict", len(inputs), len) if shown else batches:
            outputs = executor.forward(batch)
            if result is None:
                result = np.empty((len(inputs), *outputs.shape[1:]), outputs.dtype)
            result[done : done + len(batch)] = outputs
            done += len(batch)
        assert result is not None
        return result

    def _compiled(self, function: str) -> tuple[Loss, Optimizer]:
        if self.loss is None or self.optimizer is None:
            raise RuntimeError(f"{function}: the model must be compiled with a loss first: model.compile(loss=...)")
        return self.loss, self.optimizer

    def _head(self, loss: Loss) -> tuple[list[Layer], Loss]:
        """Return the layers and the loss to train with: where the loss can include the last layer's softmax or
        sigmoid, the layers without it."""
        last = self.layers[-1]
        on_logits = loss.on_logits(last.activation)
        if on_logits is None:
            return self.layers, loss
        return [*self.layers[:-1], last.without_activation()], on_logits

    def _outputs(self, loss: Loss, values: Array) -> Array:
        """Return the model's outputs, given what the layers of `_head` gave."""
        activation = self.layers[-1].activation
        return values if activation is None or loss.on_logits(activation) is None else activation(values)

    def _train_epoch(
        self,
        epoch: int,
        batches: Iterable[Batch],
        class_weight: Mapping[int, float] | None,
        callbacks: Callback,
        check_finite: bool,
    ) -> dict[str, float]:
        """Return the means over the epoch."""
        means = _Means(self.metrics)
        for step, batch in enumerate(batches):
            callbacks.on_train_batch_begin(step, {"size": len(batch.x)})
            weights = combine_weights("fit", batch, class_weight)
            inspect = _finite_inspector(epoch, step) if check_finite else None
            loss, outputs = self._train_step("fit", batch._replace(sample_weight=weights), inspect)
            means.add(loss, batch.y, outputs)
            callbacks.on_train_batch_end(step, means.results())
        return means.results()

    def _train_step(self, function: str, batch: Batch, inspect: Inspect | None = None) -> tuple[float, Array]:
        """Return the loss before the step, and the model's outputs."""
        loss, optimizer = self._compiled(function)
        self._accept(function, batch.x)
        layers, head_loss = self._head(loss)
        executor = Executor(layers, inspect)
        values = executor.forward(batch.x, training=True)
        value, grad = head_loss.with_gradient(batch.y, values, batch.sample_weight)
        executor.backward(grad)
        with _interrupts_delayed():
            optimizer.update(self._by_key("params"), self._by_key("grads"))
        return value, self._outputs(loss, values)

    def _evaluate(self, function: str, data: Data, shown: bool) -> dict[str, float]:
        loss, _ = self._compiled(function)
        means = _Means(self.metrics)
        batches = data.batches()
        for batch in track(batches, "Evaluate", data.samples, _size) if shown else batches:
            self._accept(function, batch.x)
            layers, head_loss = self._head(loss)
            values = Executor(layers).forward(batch.x)
            value = head_loss(batch.y, values, batch.sample_weight)
            means.add(value, batch.y, self._outputs(loss, values))
        return means.results()

    def _by_key(self, attribute: Literal["params", "grads"]) -> dict[str, Array]:
        """Return all weights or gradients by keys such as ``conv2d/kernel``."""
        return {
            f"{layer.name}/{name}": array for layer in self.layers for name, array in getattr(layer, attribute).items()
        }


class _Means:
    """Means of loss and metrics over the samples so far."""

    def __init__(self, metrics: list[Metric]) -> None:
        self.metrics = metrics
        self._sum = 0.0
        self._samples = 0
        for metric in metrics:
            metric.reset_state()

    def add(self, loss: float, y_true: Array, y_pred: Array) -> None:
        """Take in a batch and its mean loss."""
        self._sum += loss * len(y_pred)
        self._samples += len(y_pred)
        for metric in self.metrics:
            metric.update_state(y_true, y_pred)

    def results(self) -> dict[str, float]:
        """Return the means by name."""
        return {"loss": self._sum / self._samples, **{metric.name: metric.result() for metric in self.metrics}}


def _validation_data(data: Any, batch_size: int | None) -> Data:
    if isinstance(data, tuple):
        if len(data) not in (2, 3):
            raise ValueError(f"fit: validation_data must be (x, y) or (x, y, sample_weight), got {len(data)} entries")
        x, y, *weight = data
        return make_data("fit", x, y, weight[0] if weight else None, batch_size)
    return make_data("fit", data, None, None, None)


def _verbose_callbacks(verbose: Any) -> list[Callback]:
    if _shows_bar("fit", verbose):
        return [ProgressBar()]
    return [EpochPrinter()] if verbose == 2 else []


def _shows_bar(function: str, verbose: Any) -> bool:
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"{function}: verbose must be 'auto', 0, 1 or 2, got {verbose!r}")
    return verbose in ("auto", 1)


def _size(batch: Batch) -> int:
    return len(batch.x)


def _as_keras(results: dict[str, float], return_dict: bool) -> float | list[float] | dict[str, float]:
    if return_dict:
        return results
    values = list(results.values())
    return values[0] if len(values) == 1 else values


def _finite_inspector(epoch: int, step: int) -> Inspect:
    def inspect(layer: Layer, what: str, array: Array) -> None:
        if not np.isfinite(array).all():
            raise FloatingPointError(
                f"fit: the {what} of layer {layer.name!r} must be finite, got NaN or infinity "
                f"in epoch {epoch + 1}, batch {step + 1}"
            )

    return inspect


@contextmanager
def _interrupts_delayed() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done, so that no update of the weights is left half-way.

    Only the main thread receives it, and only there may handlers be changed.
    """
    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if handler is None:
        yield
        return
    received = False

    def remember(signum: int, frame: FrameType | None) -> None:
        nonlocal received
        received = True

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if received:
            signal.raise_signal(signal.SIGINT)
