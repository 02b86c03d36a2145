"""Times fastconv against torch, interleaved, and writes a table; bench/README.md has the method."""

import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from cases import CASES, Case, Conv
from contestants import Contestant, Problem, contestants
from tqdm import tqdm

import fastconv as fc
from fastconv import _core

SAMPLE_SECONDS = 0.004  # at least, so that a call's own time is not the clock's
MOST_ROUNDS, FEWEST_ROUNDS = 60, 5
SETTLE_SECONDS = 0.01  # until another library's idle threads have stopped spinning


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


def measure(case: Case, data_format: str, seconds: float, peaks: dict[str, float], progress: tqdm) -> Row:
    """Time everyone who computes a case, in turns, for about `seconds`."""
    problem = Problem(case)
    everyone = contestants(problem, data_format)
    right = {player.name: problem.is_right(player.result(player.call())) for player in everyone}
    repeats = {player.name: repeats_for(player) for player in everyone}
    samples: dict[str, list[float]] = {player.name: [] for player in everyone}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < FEWEST_ROUNDS or (rounds < MOST_ROUNDS and time.perf_counter() < end):
        for player in everyone:
            samples[player.name].append(sample(player, repeats[player.name]))
        rounds += 1
        progress.set_postfix_str(f"{case.name}, round {rounds}")

    times = {name: statistics.median(values) if right[name] else None for name, values in samples.items()}
    rates = {name: None if seconds is None else case.work / seconds / 1e9 for name, seconds in times.items()}
    peers = [value for name, value in times.items() if name != "fastconv" and value is not None]
    own, rate = times["fastconv"], rates["fastconv"]
    peak = peaks.get(f"{_core.isa()} {case.dtype}") if isinstance(case, Conv) else None
    return Row(
        case.name,
        "GFLOP/s" if isinstance(case, Conv) else "GB/s read",
        rounds,
        {name: None if value is None else value * 1e3 for name, value in times.items()},
        rates,
        min(peers) / own if own is not None and peers else None,
        100 * rate / peak if rate is not None and peak else None,
    )


def repeats_for(player: Contestant) -> int:
    """Return the number of calls that fill a sample, after warming up."""
    for _ in range(3):
        start = time.perf_counter()
        player.call()
        elapsed = time.perf_counter() - start
    return max(1, round(SAMPLE_SECONDS / elapsed))


def sample(player: Contestant, repeats: int) -> float:
    """Return the mean seconds of `repeats` calls, after one that fetches what the others have displaced."""
    if fc.get_num_threads() > 1:
        time.sleep(SETTLE_SECONDS)
    player.call()
    start = time.perf_counter()
    for _ in range(repeats):
        player.call()
    return (time.perf_counter() - start) / repeats


def measured_peaks() -> dict[str, float]:
    """Return GFLOP/s of one core by instruction set and dtype, from peak.c; empty without a C compiler."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "peak")
        compiler = shlex.split(os.environ.get("CC", "cc"))
        command = [
            *compiler,
            "-O2",
            "-std=gnu11",
            "-ffp-contract=fast",
            Path(__file__).with_name("peak.c"),
            "-o",
            program,
        ]
        try:
            subprocess.run(command, check=True, capture_output=True)
            output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return {}
    return {" ".join(line.split()[:2]): float(line.split()[2]) for line in output.splitlines()}


def cpu_model() -> str:
    """Return the CPU's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown CPU"
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def machine(args: argparse.Namespace, peaks: dict[str, float]) -> dict[str, str]:
    """Describe where and how a table was measured."""
    isa = _core.isa()
    own_peaks = [f"{value:.0f} {name.split()[1]}" for name, value in peaks.items() if name.startswith(f"{isa} ")]
    return {
        "Date": datetime.date.today().isoformat(),
        "Machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {cpu_model()}",
        "Instruction set": isa,
        "FMA peak of a core": f"{', '.join(own_peaks)} GFLOP/s" if own_peaks else "not measured: no C compiler",
        "Versions": f"fastconv {fc.__version__}, built by {_core.compiler()}; Python {platform.python_version()}, "
        f"NumPy {np.__version__}, torch {torch.__version__}",
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
    cases = [case for case in CASES if args.filter in case.name]
    if not cases:
        print(f"no case contains {args.filter!r}", file=sys.stderr)
        return 2
    torch.set_num_threads(args.threads)
    fc.set_num_threads(args.threads)
    peaks = measured_peaks()
    header = machine(args, peaks)
    rows: list[Row] = []
    with torch.inference_mode(), tqdm(cases, unit="case") as progress:
        for case in progress:
            rows.append(measure(case, args.data_format, args.budget / len(cases), peaks, progress))
            write(args.markdown, markdown(header, rows))
            write(args.json, json.dumps({"header": header, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    print(markdown(header, rows))
    return int(any(value is None for row in rows for value in row.milliseconds.values()))


if __name__ == "__main__":
    sys.exit(main())
