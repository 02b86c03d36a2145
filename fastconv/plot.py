"""Pictures of training, of what a network has learnt and of benchmarks, as matplotlib figures.

Every function returns a `matplotlib.figure.Figure` that no window system and no global state is attached to: show it in
a notebook or write it with `save`. Signed pictures are grey at zero, black where negative, white where positive.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv.archive import atomic_file
from fastconv.layers import Dropout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastconv.models import BaseModel

__all__ = ["benchmark", "confusion_matrix", "feature_maps", "filters", "history", "save"]

Array = npt.NDArray[Any]

# Okabe and Ito's colours for the colour-blind; the lines differ in dash and marker too.
TRAINING, VALIDATION = "#0072B2", "#D55E00"
# Black, grey and white carry values in signed pictures, so the gaps between the maps have a colour.
GAP = "#BFD7EA"
SIGNED_LEGEND = "black negative, grey zero, white positive"
FILTERS_PER_ROW = 8
MAPS_PER_ROW, MOST_MAPS = 16, 32
UNITS_PER_ROW, MOST_UNITS = 64, 256
MOST_BARS = 20
# Small tiles are enlarged to about this many pixels, so that the gaps stay thin beside them.
TILE_PIXELS = 32
# Inches; a row is at least as high as its two lines of label.
ROW_WIDTH, LEAST_ROW_HEIGHT = 8.0, 0.36
# Of a benchmark: colour (Okabe and Ito's and greys), marker and dash of a curve, hatch of a bar. Colour-blind eyes tell
# green from grey by the hatch. A contestant looks the same in every picture; other libraries are dashed.
LOOKS = {
    "direct": ("#0072B2", "o-", ""),
    "im2col": ("#F0E442", "s-", "//"),
    "toeplitz": ("#009E73", "^-", ""),
    "toeplitz_full": ("#999999", "v-", "\\\\"),
    "winograd": ("#CC79A7", "*-", "xx"),
    "winograd_2x2": ("#E69F00", "D-", ""),
    "winograd_4x4": ("#D55E00", "P-", ""),
    "torch": ("#555555", "x--", "||"),
    "torch channels_last": ("#000000", "+--", ""),
    "onnxruntime": ("#BBBBBB", "1--", "..."),
}
OTHER_LOOK = ("#56B4E9", "h:", "oo")
BAR_HEIGHT, BAR_GAP = 0.17, 1.2


def history(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draw loss and metrics over the epochs, validation beside training.

    Parameters
    ----------
    history
        The dict ``model.fit(...).history``: one value an epoch for ``loss`` and each metric, and for their ``val_``
        twins where there was validation.

    Returns
    -------
    matplotlib.figure.Figure
        One panel for the loss and one for each metric.

    Raises
    ------
    ValueError
        `history` is empty.

    Examples
    --------
    >>> from fastconv import plot
    >>> figure = plot.history({"loss": [1.0, 0.5], "val_loss": [1.1, 0.7]})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss']
    """
    names = [name for name in history if not name.startswith("val_")]
    if not names or not history[names[0]]:
        raise ValueError("history: history must hold at least one value of one epoch, got none")
    figure = _figure(4.5 * len(names), 3.5)
    for panel, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        curves = (("training", name, TRAINING, "-o"), ("validation", f"val_{name}", VALIDATION, "--s"))
        for label, key, colour, line in curves:
            if key in history:
                panel.plot(range(1, 1 + len(history[key])), history[key], line, color=colour, label=label, markersize=4)
        panel.set(xlabel="epoch", ylabel=name)
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
        panel.legend()
    return figure


def filters(model: BaseModel, layer: str | None = None) -> Figure:
    """Draw the kernels of a convolution layer.

    Parameters
    ----------
    model
        A network that has been built.
    layer
        The layer's name, or None for the first convolution.

    Returns
    -------
    matplotlib.figure.Figure
        One tile for each filter and input channel, all on one signed scale; with several input channels each filter
        has a row of its own.

    Raises
    ------
    ValueError
        There is no such layer, or it is no two-dimensional convolution.

    Examples
    --------
    >>> import fastconv as fc
    >>> from fastconv import plot
    >>> model = fc.Sequential([fc.layers.Conv2D(8, 3, input_shape=(8, 8, 1), name="edges")])
    >>> plot.filters(model).get_suptitle()
    'edges: 8 filters of 3x3'
    """
    kernels = {found.name: found.params["kernel"] for found in model.layers if _has_2d_kernel(found.params)}
    name = next(iter(kernels), None) if layer is None else layer
    if name not in kernels:
        raise ValueError(f"filters: layer must name a convolution out of {', '.join(kernels) or 'none'}, got {layer!r}")
    kernel = kernels[name]
    height, width, channels, count = kernel.shape
    tiles = kernel.transpose(3, 2, 0, 1).reshape(-1, height, width)
    mosaic = _mosaic(tiles, FILTERS_PER_ROW if channels == 1 else channels)
    figure = _figure(ROW_WIDTH, 1.2 + min(12.0, ROW_WIDTH * mosaic.shape[0] / mosaic.shape[1]))
    axes = figure.subplots()
    image = _draw_signed(axes, mosaic)
    figure.colorbar(image, ax=axes, label=f"weight ({SIGNED_LEGEND})", location="bottom", fraction=0.08, aspect=40)
    figure.suptitle(f"{name}: {count} filters of {height}x{width}" + (f"x{channels}" if channels > 1 else ""))
    return figure


