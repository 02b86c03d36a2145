"""What a model is trained for: a loss and metrics for each of its outputs, and their sums and means."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv import losses, metrics
from fastconv.activations import ActivationFunction
from fastconv.executor import Program
from fastconv.layers.base import Array, Layer
from fastconv.losses import Loss
from fastconv.metrics import Metric


class Target(NamedTuple):
    """What is asked of one output.

    Attributes
    ----------
    loss : Loss or None
        None for an output that is not trained.
    weight : float
        Factor of the loss in the sum that is trained.
    metrics : list of Metric
    weighted_metrics : list of Metric
        Those that sample weights and class weights count in.
    """

    loss: Loss | None
    weight: float
    metrics: list[Metric]
    weighted_metrics: list[Metric]

    def all_metrics(self) -> list[Metric]:
        """Return the metrics, those without weights first."""
        return [*self.metrics, *self.weighted_metrics]

    def named(self) -> dict[str, Metric]:
        """Return all metrics by their names, a weighted one that stands beside an unweighted one with "weighted_"."""
        names = {metric.name for metric in self.metrics}
        return {
            **{metric.name: metric for metric in self.metrics},
            **{
                f"weighted_{metric.name}" if metric.name in names else metric.name: metric
                for metric in self.weighted_metrics
            },
        }


class Head(NamedTuple):
    """How the end of a network is trained.

    Attributes
    ----------
    loss : Loss or None
        It takes what the program computes.
    activation : ActivationFunction or None
        What turns that into the model's output, where the loss includes it.
    """

    loss: Loss | None
    activation: ActivationFunction | None

    def output(self, value: Array) -> Array:
        """Return the model's output."""
        return value if self.activation is None else self.activation(value)


class Objective:
    """Losses and metrics of a model.

    Parameters
    ----------
    names : sequence of str
        Names of the outputs.
    loss : str, Loss, None, or a sequence or mapping of those
        One for all outputs, or one for each, in their order or by their names. A mapping may leave outputs out.
    metrics : iterable or mapping
        For one output an iterable of metrics; for several a sequence of iterables, or a mapping from names.
    loss_weights : sequence or mapping of float, optional
    weighted_metrics : iterable or mapping
        As `metrics`.

    Attributes
    ----------
    targets : dict of str to Target
    """

    def __init__(
        self, names: Sequence[str], loss: Any, metrics: Any, loss_weights: Any = None, weighted_metrics: Any = None
    ) -> None:
        chosen_losses = _each("loss", names, loss, repeat=True)
        chosen_metrics = _metrics_of_each("metrics", names, metrics)
        chosen_weighted = _metrics_of_each("weighted_metrics", names, weighted_metrics)
        weights = _each("loss_weights", names, loss_weights)
        self.targets = {
            name: Target(
                None if chosen is None else losses.get(chosen, "compile: loss"),
                1.0 if weight is None else _weight(weight),
                found,
                found_weighted,
            )
            for name, chosen, weight, found, found_weighted in zip(
                names, chosen_losses, weights, chosen_metrics, chosen_weighted, strict=True
            )
        }

    @property
    def trained(self) -> list[str]:
        """Names of the outputs that have a loss."""
        return [name for name, target in self.targets.items() if target.loss is not None]

    @property
    def compared(self) -> list[str]:
        """Names of the outputs that are compared with data: those that have a loss or metrics."""
        return [name for name, target in self.targets.items() if target.loss is not None or target.all_metrics()]

    def heads(self, program: Program) -> tuple[Program, list[Head]]:
        """Return what to train instead: where a loss can include the softmax or sigmoid of its output, without that."""
        replaced: dict[int, Layer] = {}
        heads = []
        for slot, target in zip(program.outputs, self.targets.values(), strict=True):
            last = _only_maker(program, slot)
            on_logits = None if last is None or target.loss is None else target.loss.on_logits(last.activation)
            if last is None or on_logits is None:
                heads.append(Head(target.loss, None))
            else:
                replaced[slot] = last.without_activation()
                heads.append(Head(on_logits, last.activation))
        return program.replaced(replaced) if replaced else program, heads

    def values(
        self, heads: Sequence[Head], y_true: Sequence[Array | None], y_pred: Sequence[Array], weights: Any
    ) -> list[float | None]:
        """Return the loss of every output, the mean of one whose `reduction` is "none"."""
        return [
            None
            if head.loss is None or true is None
            else float(np.mean(head.loss(true, pred, weight), dtype=np.float64))
            for head, true, pred, weight in zip(heads, y_true, y_pred, weights, strict=True)
        ]

    def gradients(
        self, heads: Sequence[Head], y_true: Sequence[Array | None], y_pred: Sequence[Array], weights: Any
    ) -> tuple[list[float | None], list[Array | None]]:
        """Return the loss of every output, and the gradients of their weighted sum."""
        found: list[float | None] = []
        grads: list[Array | None] = []
        for target, head, true, pred, weight in zip(self.targets.values(), heads, y_true, y_pred, weights, strict=True):
            value = grad = None
            if head.loss is not None and true is not None:
                value, grad = head.loss.with_gradient(true, pred, weight)
                if target.weight != 1:
                    grad *= grad.dtype.type(target.weight)
            found.append(value)
            grads.append(grad)
        return found, grads


