"""What ``fastconv bench`` has measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv.plot._drawing import ROW_WIDTH, PathLike, finished, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    "openvino": ("#882255", "2--", "---"),
    "ncnn": ("#117733", "3--", "+++"),
    "tensorflow": ("#661100", "4--", "**"),
}
OTHER_LOOK = ("#56B4E9", "h:", "oo")
BAR_HEIGHT, BAR_GAP = 0.17, 1.2


def benchmark(report: Mapping[str, Any], *, path: PathLike | None = None) -> Figure:
    """Draw what ``fastconv bench`` has measured: bars for a table, curves on logarithmic axes for a sweep.

    Parameters
    ----------
    report
        `fastconv.bench.Report.as_dict()`, or what ``--json`` wrote.
    path
        A file to write the picture to as well, see `fastconv.plot.save`.

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
    figure = _benchmark_curves(report, list(names)) if report["swept"] else _benchmark_bars(report)
    return finished(figure, path)


def _timed(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [result for result in row["results"] if result["median_ms"] is not None]


def _benchmark_bars(report: Mapping[str, Any]) -> Figure:
    rows = [row for row in report["rows"] if _timed(row)]
    bars = sum(len(_timed(row)) for row in rows)
    figure = new_figure(ROW_WIDTH + 1.0, 1.6 + BAR_HEIGHT * (bars + BAR_GAP * len(rows)))
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

    figure = new_figure(ROW_WIDTH, 5.0)
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
