"""CNN layers for NumPy, fast on a CPU.

``fastconv.functional`` has the operations with the signatures of ``torch.nn.functional``, ``fastconv.layers`` and
`Sequential` have those of Keras 3. What a program does not use is not imported.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fastconv import functional
from fastconv._config import (
    default_threads,
    get_num_threads,
    get_precision,
    release_memory,
    set_num_threads,
    set_precision,
    show_config,
)

if TYPE_CHECKING:
    from fastconv import (
        activations,
        callbacks,
        compat,
        convert,
        datasets,
        image,
        initializers,
        layers,
        losses,
        metrics,
        models,
        optimizers,
        plot,
        reference,
        regularizers,
        schedules,
        testing,
        toeplitz,
        utils,
    )
    from fastconv.explanation import explain
    from fastconv.models import Input, Model, Sequential, load_model
    from fastconv.tuning import load_tuning, tune

__version__ = "0.1.0"

__all__ = [
    "Sequential",
    "Model",
    "Input",
    "load_model",
    "functional",
    "layers",
    "activations",
    "models",
    "losses",
    "optimizers",
    "schedules",
    "metrics",
    "callbacks",
    "initializers",
    "regularizers",
    "datasets",
    "utils",
    "image",
    "plot",
    "reference",
    "testing",
    "toeplitz",
    "compat",
    "convert",
    "get_num_threads",
    "set_num_threads",
    "get_precision",
    "set_precision",
    "release_memory",
    "explain",
    "tune",
    "load_tuning",
    "show_config",
]

_MODULE_OF = {
    "Sequential": "fastconv.models",
    "Model": "fastconv.models",
    "Input": "fastconv.models",
    "load_model": "fastconv.models",
    "explain": "fastconv.explanation",
    "tune": "fastconv.tuning",
    "load_tuning": "fastconv.tuning",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'fastconv' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name) if name in _MODULE_OF else _submodule(name)
    globals()[name] = value
    return value


def _submodule(name: str) -> Any:
    return importlib.import_module(f"fastconv.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


set_num_threads(default_threads())