class Means:
    """Means of losses and metrics over the samples so far."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self._sums = dict.fromkeys(objective.trained, 0.0)
        self._penalties = 0.0
        self._samples = 0
        for target in objective.targets.values():
            for metric in target.all_metrics():
                metric.reset_state()

    def add(
        self,
        losses: Sequence[float | None],
        penalty: float,
        y_true: Sequence[Array | None],
        values: Sequence[Array],
        heads: Sequence[Head],
        weights: Sequence[Array | None],
    ) -> None:
        """Take in a batch: the loss of each output, what the regularizers add, targets, what heads take, weights."""
        samples = len(values[0])
        self._samples += samples
        self._penalties += penalty * samples
        for (name, target), loss, true, value, head, weight in zip(
            self.objective.targets.items(), losses, y_true, values, heads, weights, strict=True
        ):
            if loss is not None:
                self._sums[name] += loss * samples
            if true is not None and target.all_metrics():
                output = head.output(value)
                for metric in target.metrics:
                    metric.update_state(true, output)
                for metric in target.weighted_metrics:
                    # Without weights no third argument: one's own metric may have none.
                    metric.update_state(true, output, *(() if weight is None else (weight,)))

    def results(self) -> dict[str, float]:
        """Return the means by Keras' names: with several outputs, those of each begin with its name."""
        targets = self.objective.targets
        means = {name: total / self._samples for name, total in self._sums.items()}
        total = sum(targets[name].weight * mean for name, mean in means.items()) + self._penalties / self._samples
        several = len(targets) > 1
        return {
            "loss": total,
            **({f"{name}_loss": mean for name, mean in means.items()} if several else {}),
            **{
                f"{name}_{key}" if several else key: metric.result()
                for name, target in targets.items()
                for key, metric in target.named().items()
            },
        }


def _only_maker(program: Program, slot: int) -> Layer | None:
    """Return the layer that makes an output, if nothing else reads that, and the layer makes nothing else."""
    makers = [step.layer for step in program.steps if step.output == slot]
    if not makers or program.outputs.count(slot) > 1 or any(slot in step.inputs for step in program.steps):
        return None
    return makers[0] if sum(step.layer is makers[0] for step in program.steps) == 1 else None


def _each(argument: str, names: Sequence[str], given: Any, repeat: bool = False) -> list[Any]:
    """Return what was given for each output."""
    serialized = isinstance(given, Mapping) and "class_name" in given
    if isinstance(given, Mapping) and not serialized:
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(f"compile: {argument} must name outputs among {list(names)}, got {unknown[0]!r}")
        return [given.get(name) for name in names]
    if isinstance(given, list | tuple):
        if len(given) != len(names):
            raise ValueError(
                f"compile: {argument} must have an entry for each of the {len(names)} outputs, got {len(given)}"
            )
        return list(given)
    if given is not None and not repeat:
        raise TypeError(f"compile: {argument} must be a list or dict with an entry for each output, got {given!r}")
    return [given] * len(names)


def _metrics_of_each(argument: str, names: Sequence[str], given: Any) -> list[list[Metric]]:
    if isinstance(given, str):
        raise TypeError(f"compile: {argument} must be a list, got {given!r}")
    return [_metrics(argument, found) for found in ([given] if len(names) == 1 else _each(argument, names, given))]


def _metrics(argument: str, given: Any) -> list[Metric]:
    if given is None:
        return []
    several = isinstance(given, Iterable) and not isinstance(given, str | Mapping)
    return [metrics.get(metric, f"compile: {argument}") for metric in (given if several else [given])]


def _weight(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"compile: loss_weights must hold numbers, got {value!r}")
    return float(value)
