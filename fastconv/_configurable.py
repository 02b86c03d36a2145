"""Objects that are rebuilt from the arguments of their constructors: layers, losses, optimizers, metrics..."""

import inspect
from collections.abc import Mapping
from typing import Any, Protocol, Self, TypeVar

import numpy as np


class Configurable:
    """Keep every constructor argument in an attribute of its name, so that `get_config` finds it there."""

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments by name, as values that JSON can hold."""
        return {name: _to_plain(getattr(self, name)) for name in _argument_names(type(self))}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build an object from what `get_config` returned; arguments that are left out take their defaults."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class HasConfig(Protocol):
    """What `serialize` needs."""

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` takes."""


C = TypeVar("C", bound=Configurable)


def serialize(thing: HasConfig) -> dict[str, Any]:
    """Return ``{"class_name": ..., "config": ...}``, the form in which Keras writes an object as JSON."""
    return {"class_name": type(thing).__name__, "config": thing.get_config()}


def resolve(where: str, identifier: Any, base: type[Any], names: Mapping[str, type[C]]) -> C:
    """Return the object that a name, a class, a dict from `serialize` or the object itself stands for.

    Parameters
    ----------
    where : str
        Function and argument, for the error: ``"compile: optimizer"``.
    identifier : str, type, dict or object
    base : type
        The class that the object must have.
    names : mapping
        Classes by every name they may be given by.
    """
    found: C
    if isinstance(identifier, base):
        found = identifier
        return found
    if isinstance(identifier, type) and issubclass(identifier, base):
        found = identifier()
        return found
    if isinstance(identifier, str) and identifier in names:
        return names[identifier]()
    if isinstance(identifier, Mapping):
        return _deserialize(where, identifier, names)
    error = ValueError if isinstance(identifier, str) else TypeError
    choices = ", ".join(repr(name) for name in names)
    raise error(f"{where} must be one of {choices} or an instance of {base.__name__}, got {identifier!r}")


def _deserialize(where: str, serialized: Mapping[str, Any], names: Mapping[str, type[C]]) -> C:
    classes = {cls.__name__: cls for cls in names.values()}
    class_name, config = serialized.get("class_name"), serialized.get("config", {})
    if not isinstance(class_name, str) or class_name not in classes:
        raise ValueError(f"{where} must have a class_name among {', '.join(sorted(classes))}, got {class_name!r}")
    if not isinstance(config, Mapping):
        raise ValueError(f"{where} must have a config that is a mapping, got {config!r}")
    return classes[class_name].from_config(config)


def _argument_names(cls: type) -> list[str]:
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base) and base is not object:
            for parameter in list(inspect.signature(base).parameters.values()):
                if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                    names[parameter.name] = None
    return list(names)


def _to_plain(value: object) -> object:
    if isinstance(value, Configurable):
        return serialize(value)
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [_to_plain(entry) for entry in value]
    return value
