"""What a network has learnt: the kernels of its convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastconv.layers import Conv2D
from fastconv.plot._drawing import ROW_WIDTH, SIGNED_LEGEND, PathLike, draw_signed, finished, mosaic, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastconv.trainer import Trainer

FILTERS_PER_ROW = 8
MOST_FILTERS, MOST_CHANNELS = 64, 64


def filters(model: Trainer, layer: str | None = None, *, path: PathLike | None = None) -> Figure:
    """Draw the kernels of a `Conv2D` layer.

    Parameters
    ----------
    model
        A built model.
    layer
        The layer's name, or None for the first `Conv2D`. That of a layer within a model within `model` has the other's
        in front, as in ``"encoder/conv"``.
    path
        A file to write the picture to as well, see `fastconv.plot.save`.

    Returns
    -------
    matplotlib.figure.Figure
        One tile for each filter and input channel, all on one signed scale; with several input channels each filter
        has a row of its own. At most 64 filters and 64 channels are drawn.

    Raises
    ------
    RuntimeError
        The layer has no kernels yet.
    ValueError
        There is no such layer, or it is no `Conv2D`.

    Examples
    --------
    >>> import fastconv as fc
    >>> from fastconv import plot
    >>> model = fc.Sequential([fc.layers.Conv2D(8, 3, input_shape=(8, 8, 1), name="edges")])
    >>> plot.filters(model).get_suptitle()
    'edges: 8 filters of 3x3'
    """
    layers = {path: found for path, found in model.leaves().items() if isinstance(found, Conv2D)}
    name = next(iter(layers), None) if layer is None else layer
    if name not in layers:
        raise ValueError(f"filters: layer must name a Conv2D out of {', '.join(layers) or 'none'}, got {layer!r}")
    if not layers[name].built:
        raise RuntimeError(f"filters: layer {name!r} must be built, got one without kernels")
    kernel = layers[name].params["kernel"]
    height, width, channels, count = kernel.shape
    shown = kernel[:, :, :MOST_CHANNELS, :MOST_FILTERS]
    tiles = shown.transpose(3, 2, 0, 1).reshape(-1, height, width)
    drawn = mosaic(tiles, FILTERS_PER_ROW if channels == 1 else shown.shape[2])
    figure = new_figure(ROW_WIDTH, 1.2 + min(12.0, ROW_WIDTH * drawn.shape[0] / drawn.shape[1]))
    axes = figure.subplots()
    image = draw_signed(axes, drawn)
    figure.colorbar(image, ax=axes, label=f"weight ({SIGNED_LEGEND})", location="bottom", fraction=0.08, aspect=40)
    title = f"{name}: {count} filters of {height}x{width}" + (f"x{channels}, a row each" if channels > 1 else "")
    if shown.size < kernel.size:
        title += f" ({shown.shape[3]} filters, {shown.shape[2]} channels shown)"
    figure.suptitle(title)
    return finished(figure, path)
