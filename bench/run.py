"""Times fastconv against torch, interleaved, and writes a table; bench/README.md has the method."""

import argparse
import datetime
import json
import shlex
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from cases import CASES, MaxPool, title
from contestants import contestants
from tqdm import tqdm

import fastconv as fc
from fastconv.bench import Case, clock, own
from fastconv.bench.peers import Torch


@dataclass
class Row:
    """What one case measured; None where a result was wrong."""

    case: str
    unit: str
    rounds: int
    milliseconds: dict[str, float | None]
    rate: dict[str, float | None]
    ratio: float | None  # to the better of torch's layouts
    peak_percent: float | None


def measure(case: Case | MaxPool, data_format: str, seconds: float, peaks: dict[str, float], torch_peer: Torch) -> Row:
    """Time everyone who computes a case, in turns, for about `seconds`."""
    problem, everyone = contestants(case, data_format, torch_peer)
    right = [one for one in everyone if problem.is_right(one.result(one.call()), one.algorithm)]
    samples = clock.interleaved(right, seconds)
    times = {one.name: statistics.median(samples[one.name]) if one in right else None for one in everyone}
    rates = {name: None if seconds is None else case.work / seconds / 1e9 for name, seconds in times.items()}
    peers = [value for name, value in times.items() if name != "fastconv" and value is not None]
    mine, rate = times["fastconv"], rates["fastconv"]
    peak = None if isinstance(case, MaxPool) else peaks[case.dtype]
    return Row(
        title(case),
        "GB/s read" if isinstance(case, MaxPool) else "GFLOP/s",
        max(map(len, samples.values()), default=0),
        {name: None if value is None else value * 1e3 for name, value in times.items()},
        rates,
        min(peers) / mine if mine is not None and peers else None,
        100 * rate / peak if rate is not None and peak is not None else None,
    )


def header(args: argparse.Namespace, peaks: dict[str, float], torch_peer: Torch) -> dict[str, str]:
    """Describe where and how a table was measured."""
    return {
        "Date": datetime.date.today().isoformat(),
        **{label.capitalize(): text for label, text in own.machine().items()},
        "Torch": torch_peer.version,
        "FMA peak": ", ".join(f"{value:.0f} {dtype}" for dtype, value in peaks.items()) + " GFLOP/s",
        "Threads": str(args.threads),
        "Data format of fastconv": args.data_format,
        "Command": shlex.join(["python", "bench/run.py", *sys.argv[1:]]),
    }


def markdown(header: dict[str, str], rows: list[Row]) -> str:
    """Return the table."""
    names = list(rows[0].milliseconds) if rows else []

    def cell(value: float | None, form: str) -> str:
        return "wrong" if value is None else format(value, form)

    lines = ["# fastconv against torch", "", *[f"- {key}: {value}" for key, value in header.items()], ""]
    lines += [
        "| case | " + " | ".join(f"{name}, ms" for name in names) + " | fastconv | of peak | times torch's better |"
    ]
    lines += ["|---|" + "---:|" * (len(names) + 3)]
    for row in rows:
        cells = [cell(row.milliseconds[name], ".3f") for name in names]
        percent = "" if row.peak_percent is None else f"{row.peak_percent:.0f}%"
        rate = f"{cell(row.rate['fastconv'], '.1f')} {row.unit}"
        lines.append(f"| {row.case} | {' | '.join(cells)} | {rate} | {percent} | {cell(row.ratio, '.2f')} |")
    return "\n".join([*lines, ""])


def write(path: Path | None, text: str) -> None:
    """Write a result file as a whole, so that an interrupted run leaves the one before."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(path.suffix + ".partial")
        partial.write_text(text)
        partial.replace(path)


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--filter", default="", metavar="TEXT", help="only cases whose name contains TEXT")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of each library (default 1)")
    parser.add_argument("--budget", type=float, default=60, metavar="SECONDS", help="time for all cases (default 60)")
    parser.add_argument("--data-format", choices=["channels_last", "channels_first"], default="channels_last")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    return parser.parse_args()


def main() -> int:
    """Measure, print and write; return 1 if a result was wrong."""
    args = parsed_arguments()
    cases = [case for case in CASES if args.filter in title(case)]
    if not cases:
        print(f"no case contains {args.filter!r}", file=sys.stderr)
        return 2
    torch_peer = Torch("torch")
    rows: list[Row] = []
    with torch_peer.session(args.threads), fc.set_num_threads(args.threads), tqdm(cases, unit="case") as progress:
        peaks = {dtype: own.peak_gflops(dtype, args.threads) for dtype in ("float32", "float64")}
        about = header(args, peaks, torch_peer)
        for case in progress:
            progress.set_postfix_str(title(case))
            rows.append(measure(case, args.data_format, args.budget / len(cases), peaks, torch_peer))
            write(args.markdown, markdown(about, rows))
            write(args.json, json.dumps({"header": about, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    print(markdown(about, rows))
    return int(any(value is None for row in rows for value in row.milliseconds.values()))


if __name__ == "__main__":
    sys.exit(main())
