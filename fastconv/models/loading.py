"""Models from files."""

import os

from fastconv.models.base import BaseModel, parse
from fastconv.models.functional import Model
from fastconv.models.sequential import Sequential
from fastconv.saving import read_model

CLASSES: dict[str, type[BaseModel]] = {"Sequential": Sequential, "Model": Model}


def model_from_json(text: str) -> BaseModel:
    """Return a new model of any class from what `to_json` returned.

    Raises
    ------
    ValueError
        If the text is no JSON or does not describe a model.
    """
    cls, config = parse(text, CLASSES)
    return cls.from_config(config)


def load_model(path: str | os.PathLike[str]) -> BaseModel:
    """Return the model that ``model.save`` wrote, compiled if it was, to be used or trained further.

    Nothing in the file is run, and nothing larger than the file is allocated.

    Raises
    ------
    ValueError
        If the file is damaged, is no model, or contradicts itself; the text names the file and the reason.
    OSError
        If it cannot be opened.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastconv import Sequential
    >>> from fastconv.layers import Dense
    >>> model = Sequential([Dense(2, input_shape=(3,))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "model.npz"
    ...     model.save(path)
    ...     again = load_model(path)
    >>> bool((again.predict([[1, 2, 3]]) == model.predict([[1, 2, 3]])).all())
    True
    """
    return read_model(path, CLASSES)
