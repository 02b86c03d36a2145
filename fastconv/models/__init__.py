"""Networks that are built, trained, used and saved with the interface of Keras."""

from fastconv.layers.input import Input
from fastconv.models.base import BaseModel
from fastconv.models.functional import Model
from fastconv.models.loading import load_model, model_from_json
from fastconv.models.sequential import Sequential

__all__ = ["BaseModel", "Input", "Model", "Sequential", "load_model", "model_from_json"]
