"""The table of a model, as Keras prints it, in plain text."""

import shutil
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fastconv.layers.base import Layer, Shape

if TYPE_CHECKING:
    from fastconv.models import Sequential

_HEADER = ("Layer (type)", "Output Shape", "Param #")
_GAP = 2


def print_summary(
    model: "Sequential", line_length: int | None = None, print_fn: Callable[[str], object] | None = None
) -> None:
    """Print a model's table; see `Sequential.summary`."""
    (print_fn or print)(format_summary(model, line_length or shutil.get_terminal_size((80, 24)).columns))


def format_summary(model: "Sequential", line_length: int) -> str:
    """Return a model's table, at most `line_length` wide where its words allow."""
    rows = [_HEADER, *_layer_rows(model.layers, model.input_shape if model.built else None)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    # Only the first two columns may be wrapped, the widest of them first.
    excess = sum(widths) + 2 * _GAP - line_length
    for column in (0, 1):
        if excess > 0:
            narrowest = max(len(word) for row in rows for word in row[column].split(" "))
            cut = min(excess, widths[column] - narrowest)
            widths[column] -= cut
            excess -= cut
    width = sum(widths) + 2 * _GAP
    lines = [f'Model: "{model.name}"', "_" * width, *_wrap(_HEADER, widths), "=" * width]
    for row in rows[1:]:
        lines += [*_wrap(row, widths)]
    lines += ["_" * width, *_totals(model)]
    return "\n".join(lines)


def _layer_rows(layers: Sequence[Layer], input_shape: Shape | None) -> list[tuple[str, str, str]]:
    rows = []
    shape = input_shape
    for layer in layers:
        shape = None if shape is None else layer.output_shape(shape)
        params = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
        rows.append((f"{layer.name} ({type(layer).__name__})", "?" if shape is None else str(shape), params))
    return rows


def _wrap(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = [textwrap.wrap(text, width, break_long_words=False) for text, width in zip(row, widths, strict=True)]
    lines = []
    for index in range(max(len(cell) for cell in cells)):
        first, second, last = (cell[index] if index < len(cell) else "" for cell in cells)
        gap = " " * _GAP
        lines.append(f"{first:<{widths[0]}}{gap}{second:<{widths[1]}}{gap}{last:>{widths[2]}}".rstrip())
    return lines


def _totals(model: "Sequential") -> list[str]:
    trained = [array for layer in model.layers for array in layer.params.values()]
    kept = [array for layer in model.layers for array in layer.state.values()]
    rows = [("Total params", trained + kept), ("Trainable params", trained), ("Non-trainable params", kept)]
    if model.optimizer is not None and model.optimizer.iterations:
        slots = [array for entries in model.optimizer.slots.values() for array in entries.values()]
        rows.append(("Optimizer params", slots))
    return [
        f"{title}: {sum(array.size for array in arrays):,} ({_size(sum(array.nbytes for array in arrays))})"
        for title, arrays in rows
    ]


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024:
            return f"{count:.2f} {unit}"
        count /= 1024
    return f"{count:.2f} TB"