def feature_maps(model: BaseModel, image: npt.ArrayLike, classes: Sequence[str] | None = None) -> Figure:
    """Draw what each layer makes of one image, from the input to the guess.

    Each row has a signed scale of its own: black is minus the largest magnitude, grey zero, white plus the largest
    magnitude. Maps stand side by side in the order of their channels, the first 32 of them; a layer without maps is a
    strip of its units, the first 256 of them; a last layer of at most 20 units is a bar for each class. Dropout, which
    does nothing outside training, is left out.

    Parameters
    ----------
    model
        A network that has been built.
    image
        One input, of shape ``(h, w, c)``.
    classes
        The names under the bars; by default their numbers.

    Returns
    -------
    matplotlib.figure.Figure
        A row for the input and for each layer.

    Raises
    ------
    ValueError
        `image` is not what the network takes.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> from fastconv import plot
    >>> model = fc.Sequential([fc.layers.Conv2D(4, 3, input_shape=(8, 8, 1)), fc.layers.ReLU()])
    >>> len(plot.feature_maps(model, np.ones((8, 8, 1))).axes)
    3
    """
    steps = _forward_by_layer(model, np.asarray(image))
    last = steps[-1][1]
    bars = last.ndim == 1 and last.size <= MOST_BARS
    mosaics = [_mosaic(*_tiles(values, channels_last)) for _, values, channels_last in steps]
    heights = [_row_height(mosaic) for mosaic in mosaics]
    if bars:
        heights[-1] = 1.0
    figure = _figure(ROW_WIDTH + 2.0, sum(heights) + 0.12 * len(heights) + 0.6)
    rows = figure.add_gridspec(len(steps), 1, height_ratios=heights)
    for row, ((name, values, channels_last), mosaic) in enumerate(zip(steps, mosaics, strict=True)):
        axes = figure.add_subplot(rows[row])
        shown, available = _shown(values, channels_last)
        size = "x".join(map(str, values.shape)) + (f" ({shown} shown)" if shown < available else "")
        if bars and values is last:
            _draw_bars(axes, values, classes)
            label = f"{name}\n{size}"
        else:
            _draw_signed(axes, mosaic)
            axes.set_anchor("W")
            label = f"{name}\n{size}, ±{np.abs(values).max(initial=0):.2g}"
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    figure.suptitle(f"{SIGNED_LEGEND}; each row scaled to its largest magnitude (±)", fontsize=10)
    return figure


