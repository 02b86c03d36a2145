"""Training, evaluation and prediction: what every kind of model does alike."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from fastconv import optimizers
from fastconv._interrupts import interrupts_delayed
from fastconv._micro_batches import run_in_parts
from fastconv._random import check_seed, fresh_seed, generator
from fastconv._weights import Weighted
from fastconv.callbacks import Callback, CallbackList, EpochPrinter, History, ProgressBar, track
from fastconv.data import (
    ArrayData,
    Arrays,
    Batch,
    Columns,
    Data,
    IterableData,
    check_batch_size,
    combine_weights,
    first_samples,
    first_steps,
    limit_steps,
    listed,
    make_data,
    samples_of,
    yields_inputs,
)
from fastconv.executor import Executor, Inspect, Program
from fastconv.layers.base import Array, Layer
from fastconv.losses import Loss
from fastconv.metrics import Metric
from fastconv.objective import Means, Objective, Target
from fastconv.optimizers import Optimizer

Verbose = Literal["auto", 0, 1, 2]


class Trainer(Weighted, ABC):
    """A model that can be trained; a subclass says what its layers are and how they are connected.

    Attributes
    ----------
    optimizer : Optimizer or None
        What `compile` was given, as an object, and so are:
    loss, metrics
        For several outputs, dicts by their names. The metrics include the weighted ones.
    history : History or None
        That of the last `fit`, also where an exception or Ctrl-C ended it.
    stop_training : bool
        A callback sets it to end the training after the epoch.
    """

    def __init__(self) -> None:
        self.optimizer: Optimizer | None = None
        self.objective: Objective | None = None
        self.history: History | None = None
        self.stop_training = False

    # What subclasses define.

    @property
    @abstractmethod
    def layers(self) -> list[Layer]:
        """The layers, in the order in which they run; some may be models."""

    @property
    @abstractmethod
    def program(self) -> Program:
        """What runs; the model must be built."""

    @property
    @abstractmethod
    def input_names(self) -> list[str]:
        """Names of the inputs."""

    @property
    @abstractmethod
    def output_names(self) -> list[str]:
        """Names of the outputs."""

    @abstractmethod
    def leaves(self) -> dict[str, Layer]:
        """Return the layers that are no models, those within models included, by their paths."""

    @property
    @abstractmethod
    def built(self) -> bool:
        """Whether the weights exist."""

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Return what the model is built from, as values that JSON can hold."""

    @abstractmethod
    def _accept(self, function: str, x: Arrays) -> list[Array]:
        """Return inputs as a list, or refuse what does not fit; a model that is not built is built for them."""

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file."""

    @abstractmethod
    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the weights to a file."""

    # Weights.

    @property
    def weights(self) -> list[Array]:
        """The arrays themselves, trained or not, in the order of Keras: what is written into one, the layer has."""
        return [array for layer in self.leaves().values() for array in layer.weights]

    @property
    def trainable_weights(self) -> list[Array]:
        """Those of `weights` that training changes."""
        return [array for layer in self.leaves().values() for array in layer.trainable_weights]

    @property
    def non_trainable_weights(self) -> list[Array]:
        """The others."""
        return [array for layer in self.leaves().values() for array in layer.non_trainable_weights]

    def count_params(self) -> int:
        """Return the number of weights, trained or not."""
        return sum(layer.count_params() for layer in self.leaves().values())

    # Training.

    @property
    def loss(self) -> Loss | dict[str, Loss | None] | None:
        """The loss of the output, or those of several by their names."""
        return None if self.objective is None else self._by_output(lambda target: target.loss)

    @property
    def metrics(self) -> list[Metric] | dict[str, list[Metric]]:
        """The metrics of the output, or those of several by their names."""
        return [] if self.objective is None else self._by_output(lambda target: target.all_metrics())

    def _by_output(self, attribute: Callable[[Target], Any]) -> Any:
        assert self.objective is not None
        found = {name: attribute(target) for name, target in self.objective.targets.items()}
        return found if len(found) > 1 else next(iter(found.values()))

    def compile(
        self,
        optimizer: object = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        """Choose how the model is trained.

        Parameters
        ----------
        optimizer : str or Optimizer
            "sgd", "rmsprop" or "adam".
        loss : str or Loss, list or dict of those, optional
            Needed by everything but `predict`. For several outputs: one for all, or a list with an entry for each, or a
            dict by their names (those of the layers that they come from). An output whose entry is None, or left out,
            is not trained.
        metrics : iterable of str, Metric or function of (y_true, y_pred), optional
            "accuracy" (or "acc") chooses by the shapes of targets and outputs. For several outputs: a list with such
            an iterable for each, or a dict by their names.
        loss_weights : list or dict of float, optional
            For several outputs: what is trained is the sum of their losses, each times its weight, by default 1.
        weighted_metrics : as `metrics`, optional
            Metrics that the `sample_weight` and `class_weight` of `fit` and the like count in: means become weighted
            means. A name that `metrics` has too is reported as "weighted_NAME".
        """
        chosen = optimizers.get(optimizer, "compile: optimizer")
        self.objective = Objective(self.output_names, loss, metrics, loss_weights, weighted_metrics)
        self.optimizer = chosen

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Verbose = "auto",
        callbacks: Callback | Iterable[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        *,
        seed: int | None = None,
        check_finite: bool = False,
    ) -> History:
        """Train the model.

        Parameters
        ----------
        x : array_like or iterable
            Inputs, shape ``(n, ...)``; integers are converted batch by batch. For several inputs, a list of arrays or
            a dict by their names. Or, without `y`, an iterable of batches ``(x, y)`` or ``(x, y, sample_weight)``,
            which is iterated anew in every epoch; see `steps_per_epoch`.
        y : array_like
            Targets, in the form that the loss takes. For several outputs that have a loss or metrics, a list of
            arrays or a dict by their names.
        batch_size : int, optional
            By default 32.
        epochs : int
            The epoch to stop before: with `initial_epoch`, fewer are run.
        verbose : {"auto", 0, 1, 2}
            1 and "auto" draw a progress bar, 2 prints a line per epoch, 0 is silent.
        callbacks : Callback or iterable of Callback, optional
        validation_split : float
            The last part of the samples, taken before any shuffling, is evaluated after every epoch instead of used.
        validation_data : tuple or iterable, optional
            ``(x, y)`` or ``(x, y, sample_weight)`` as a tuple or list of arrays, or an iterable of such batches.
        shuffle : bool
            Whether samples are put into a new order in every epoch; batches of an iterable never are.
        class_weight : mapping of int to float, optional
            Multiplies the loss of each sample by the weight of its class.
        sample_weight : array_like, optional
            Shape ``(n,)``, or with an entry for every value of the loss. For several outputs one array for all, or a
            list or dict as `y` is.
        initial_epoch : int
            The epoch to begin with, counted from 0.
        steps_per_epoch, validation_steps : int, optional
            Where an iterable yields the batches, how many to take in an epoch: of a generator without an end, say. The
            next epoch takes those that follow; an iterable that comes to its end is iterated anew.
        seed : int, optional
            Makes order and dropout repeat exactly. What is random in an epoch depends only on this seed and the number
            of the epoch, so that a run resumed by `initial_epoch` continues as it would have.
        check_finite : bool
            Whether to look at every output and gradient, and raise a FloatingPointError that names the layer at the
            first NaN or infinity, before it reaches the weights.

        Returns
        -------
        History
            ``history.history`` maps "loss", the metrics and "val_loss"... to lists with an entry per epoch; with
            several outputs there are also "OUTPUT_loss" and "OUTPUT_METRIC". The loss includes what regularizers
            add. The means of an epoch weight each batch by its size; they are taken while the weights change, as in
            Keras.

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
        data = make_data("fit", x, y, sample_weight, batch_size, self._arrange)
        limit_steps("fit", "steps_per_epoch", data, steps_per_epoch)
        validation = None if validation_data is None else self._validation_data(validation_data, batch_size)
        limit_steps("fit", "validation_steps", validation, validation_steps)
        if validation_split and validation is None:
            if not isinstance(data, ArrayData):
                raise ValueError(f"fit: validation_split must be 0 where x yields batches, got {validation_split}")
            data, validation = data.split("fit", validation_split)
        seed = fresh_seed() if seed is None else check_seed("fit", seed)

        self.history = History()
        # The history comes after the callbacks, as in Keras: what they add to the logs is in it.
        run = CallbackList([*_listed_callbacks("fit", callbacks), self.history, *_verbose_callbacks(verbose)])
        run.set_model(self)
        run.set_params({"epochs": epochs, "steps": data.steps, "samples": data.samples})
        self.stop_training = False
        logs: dict[str, float] = {}
        try:
            run.on_train_begin(logs)
            for epoch in range(initial_epoch, epochs):
                run.on_epoch_begin(epoch, {})
                for index, layer in enumerate(self.leaves().values()):
                    layer.reseed(seed, epoch, index + 1)
                batches = data.batches(generator(seed, epoch) if shuffle else None)
                logs = self._train_epoch(epoch, batches, class_weight, run, check_finite)
                if validation is not None:
                    found = self._evaluate("fit", validation, False, run)
                    logs |= {f"val_{name}": value for name, value in found.items()}
                run.on_epoch_end(epoch, logs)
                if self.stop_training:
                    break
        finally:
            run.on_train_end(logs)
        return self.history

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> float | list[float] | dict[str, float]:
        """Take one step on a batch and return its loss, before the step, and its metrics, as `evaluate` does."""
        objective, _ = self._compiled("train_on_batch")
        data = ArrayData("train_on_batch", *self._arrange("train_on_batch", x, y, sample_weight))
        batch = Batch(data.x, data.y, data.sample_weight)
        weights = combine_weights("train_on_batch", batch, class_weight)
        means = Means(objective)
        self._train_step("train_on_batch", batch._replace(sample_weight=weights), means)
        return _as_keras(means.results(), return_dict)

    def test_on_batch(
        self, x: Any, y: Any, sample_weight: Any = None, return_dict: bool = False
    ) -> float | list[float] | dict[str, float]:
        """Return loss and metrics on a batch, as `evaluate` does."""
        self._compiled("test_on_batch")
        data = ArrayData("test_on_batch", *self._arrange("test_on_batch", x, y, sample_weight))
        return _as_keras(self._evaluate("test_on_batch", data, False, CallbackList([])), return_dict)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Verbose = "auto",
        sample_weight: Any = None,
        return_dict: bool = False,
        callbacks: Callback | Iterable[Callback] | None = None,
        *,
        steps: int | None = None,
    ) -> float | list[float] | dict[str, float]:
        """Return loss and metrics on data; arguments as for `fit`.

        Parameters
        ----------
        x, y, batch_size, verbose, sample_weight
            See `fit`; of an iterable the batches are taken once.
        return_dict : bool
            Whether to return a dict.
        callbacks : Callback or iterable of Callback, optional
            Their methods ``on_test_begin``, ``on_test_batch_begin``... are called.
        steps : int, optional
            How many batches to take: the first of arrays, or those that an iterable yields next, of a generator without
            an end, say. There must be as many. Arrays without a `batch_size` are divided into so many.

        Returns
        -------
        float, list of float or dict
            The loss; with metrics a list of loss and metrics; with `return_dict` a dict by name. With several
            outputs, the losses of each follow the loss.

        Raises
        ------
        RuntimeError, ValueError, TypeError
            As `fit`.
        """
        self._compiled("evaluate")
        data = make_data("evaluate", x, y, sample_weight, batch_size, self._arrange)
        first_steps("evaluate", data, steps, batch_size)
        shown = _shows_bar("evaluate", verbose)
        return _as_keras(
            self._evaluate("evaluate", data, shown, self._run_of("evaluate", data, callbacks)), return_dict
        )

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Verbose = 0,
        steps: int | None = None,
        callbacks: Callback | Iterable[Callback] | None = None,
    ) -> Any:
        """Return the outputs for all inputs, computed in parts so that what lies between layers stays small.

        Parameters
        ----------
        x : array_like or iterable
            Shape ``(n, ...)``; `n` may be 0. For several inputs, a list of arrays or a dict by their names. Or a
            generator or another iterable that is no sequence: it yields batches of inputs, or tuples ``(x, y)`` or
            ``(x, y, sample_weight)`` of which the first entry is taken.
        batch_size : int, optional
            How many samples to compute at once. By default so many that input and output of each layer stay in cache
            together, 2 MiB for each thread.
        verbose : {"auto", 0, 1, 2}
            1 and "auto" draw a progress bar.
        steps : int, optional
            How many batches to take, of an iterable those that it yields next; of arrays the first of `batch_size`, or
            without one all. There must be as many.
        callbacks : Callback or iterable of Callback, optional
            Their methods ``on_predict_begin`` and ``on_predict_end`` are called.

        Returns
        -------
        ndarray or list of ndarray
            A list for several outputs.

        Raises
        ------
        ValueError, TypeError
            If the inputs do not fit together or the model, or there are less than `steps` batches.
        """
        size = None if batch_size is None else check_batch_size("predict", batch_size)
        shown = _shows_bar("predict", verbose)
        run = self._run_of("predict", None, callbacks)
        run.on_predict_begin({})
        if yields_inputs(x):
            if size is not None:
                raise ValueError(f"predict: batch_size must be None where x yields batches, got {size}")
            outputs = self._predict_batches(x, steps, shown)
        else:
            inputs = self._inputs(x)
            if steps is not None:
                inputs = first_samples("predict", inputs, size, steps)
            outputs = run_in_parts(self.program, inputs, size, _predict_bar if shown else None)
        run.on_predict_end({})
        return outputs if len(outputs) > 1 else outputs[0]

    def _run_of(self, function: str, data: Data | None, callbacks: Any) -> CallbackList:
        """Return the callbacks of `evaluate` or `predict` as one, told of the model."""
        run = CallbackList(_listed_callbacks(function, callbacks), function)
        if run.callbacks:
            run.set_model(self)
            known = {} if data is None else {"steps": data.steps, "samples": data.samples}
            run.set_params({"epochs": 1, "steps": None, "samples": None, **known})
        return run

    def predict_on_batch(self, x: Any) -> Any:
        """Return the outputs for the inputs of a batch, as `predict` does."""
        return self.predict(x)

    def _inputs(self, x: Any) -> list[Array]:
        return self._accept("predict", samples_of("predict", "x", self._columns("predict", "x", self.input_names, x)))

    def _predict_batches(self, batches: Any, steps: int | None, shown: bool) -> list[Array]:
        """Return the outputs for the batches of an iterable, joined."""
        data = IterableData("predict", batches)
        first_steps("predict", data, steps, None)
        inputs: Iterator[list[Array]] = map(self._inputs, data.inputs())
        if shown:
            inputs = track(inputs, "Predict", None, lambda arrays: len(arrays[0]))
        results = [run_in_parts(self.program, arrays) for arrays in inputs]
        return [np.concatenate(parts) for parts in zip(*results, strict=True)]

    def _compiled(self, function: str) -> tuple[Objective, Optimizer]:
        if self.objective is None or self.optimizer is None or not self.objective.trained:
            raise RuntimeError(f"{function}: the model must be compiled with a loss first: model.compile(loss=...)")
        return self.objective, self.optimizer

    def _columns(self, function: str, argument: str, names: Sequence[str], values: Any) -> Any:
        """Return several arrays as one thing with samples; the only one as it is."""
        if len(names) > 1:
            return Columns(function, argument, names, values)
        return values[names[0]] if isinstance(values, Mapping) and list(values) == list(names) else values

    def _arrange(self, function: str, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Return data with those of several inputs and outputs in the order of the model."""
        objective, _ = self._compiled(function)
        if isinstance(sample_weight, list | tuple | Mapping) and len(objective.compared) > 1:
            sample_weight = Columns(function, "sample_weight", objective.compared, sample_weight)
        return (
            self._columns(function, "x", self.input_names, x),
            None if y is None else self._columns(function, "y", objective.compared, y),
            sample_weight,
        )

    def _by_target(self, arrays: Arrays | None) -> list[Array | None]:
        """Return data for each output; the same for all where there is one array for several."""
        assert self.objective is not None
        compared = self.objective.compared
        given = listed(arrays) if isinstance(arrays, Columns) else [arrays] * len(compared)
        by_name = dict(zip(compared, given, strict=True))
        return [by_name.get(name) for name in self.objective.targets]

    def _validation_data(self, data: Any, batch_size: int | None) -> Data:
        arrays = isinstance(data, list) and len(data) > 0 and all(hasattr(entry, "__array__") for entry in data)
        if isinstance(data, tuple) or arrays:
            if len(data) not in (2, 3):
                raise ValueError(
                    f"fit: validation_data must be (x, y) or (x, y, sample_weight), got {len(data)} entries"
                )
            x, y, *weight = data
            return make_data("fit", x, y, weight[0] if weight else None, batch_size, self._arrange)
        return make_data("fit", data, None, None, None, self._arrange, "validation_data")

    def _train_epoch(
        self,
        epoch: int,
        batches: Iterable[Batch],
        class_weight: Mapping[int, float] | None,
        callbacks: Callback,
        check_finite: bool,
    ) -> dict[str, float]:
        """Return the means over the epoch."""
        objective, _ = self._compiled("fit")
        means = Means(objective)
        for step, batch in enumerate(batches):
            callbacks.on_train_batch_begin(step, {"size": len(batch.x)})
            weights = combine_weights("fit", batch, class_weight)
            inspect = _finite_inspector(epoch, step) if check_finite else None
            self._train_step("fit", batch._replace(sample_weight=weights), means, inspect)
            callbacks.on_train_batch_end(step, means.results())
        return means.results()

    def _train_step(self, function: str, batch: Batch, means: Means, inspect: Inspect | None = None) -> None:
        """Update the weights; give the loss before that, and the outputs, to `means`."""
        objective, optimizer = self._compiled(function)
        inputs = self._accept(function, batch.x)
        y_true, weights = self._by_target(batch.y), self._by_target(batch.sample_weight)
        program, heads = objective.heads(self.program)
        executor = Executor(program, inspect)
        values = executor.forward(inputs, training=True)
        losses, grads = objective.gradients(heads, y_true, values, weights)
        executor.backward(grads)
        leaves = self.leaves()
        penalty = _penalty(leaves.values())
        trained = {id(layer.params) for layer in executor.trained}
        by_path = {path: layer for path, layer in leaves.items() if id(layer.params) in trained}
        for layer in by_path.values():
            layer.add_penalty_gradients()
        with interrupts_delayed():
            optimizer.update(_by_key(by_path, "params"), _by_key(by_path, "grads"))
        means.add(losses, penalty, y_true, values, heads, weights)

    def _evaluate(self, function: str, data: Data, shown: bool, callbacks: CallbackList) -> dict[str, float]:
        objective, _ = self._compiled(function)
        means = Means(objective)
        penalty = _penalty(self.leaves().values())
        batches = data.batches()
        callbacks.on_test_begin({})
        for step, batch in enumerate(track(batches, "Evaluate", data.samples, _size) if shown else batches):
            callbacks.on_test_batch_begin(step, {"size": len(batch.x)})
            inputs = self._accept(function, batch.x)
            program, heads = objective.heads(self.program)
            values = run_in_parts(program, inputs)
            y_true, weights = self._by_target(batch.y), self._by_target(batch.sample_weight)
            losses = objective.values(heads, y_true, values, weights)
            means.add(losses, penalty, y_true, values, heads, weights)
            if callbacks.callbacks:
                callbacks.on_test_batch_end(step, means.results())
        results = means.results()
        callbacks.on_test_end(results)
        return results


def _listed_callbacks(function: str, callbacks: Any) -> Iterable[Any]:
    if callbacks is None or isinstance(callbacks, Callback):
        return () if callbacks is None else (callbacks,)
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"{function}: callbacks must be a list of Callback objects, got {type(callbacks).__name__}")
    return callbacks


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


def _predict_bar(parts: Sequence[slice]) -> Iterator[slice]:
    return track(parts, "Predict", parts[-1].stop, lambda part: part.stop - part.start)


def _penalty(layers: Iterable[Layer]) -> float:
    return sum(layer.penalty() for layer in layers)


def _by_key(layers: Mapping[str, Layer], attribute: Literal["params", "grads"]) -> dict[str, Array]:
    """Return all weights or gradients by keys such as ``conv2d/kernel``."""
    return {
        f"{path}/{name}": array for path, layer in layers.items() for name, array in getattr(layer, attribute).items()
    }


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
