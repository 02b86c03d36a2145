"""Which part of the input a place in a network sees."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastconv.graph import Graph, Node
from fastconv.layers._windows import Window

Sizes = tuple[int, ...]


class ReceptiveField(NamedTuple):
    """What the outputs of a layer see of the network's input, along each spatial axis.

    Output ``o`` of an axis depends on the inputs from ``start + o * stride`` to ``start + o * stride + size - 1``, as
    far as these are within the input: others are padding. For an input as a layer of its own, size and stride are 1
    and the start is 0. A layer with windows of ``k`` taps, stride ``s``, dilation ``d`` and ``p`` values of padding
    before makes of that of its input (Dumoulin & Visin 2016, arXiv:1603.07285; Araujo et al. 2019, Distill)::

        size_out   = size_in + d * (k - 1) * stride_in
        start_out  = start_in - p * stride_in
        stride_out = stride_in * s

    Where branches meet, size and start are those of the smallest window around those of all branches.

    Attributes
    ----------
    size : tuple of int
    stride : tuple of int
        How far the fields of neighbouring outputs lie apart, also called jump.
    start : tuple of int
        First input that output 0 sees; negative where it sees padding.
    """

    size: Sizes
    stride: Sizes
    start: Sizes

    def seen_through(self, window: Window) -> "ReceptiveField":
        """Return the field of a layer whose outputs see `window` of what has this field."""
        if not window.size:
            return self
        axes = list(zip(self.size, self.stride, self.start, *window, strict=True))
        return ReceptiveField(
            tuple(size + (extent - 1) * stride for size, stride, _, extent, _, _ in axes),
            tuple(stride * step for _, stride, _, _, step, _ in axes),
            tuple(start - before * stride for _, stride, start, _, _, before in axes),
        )


def receptive_fields(graph: Graph) -> dict[str, ReceptiveField]:
    """Return the fields of a graph's layers; see `BaseModel.receptive_field`."""
    (axes,) = {len(tensor.shape) - 2 for tensor in graph.inputs} if len(graph.inputs) == 1 else {0}
    if axes < 1:
        shapes = ", ".join(str(tensor.shape) for tensor in graph.inputs)
        raise ValueError(f"receptive_field: the model must have one input with spatial axes, got {shapes}")
    found: dict[str, ReceptiveField] = {}

    def visit(node: Node, fields: list[ReceptiveField | None]) -> list[ReceptiveField | None]:
        outputs = _outputs(node, fields)
        if outputs[0] is not None:
            found[node.layer.name] = outputs[0]
        return outputs

    graph.walk([_of_input(axes)], visit)
    return found


def field_or_none(node: Node, fields: Sequence[ReceptiveField | None]) -> list[ReceptiveField | None]:
    """Return the fields of a node's outputs; None where there is none, for whatever reason."""
    try:
        return _outputs(node, fields)
    except ValueError:
        return [None] * len(node.shapes)


def input_field(graph: Graph) -> ReceptiveField | None:
    """Return the field of a graph's input itself; None where it has not one input with spatial axes."""
    axes = len(graph.inputs[0].shape) - 2
    return _of_input(axes) if len(graph.inputs) == 1 and axes > 0 else None


def _of_input(axes: int) -> ReceptiveField:
    return ReceptiveField((1,) * axes, (1,) * axes, (0,) * axes)


def _outputs(node: Node, fields: Sequence[ReceptiveField | None]) -> list[Any]:
    known = [field for field in fields if field is not None]
    if len(known) < len(fields):
        return [None] * len(node.shapes)
    if node.layer.graph is not None:
        inner: Graph = node.layer.graph
        values = inner.walk(known, _outputs)
        return [values[inner.reference(tensor)] for tensor in inner.outputs]
    window = node.layer.window(node.layer.joined([tensor.shape for tensor in node.inputs]))
    return [None if window is None else _union(node.layer.name, known).seen_through(window)]


def _union(name: str, fields: Sequence[ReceptiveField]) -> ReceptiveField:
    """Return the smallest field around several; a ValueError where their strides differ."""
    if len({field.stride for field in fields}) > 1:
        raise ValueError(
            f"receptive_field: {name!r} must join branches of one stride, got"
            f" {' and '.join(str(field.stride) for field in fields)}"
        )
    starts = tuple(min(values) for values in zip(*(field.start for field in fields), strict=True))
    ends = (max(values) for values in zip(*(_ends(field) for field in fields), strict=True))
    sizes = tuple(end - start for start, end in zip(starts, ends, strict=True))
    return ReceptiveField(sizes, fields[0].stride, starts)


def _ends(field: ReceptiveField) -> Sizes:
    return tuple(start + size for start, size in zip(field.start, field.size, strict=True))