def confusion_matrix(matrix: npt.ArrayLike, classes: Sequence[str] | None = None) -> Figure:
    """Draw a confusion matrix: counts as numbers, the share of the true class as colour.

    Parameters
    ----------
    matrix
        Counts of shape (k, k), one row a true class and one column a predicted class.
    classes
        The names of the classes; by default their numbers.

    Returns
    -------
    matplotlib.figure.Figure
        The matrix, darker where more of a true class went.

    Raises
    ------
    ValueError
        `matrix` is not square, or `classes` does not name each class.

    Examples
    --------
    >>> from fastconv import plot
    >>> plot.confusion_matrix([[9, 1], [0, 10]], ["cat", "dog"]).get_suptitle()
    '19 of 20 right (95.00%)'
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ValueError(f"confusion_matrix: matrix must have shape (k, k), got {counts.shape}")
    names = [str(label) for label in range(len(counts))] if classes is None else list(classes)
    if len(names) != len(counts):
        raise ValueError(f"confusion_matrix: classes must name {len(counts)} classes, got {len(names)}")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.8 + 0.45 * len(counts)
    figure = _figure(side + 0.9, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.05)
    right, total = np.trace(counts), counts.sum()
    figure.suptitle(f"{right} of {total} right ({right / max(total, 1):.2%})")
    return figure


def benchmark(report: Mapping[str, Any]) -> Figure:
    """Draw what ``fastconv bench`` has measured: bars for a table, curves on logarithmic axes for a sweep.

    Parameters
    ----------
    report
        `fastconv.bench.Report.as_dict()`, or what ``--json`` wrote.

    Returns
    -------
    matplotlib.figure.Figure
        Bars are 10^9 operations of the direct method a second, the longer the faster, beside the machine's FMA peak;
        curves are medians in milliseconds. A ring or a star marks what ``algorithm="auto"`` takes.

    Raises
    ------
    ValueError
        The report holds no time.

    Examples
    --------
    >>> from fastconv import bench, plot
    >>> case = bench.Case((1, 8, 8, 2), 4, 3)
    >>> figure = plot.benchmark(bench.run([case], threads=1, seconds=0).as_dict())
    >>> figure.axes[0].get_xlabel()
    'GFLOP/s, counted as direct'
    """
    names = dict.fromkeys(result["name"] for row in report["rows"] for result in _timed(row))
    if not names:
        raise ValueError("benchmark: report must hold at least one time, got none")
    return _benchmark_curves(report, list(names)) if report["swept"] else _benchmark_bars(report)


def _timed(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [result for result in row["results"] if result["median_ms"] is not None]


def _benchmark_bars(report: Mapping[str, Any]) -> Figure:
    rows = [row for row in report["rows"] if _timed(row)]
    bars = sum(len(_timed(row)) for row in rows)
    figure = _figure(ROW_WIDTH + 1.0, 1.6 + BAR_HEIGHT * (bars + BAR_GAP * len(rows)))
    axes = figure.subplots()
    top, centres, shown = 0.0, [], {}
    # The text stands over the line of the peak, which stands over the bars.
    text_style: dict[str, Any] = {"va": "center", "fontsize": 7, "bbox": {"color": "white", "pad": 0.4}, "zorder": 3}
    for row in rows:
        results = _timed(row)
        for place, result in enumerate(results, start=1):
            (colour, _, hatch), rate = LOOKS.get(result["name"], OTHER_LOOK), result["gflops"]
            (shown[result["name"]],) = axes.barh(
                top + place, rate, color=colour, hatch=hatch, edgecolor="white", linewidth=0, zorder=1
            )
            text = f"{result['median_ms']:.3g} ms" + " ★ auto" * result["auto"]
            weight = "bold" if result["auto"] else "normal"
            axes.annotate(
                text, (rate, top + place), (4, 0), textcoords="offset points", fontweight=weight, **text_style
            )
        centres.append(top + (len(results) + 1) / 2)
        top += len(results) + BAR_GAP
    peak = report["peak_gflops"]
    line = axes.axvline(peak, color="black", linestyle="--", linewidth=1, zorder=2)
    axes.set_yticks(centres, [_case_label(row["case"]) for row in rows], fontsize=8)
    axes.set(xlabel="GFLOP/s, counted as direct", ylim=(top - BAR_GAP + 1, 0))
    axes.set_xlim(0, 1.18 * max(peak, *(result["gflops"] for row in rows for result in _timed(row))))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(_benchmark_title(report), fontsize=9)
    names = sorted(shown, key=lambda name: [*LOOKS, name].index(name))
    handles, labels = [*(shown[name] for name in names), line], [*names, f"FMA peak {peak:.0f}"]
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=8)
    return figure


def _benchmark_curves(report: Mapping[str, Any], names: Sequence[str]) -> Figure:
    from matplotlib.ticker import StrMethodFormatter

    figure = _figure(ROW_WIDTH, 5.0)
    axes = figure.subplots()
    values = [row["value"] for row in report["rows"]]
    for name in names:
        colour, line, _ = LOOKS.get(name, OTHER_LOOK)
        found = [next((r["median_ms"] for r in _timed(row) if r["name"] == name), None) for row in report["rows"]]
        times = np.array([np.nan if time is None else time for time in found])
        axes.plot(values, times, line, color=colour, label=name, markersize=6)
    auto = [(row["value"], result["median_ms"]) for row in report["rows"] for result in _timed(row) if result["auto"]]
    if auto:
        style: dict[str, Any] = {"s": 140, "facecolors": "none", "edgecolors": "black", "linewidths": 1.2, "zorder": 5}
        axes.scatter(*zip(*auto, strict=True), label="what auto takes", **style)
    axes.set(xscale="log", yscale="log", xlabel=report["swept"], ylabel="milliseconds, median")
    axes.set_xticks(values, list(map(str, values)))
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    figure.suptitle(f"last: {report['rows'][-1]['case']['text']}\n{_benchmark_title(report)}", fontsize=9)
    return figure


def _case_label(case: Mapping[str, Any]) -> str:
    return "\n".join(filter(None, [case["name"], *case["text"].split(", ", maxsplit=1)]))


def _benchmark_title(report: Mapping[str, Any]) -> str:
    case, threads = report["rows"][0]["case"], report["threads"]
    kind = "forward" if case["direction"] == "forward" else f"gradient of the {case['direction']}"
    where = f"{report['machine']['machine'].split(', ')[-1]}, {report['machine']['instruction set']}"
    return f"{kind}, {case['dtype']}, {case['data_format']}, {threads} thread{'s' * (threads > 1)} of {where}"


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure, whole or not at all, in the format of the name's ending.

    Parameters
    ----------
    figure
        What one of this module's functions returned.
    path
        The file; its folder must exist.

    Raises
    ------
    OSError
        The file cannot be written.
    ValueError
        matplotlib knows no format of that ending.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastconv import plot
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot.save(plot.history({"loss": [1.0, 0.5]}), pathlib.Path(folder, "loss.png"))
    """
    with atomic_file(path) as stream:
        figure.savefig(stream, format=Path(path).suffix.removeprefix("."), dpi=150)


