"""Whole networks as entries: a training step, the evaluation of many images, the latency of one."""

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from entry import EITHER, Array, Entry, title
from networks import CLASSES, Network

import fastconv as fc
from fastconv import convert
from fastconv.bench.clock import Contestant
from fastconv.bench.peers import Peer, TensorFlow, Torch

EVALUATED = 10_000  # images
BATCH_SIZES = (100, 500, 2000)  # of an evaluation; the best counts
CHECKED = 100  # images
LEARNING_RATE = 1e-3
# Of probabilities, and of the loss of the first step, which at random weights depends little on the images.
ROUNDING, FEATURES_DIFFER = 1e-4, 0.3


@dataclass(frozen=True)
class Task:
    """What is done with a network: "training", "evaluation" or "latency"."""

    network: Network
    direction: str
    dtype: str = "float32"

    @property
    def images(self) -> int:
        """How many a call takes."""
        return {"training": self.network.batch, "evaluation": EVALUATED, "latency": 1}[self.direction]

    def __str__(self) -> str:
        what = {"training": "training step", "evaluation": "evaluation", "latency": "latency"}[self.direction]
        return f"{self.network.name}, {what}, {self.images} image{'s' * (self.images > 1)}"


class NetworkTask(Entry):
    """A network with the same random weights for everyone; what torch computes in float64 is right."""

    data_formats = (EITHER,)

    def __init__(self, case: Task) -> None:
        self.network, self.title, self.direction = case.network, title(case), case.direction
        self.torch = importlib.import_module("torch")  # here, so that only networks need it
        rng = np.random.default_rng(0)
        self.x = rng.random((case.images, *case.network.image), np.float32)
        self.y = rng.integers(0, CLASSES, case.images)
        self.weights = case.network.model(fc).get_weights()
        self.expected = self._reference()

    def is_right(self, result: Array, algorithm: str) -> bool:
        """Whether the probabilities of the first images are right, or the loss of the first step."""
        tolerance = ROUNDING if self.network.same_outputs else FEATURES_DIFFER
        result = result[:CHECKED] if result.ndim else result
        return result.shape == self.expected.shape and np.allclose(result, self.expected, tolerance, tolerance)

    def own(self, data_format: str) -> list[Contestant]:
        """Return what a user of fastconv calls."""
        model = self._model()
        if self.direction == "training":
            model.compile(fc.optimizers.Adam(learning_rate=LEARNING_RATE), "sparse_categorical_crossentropy")
            call = partial(model.train_on_batch, self.x, self.y)
        elif self.direction == "evaluation":
            call = at_best_size(lambda x, size: model.predict(x, batch_size=size), self.x, [None, *BATCH_SIZES])
        else:
            call = partial(model, self.x)
        return [Contestant("plain", "fastconv", call, np.asarray)]

    def of_peer(self, peer: Peer) -> list[Contestant]:
        """Return torch in both memory formats, eagerly, or Keras on TensorFlow."""
        if isinstance(peer, Torch):
            call = self._training_of_torch if self.direction == "training" else self._outputs_of_torch
            return [Contestant(name, "torch", call(form), np.asarray) for name, form in peer.formats().items()]
        if isinstance(peer, TensorFlow):
            return [Contestant("keras", peer.name, self._of_keras(), np.asarray)]
        raise NotImplementedError(f"{peer.name} does not train networks")

    def _model(self) -> Any:
        model = self.network.model(fc)
        model.set_weights(self.weights)
        return model

    def _module(self) -> Any:
        """Return the torch module with the weights of all."""
        module = importlib.import_module("torch_networks").MODULES[self.network.name]()
        names = [name for name, part in module.named_modules() if [*part.parameters(recurse=False)]]
        arrays = convert.to_torch_state_dict(self._model(), names)
        module.load_state_dict({name: self.torch.from_numpy(array) for name, array in arrays.items()}, strict=False)
        return module.train(self.direction == "training")

    def _reference(self) -> Array:
        module, x = self._module().double(), self.torch.from_numpy(self.x).double().permute(0, 3, 1, 2)
        with self.torch.no_grad():
            if self.direction == "training":
                return self.torch.nn.functional.cross_entropy(module(x), self.torch.from_numpy(self.y)).numpy()
            return module(x[:CHECKED]).softmax(1).numpy()

    def _outputs_of_torch(self, form: Any) -> Callable[[], Any]:
        module = self._module().to(memory_format=form)
        x = self.torch.from_numpy(self.x).permute(0, 3, 1, 2).contiguous(memory_format=form)
        if self.direction == "latency":
            return lambda: module(x).softmax(1)
        return at_best_size(
            lambda x, size: self.torch.cat([module(p) for p in x.split(size)]).softmax(1), x, BATCH_SIZES
        )

    def _training_of_torch(self, form: Any) -> Callable[[], float]:
        with self.torch.inference_mode(False):
            module = self._module().to(memory_format=form)
            x = self.torch.from_numpy(self.x).permute(0, 3, 1, 2).contiguous(memory_format=form)
            y = self.torch.from_numpy(self.y)
            optimizer = self.torch.optim.Adam(module.parameters(), LEARNING_RATE)

        def step() -> float:
            with self.torch.inference_mode(False), self.torch.enable_grad():
                optimizer.zero_grad()
                loss = self.torch.nn.functional.cross_entropy(module(x), y)
                loss.backward()
                optimizer.step()
                return loss.item()

        return step

    def _of_keras(self) -> Callable[[], Any]:
        keras = importlib.import_module("keras")
        model = self.network.model(keras)
        mine, theirs = ([layer for layer in one.layers if layer.count_params()] for one in (self._model(), model))
        if {layer.name for layer in mine} == {layer.name for layer in theirs}:
            theirs = [model.get_layer(layer.name) for layer in mine]
        for source, target in zip(mine, theirs, strict=True):
            target.set_weights([*source.params.values(), *source.state.values()])
        if self.direction == "training":
            optimizer = keras.optimizers.Adam(learning_rate=LEARNING_RATE)
            model.compile(optimizer, "sparse_categorical_crossentropy")
            return partial(model.train_on_batch, self.x, self.y)
        if self.direction == "evaluation":
            return at_best_size(lambda x, size: model.predict(x, batch_size=size, verbose=0), self.x, BATCH_SIZES)
        return quickest([partial(model, self.x), partial(model.predict_on_batch, self.x)])


def at_best_size(predict: Callable[[Any, int | None], Any], x: Any, sizes: Sequence[int | None]) -> Callable[[], Any]:
    """Return the prediction for all images in the batch size that is the quickest for some of them."""
    some = x[: max(BATCH_SIZES)]
    calls = [partial(predict, some, size) for size in sizes]
    return partial(predict, x, sizes[calls.index(quickest(calls))])


def quickest(calls: Sequence[Callable[[], Any]]) -> Callable[[], Any]:
    """Return the call that takes the least time, at its second turn."""
    seconds = []
    for call in calls:
        call()
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return calls[seconds.index(min(seconds))]
