"""Times fastconv against other libraries, interleaved, and writes tables; bench/README.md has the method."""

import argparse
import datetime
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from cases import GROUPS
from convolutions import Convolution
from entry import DATA_FORMATS, AnyCase, Entry, title
from machine import bandwidth
from measurement import measure
from pools import Pool, Pooling
from rectified import Rectified, Relu
from rows import Limits, rows_of
from store import Results, write
from summary import summary
from tables import page
from tasks import NetworkTask, Task
from tqdm import tqdm
from transposed import Transposed, TransposedConvolution

import fastconv as fc
from fastconv.bench import Case, own, peers

DTYPES = ("float32", "float64")
KINDS: dict[type, Callable[..., Entry]] = {
    Case: Convolution,
    Transposed: TransposedConvolution,
    Pool: Pooling,
    Relu: Rectified,
    Task: NetworkTask,
}
BUDGET = 2400.0
# They say which instructions somebody uses.
VARIABLES = ("FASTCONV_ISA", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY")


def selected(groups: Sequence[str], text: str) -> list[tuple[str, AnyCase]]:
    """Return the cases of these groups whose titles contain a text."""
    return [(group, case) for group in groups for case in GROUPS[group] if text in title(case)]


def header(args: argparse.Namespace, others: Sequence[peers.Peer], limits: Limits) -> dict[str, str]:
    """Describe where and how a table was measured."""
    bandwidths = limits.bandwidth
    variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return {
        "Date": datetime.date.today().isoformat(),
        **{label.capitalize(): text for label, text in own.machine().items()},
        "Peers": ", ".join(f"{peer.name} {peer.version}" for peer in others),
        "FMA peak": ", ".join(f"{value:.0f} {dtype}" for dtype, value in limits.gflops.items()) + " GFLOP/s",
        "Memory": f"read {bandwidths.read / 1e9:.1f}, write {bandwidths.write / 1e9:.1f}, "
        f"copy {bandwidths.copy / 1e9:.1f} GB/s",
        "Threads": str(args.threads),
        "Command": " ".join(
            [
                *(f"{name}={value}" for name, value in variables.items()),
                shlex.join(["python", "bench/run.py", *sys.argv[1:]]),
            ]
        ),
    }


def is_installed(peer: type[peers.Peer]) -> bool:
    """Whether a peer could be imported, which is not done."""
    return all(find_spec(package) is not None for package in peer.packages)


def parsed_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""

    def names(known: Sequence[str]) -> Callable[[str], list[str]]:
        def parse(text: str) -> list[str]:
            found = [word for word in text.split(",") if word]
            for word in found:
                if word not in known:
                    raise argparse.ArgumentTypeError(f"must name some of {', '.join(known)}, got {word!r}")
            return found

        return parse

    installed = [name for name, peer in peers.PEERS.items() if is_installed(peer)]
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--group", type=names(list(GROUPS)), default=list(GROUPS), metavar="A,B", help=", ".join(GROUPS))
    add("--filter", default="", metavar="TEXT", help="only cases whose title contains TEXT")
    add("--threads", type=int, default=1, metavar="N", help="threads of each library (default 1)")
    add("--budget", type=float, default=BUDGET, metavar="SECONDS", help=f"for the whole run (default {BUDGET:.0f})")
    add("--data-format", choices=[*DATA_FORMATS, "both"], default="both", help="of fastconv's arrays (default both)")
    add("--peers", type=names(list(peers.PEERS)), default=installed, metavar="A,B", help="default: those installed")
    add("--json", type=Path, metavar="FILE", help="keep every number, after each case")
    add("--markdown", type=Path, metavar="FILE", help="keep the tables, after each case")
    add("--resume", action="store_true", help="go on with what the JSON file has")
    args = parser.parse_args(words)
    if args.resume and args.json is None:
        parser.error("--resume needs --json")
    return args


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print and write; return 1 if a result was wrong."""
    args = parsed_arguments(words)
    todo = selected(args.group, args.filter)
    if not todo:
        print(f"no case contains {args.filter!r}", file=sys.stderr)
        return 2
    end = time.perf_counter() + args.budget
    others = peers.load(args.peers)
    data_formats = DATA_FORMATS if args.data_format == "both" else (args.data_format,)
    settings = {
        "threads": args.threads,
        "data_formats": list(data_formats),
        "peers": args.peers,
        "instruction set": own.machine()["instruction set"],
    }
    limits = Limits({dtype: own.peak_gflops(dtype, args.threads) for dtype in DTYPES}, bandwidth(args.threads))
    results = Results(settings, header(args, others, limits), limits)
    if args.resume and args.json.exists():
        try:
            results.resume(args.json)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
    done = results.done()
    todo = [(group, case) for group, case in todo if (group, title(case)) not in done]

    def keep() -> str:
        rows = rows_of(results.measurements)
        results.about = header(args, others, results.limits)
        claims = summary(rows, results.limits, settings["instruction set"])
        text = page(results.about, rows, results.limits, claims)
        write(args.markdown, text)
        write(args.json, results.as_text())
        return text

    with ExitStack() as stack:
        for peer in others:
            stack.enter_context(peer.session(args.threads))
        stack.enter_context(fc.set_num_threads(args.threads))
        progress = stack.enter_context(tqdm(todo, unit="case"))
        for number, (group, case) in enumerate(progress):
            progress.set_postfix_str(title(case))
            now = time.perf_counter()
            share = max(0.0, end - now) / (len(todo) - number)
            entry = KINDS[type(case)](case)
            results.measurements.append(measure(group, entry, data_formats, others, now + share))
            for dtype in DTYPES:  # the best of the run: what else the machine does can only make it look lower
                results.limits.gflops[dtype] = max(results.limits.gflops[dtype], own.peak_gflops(dtype, args.threads))
            keep()
    print(keep())
    return int(any(value is None for one in results.measurements for value in one.milliseconds.values()))


if __name__ == "__main__":
    sys.exit(main())