def check_installed() -> None:
    """Raise an ImportError that says what to install where matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError('pictures need matplotlib: pip install "fastconv[demo]"') from error


def _figure(width: float, height: float) -> Figure:
    check_installed()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _has_2d_kernel(params: Mapping[str, Array]) -> bool:
    return "kernel" in params and params["kernel"].ndim == 4


def _forward_by_layer(model: BaseModel, image: Array) -> list[tuple[str, Array, bool]]:
    """Return name, output and "channels last" of the input and of each layer that does something, for one image."""
    wanted = (model.input_shape or ())[1:]
    if len(image.shape) != len(wanted) or any(
        w not in (None, size) for w, size in zip(wanted, image.shape, strict=True)
    ):
        raise ValueError(f"feature_maps: image must have the network's input shape {wanted}, got {image.shape}")
    values = image[np.newaxis].astype(np.float32)
    channels_last = next((_is_channels_last(layer) for layer in model.layers if hasattr(layer, "data_format")), True)
    steps = [("input", values[0], channels_last)]
    for layer in model.layers:
        values = layer.forward(values)
        channels_last = _is_channels_last(layer) if hasattr(layer, "data_format") else channels_last
        if not isinstance(layer, Dropout):
            steps.append((layer.name, values[0], channels_last))
    return steps


def _is_channels_last(layer: object) -> bool:
    return getattr(layer, "data_format", "channels_last") == "channels_last"


def _tiles(values: Array, channels_last: bool) -> tuple[Array, int]:
    """Return what is shown of one layer's output as tiles (count, h, w), and how many fit in a row."""
    if values.ndim == 3:
        maps = values.transpose(2, 0, 1) if channels_last else values
        return maps[:MOST_MAPS], MAPS_PER_ROW
    return values.reshape(-1, 1, 1)[:MOST_UNITS], UNITS_PER_ROW


def _shown(values: Array, channels_last: bool) -> tuple[int, int]:
    """Return how many maps or units of a layer's output are shown, and how many there are."""
    available = values.shape[-1 if channels_last else 0] if values.ndim == 3 else values.size
    return min(available, MOST_MAPS if values.ndim == 3 else MOST_UNITS), available


def _mosaic(tiles: Array, columns: int) -> Array:
    """Lay tiles side by side in reading order; the gaps around them, and what the last row lacks, are NaN."""
    count, height, width = tiles.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    enlargement = max(1, round(TILE_PIXELS / max(height, width)))
    height, width = height * enlargement, width * enlargement
    gap = max(height, width) // 16
    padded = np.full((rows * columns, height + gap, width + gap), np.nan)
    padded[:count, :height, :width] = tiles.repeat(enlargement, axis=1).repeat(enlargement, axis=2)
    padded = padded.reshape(rows, columns, height + gap, width + gap).swapaxes(1, 2)
    mosaic = padded.reshape(rows * (height + gap), columns * (width + gap))
    return np.pad(mosaic, ((gap, 0), (gap, 0)), constant_values=np.nan)


def _row_height(mosaic: Array) -> float:
    """Return inches: what fills the row's width, but no tile beyond an inch, as that of the input would be."""
    height, width = mosaic.shape
    return max(LEAST_ROW_HEIGHT, float(min(ROW_WIDTH / width, 1 / TILE_PIXELS) * height))


def _draw_signed(axes: Axes, mosaic: Array) -> Any:
    from matplotlib import colormaps

    shades = colormaps["gray"].with_extremes(bad=GAP)
    largest = np.nanmax(np.abs(mosaic)) or 1.0
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes.imshow(mosaic, cmap=shades, vmin=-largest, vmax=largest, interpolation="nearest")


def _draw_bars(axes: Axes, values: Array, classes: Sequence[str] | None) -> None:
    names = [str(unit) for unit in range(len(values))] if classes is None else list(classes)
    bars = axes.bar(range(len(values)), values, color=TRAINING)
    bars[int(np.argmax(values))].set_color(VALIDATION)
    axes.set_xticks(range(len(values)), names, fontsize=8)
    axes.set(yticks=[], ylim=(min(0, values.min()), max(1, values.max())))
    axes.spines[["top", "right", "left"]].set_visible(False)
