"""The layers in place of those of the book's package ``common``, for scripts that stay as they are."""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType, TracebackType
from typing import Any, Self

from fastconv.compat.dlfs import layers, util

_REPLACEMENTS: Mapping[str, Mapping[str, Any]] = {
    "common.layers": {
        name: getattr(layers, name)
        for name in (
            "Convolution",
            "Pooling",
            "Affine",
            "Relu",
            "Sigmoid",
            "SoftmaxWithLoss",
            "Dropout",
            "BatchNormalization",
        )
    },
    "common.util": {"im2col": util.im2col, "col2im": util.col2im},
}


class Installation:
    """What `install` changed; as a context manager it takes it back at the end."""

    def __init__(self) -> None:
        self._finder = _Finder(self)
        self._originals: list[tuple[ModuleType, str, Any]] = []
        self._stand_ins: list[str] = []
        try:
            for name in _REPLACEMENTS:
                if name in sys.modules:
                    self._replace(sys.modules[name])
        except ImportError:
            self.undo()
            raise
        sys.meta_path.insert(0, self._finder)

    @property
    def replaced(self) -> list[str]:
        """What was replaced in the book's own modules so far, such as ``"common.layers.Convolution"``."""
        return [f"{module.__name__}.{name}" for module, name, _ in self._originals]

    def undo(self) -> None:
        """Give modules their own classes back, and remove those that were made; a second call does nothing.

        What was imported from them by name, as with ``from common.layers import *``, stays where it is.
        """
        global _active
        for module, name, original in self._originals:
            setattr(module, name, original)
        for name in self._stand_ins:
            sys.modules.pop(name, None)
        self._originals.clear()
        self._stand_ins.clear()
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        if _active is self:
            _active = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.undo()

    def _replace(self, module: ModuleType) -> None:
        """Put the classes into a module of the book."""
        names = _REPLACEMENTS[module.__name__]
        missing = [name for name in names if not hasattr(module, name)]
        if missing:
            raise ImportError(
                f"install: {module.__name__} must be the book's and have {', '.join(missing)}, "
                f"got {getattr(module, '__file__', module)}"
            )
        for name, replacement in names.items():
            self._originals.append((module, name, getattr(module, name)))
            setattr(module, name, replacement)

    def _make(self, module: ModuleType) -> None:
        """Fill a module that stands in where there is none."""
        self._stand_ins.append(module.__name__)
        vars(module).update(_REPLACEMENTS.get(module.__name__, {}))


_active: Installation | None = None


def install() -> Installation:
    """Let ``common.layers`` and ``common.util`` have the classes and functions of this module.

    Call it before the script, or the module with the network, imports them; nothing is imported by the call itself.

    - Where a package ``common`` of the book is found when it is imported, also through a path that the script adds to
      ``sys.path`` later, its modules are loaded as they are. Then the layers in ``common.layers`` and `im2col` and
      `col2im` in ``common.util`` are replaced; all other names and modules stay the book's.
    - A module of that name that is not the book's is never changed: importing it is an ImportError.
    - Where there is no package ``common``, one is made with these two modules and these names.

    Returns
    -------
    Installation
        Its ``undo()`` takes everything back; it also works in a ``with`` statement. Until then further calls return
        the same object.

    Raises
    ------
    ImportError
        If a ``common.layers`` or ``common.util`` that is already loaded is not the book's.

    Examples
    --------
    >>> from fastconv.compat import dlfs
    >>> with dlfs.install():
    ...     from common.layers import Convolution, Relu
    >>> Convolution is dlfs.Convolution
    True
    """
    global _active
    if _active is None:
        _active = Installation()
    return _active


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the book's modules as others do, and has them changed when they are loaded."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "common" and fullname not in _REPLACEMENTS:
            return None
        found = self._found_by_others(fullname, path, target)
        if found is not None:
            if fullname in _REPLACEMENTS and found.loader is not None:
                found.loader = _ReplacingLoader(found.loader, self._installation)
            return found
        if fullname == "common" or "common" in self._installation._stand_ins:
            loader = _StandInLoader(self._installation)
            return importlib.machinery.ModuleSpec(fullname, loader, is_package=fullname == "common")
        return None

    def _found_by_others(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> importlib.machinery.ModuleSpec | None:
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        return next((spec for spec in others if spec is not None), None)


class _ReplacingLoader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader, installation: Installation) -> None:
        self._loader = loader
        self._installation = installation

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._installation._replace(module)

    def __getattr__(self, name: str) -> Any:
        # Debuggers and inspect ask a loader for its source.
        return getattr(self._loader, name)


class _StandInLoader(importlib.abc.Loader):
    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        self._installation._make(module)
