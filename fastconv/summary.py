"""The table of a model, as Keras prints it, in plain text."""

import shutil
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fastconv.graph import Graph, Node, SymbolicTensor
from fastconv.layers.base import Layer
from fastconv.receptive_field import ReceptiveField, field_or_none, input_field

if TYPE_CHECKING:
    from fastconv.models.base import BaseModel

_GAP = 2


class _Column(NamedTuple):
    """A column; a cell that wraps is broken at spaces where the table is too wide, an optional column is left out."""

    title: str
    right: bool = False
    wraps: bool = False
    optional: bool = False


_LAYER, _SHAPE, _COUNT = (
    _Column("Layer (type)", wraps=True),
    _Column("Output Shape", wraps=True),
    _Column("Param #", True),
)
_COST = _Column("Mult-adds", right=True, optional=True)
_FIELD = _Column("Field/ stride/ start", wraps=True, optional=True)
_SOURCES = _Column("Connected to", wraps=True)

Row = list[str]


def print_summary(
    model: "BaseModel", line_length: int | None = None, print_fn: Callable[[str], object] | None = None
) -> None:
    """Print a model's table; see `BaseModel.summary`."""
    (print_fn or print)(format_summary(model, line_length or shutil.get_terminal_size((80, 24)).columns))


def format_summary(model: "BaseModel", line_length: int) -> str:
    """Return a model's table, at most `line_length` wide where its words allow."""
    if model.graph is None:
        columns = [_LAYER, _SHAPE, _COUNT]
        rows = [[_title(layer), "?", _params(layer)] for layer in model.layers]
    else:
        columns, rows = _graph_rows(model.graph, model.layers)
    while columns[-1].optional and sum(_narrowest(columns, rows)) + _GAP * (len(columns) - 1) > line_length:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    widths = _widths(columns, rows, line_length)
    width = sum(widths) + _GAP * (len(columns) - 1)
    head = _wrap([column.title for column in columns], columns, widths)
    lines = [f'Model: "{model.name}"', "_" * width, *head, "=" * width]
    for row in rows:
        lines += _wrap(row, columns, widths)
    lines += ["_" * width, *_totals(model)]
    return "\n".join(lines)


def _graph_rows(graph: Graph, layers: Sequence[Layer]) -> tuple[list[_Column], list[Row]]:
    """Return a row for each layer that is listed, at its first call."""
    columns = [_LAYER, _SHAPE, _COUNT, _SOURCES, _COST, _FIELD]
    places = {node: f"{node.layer.name}[{number}]" for node, number in graph.calls()}
    fields = graph.walk([input_field(graph)] * len(graph.inputs), field_or_none)
    rows: dict[int, Row] = {}
    for node in graph.nodes:
        key = id(node.layer)
        sources = [f"{places[tensor.node]}[{tensor.index}]" for tensor in node.inputs]
        if key in rows:
            rows[key][3] += ", " + ", ".join(sources)
        elif any(node.layer is layer for layer in layers):
            field = fields[graph.reference(SymbolicTensor((), node, 0))]
            rows[key] = [
                _title(node.layer),
                ", ".join(map(str, node.shapes)),
                _params(node.layer),
                ", ".join(sources) or "-",
                f"{_multiply_adds(node):,}",
                "-" if field is None else _field(field),
            ]
    if _branches(graph):
        return columns, list(rows.values())
    return [*columns[:3], *columns[4:]], [[*row[:3], *row[4:]] for row in rows.values()]


def _branches(graph: Graph) -> bool:
    """Whether the graph is no chain: the table then says what each layer is connected to."""
    return any(len(node.inputs) > 1 for node in graph.nodes) or sum(
        len(node.inputs) for node in graph.nodes
    ) + 1 != len(graph.nodes)


def _multiply_adds(node: Node) -> int:
    """Return the multiplications of a node with weights, for one input."""
    if node.layer.graph is not None:
        return sum(_multiply_adds(inner) for inner in node.layer.graph.nodes if inner.inputs)
    shapes = [tensor.shape for tensor in node.inputs]
    return int(node.layer.multiply_adds(node.layer.joined(shapes))) if shapes else 0


def _title(layer: Layer) -> str:
    return f"{layer.name} ({type(layer).__name__})"


def _params(layer: Layer) -> str:
    return f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"


def _field(field: ReceptiveField) -> str:
    """Return size, stride and start; one number for axes that are equal."""
    return "/".join(str(numbers[0]) if len(set(numbers)) == 1 else ",".join(map(str, numbers)) for numbers in field)


def _narrowest(columns: Sequence[_Column], rows: Sequence[Row]) -> list[int]:
    """Return the least widths of the columns."""
    table = [[column.title for column in columns], *rows]
    return [
        max(len(word) for row in table for word in (row[index].split(" ") if column.wraps else [row[index]]))
        for index, column in enumerate(columns)
    ]


def _widths(columns: Sequence[_Column], rows: Sequence[Row], line_length: int) -> list[int]:
    """Return the widths that the columns want, cut one by one until the table fits."""
    table = [[column.title for column in columns], *rows]
    widths = [max(len(row[index]) for row in table) for index in range(len(columns))]
    excess = sum(widths) + _GAP * (len(columns) - 1) - line_length
    least = _narrowest(columns, rows)
    # Shapes are broken last: they are what is read most.
    for column in (_FIELD, _LAYER, _SOURCES, _SHAPE):
        if column not in columns:
            continue
        index = columns.index(column)
        cut = max(min(excess, widths[index] - least[index]), 0)
        widths[index] -= cut
        excess -= cut
    return widths


def _wrap(row: Sequence[str], columns: Sequence[_Column], widths: Sequence[int]) -> list[str]:
    cells = [textwrap.wrap(text, width, break_long_words=False) for text, width in zip(row, widths, strict=True)]
    lines = []
    for index in range(max(len(cell) for cell in cells)):
        texts = [cell[index] if index < len(cell) else "" for cell in cells]
        aligned = [
            text.rjust(width) if column.right else text.ljust(width)
            for text, column, width in zip(texts, columns, widths, strict=True)
        ]
        lines.append((" " * _GAP).join(aligned).rstrip())
    return lines


def _totals(model: "BaseModel") -> list[str]:
    layers = model.leaves().values()
    trained = [array for layer in layers if layer.trainable for array in layer.params.values()]
    every = [array for layer in layers for array in (*layer.params.values(), *layer.state.values())]
    kept = [array for layer in layers if not layer.trainable for array in layer.params.values()]
    kept += [array for layer in layers for array in layer.state.values()]
    rows = [("Total params", every), ("Trainable params", trained), ("Non-trainable params", kept)]
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
