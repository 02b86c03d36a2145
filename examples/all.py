"""Runs every example and prints one table: figure wanted, figure got, source; before it, each script's time.

The time is that of the clock and that of all processors, user and system: on a machine that does other things besides,
the latter divided by the number of threads is the least that it would take on an idle one.

``python examples/all.py [--small] [--output DIR]``; exits with 1 if a script fails.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from lecture import DEFAULT_OUTPUT

HERE = Path(__file__).resolve().parent
NO_SCRIPTS = {"all", "lecture"}


class Stopwatch:
    """Times since it was made, of the clock and of the processors in the child processes that have ended."""

    def __init__(self) -> None:
        self.start = self._now()

    def __str__(self) -> str:
        clock, processors = (now - then for now, then in zip(self._now(), self.start, strict=True))
        return f"{clock:.1f} s, {processors:.1f} s of processors"

    @staticmethod
    def _now() -> tuple[float, float]:
        times = os.times()
        return time.perf_counter(), times.children_user + times.children_system


def lines_of(path: Path) -> list[tuple[str, str, str, str]]:
    """Return the rows of the table that a script's figures make."""
    content = json.loads(path.read_text())
    return [
        (
            f"{content['script']}: {figure['name']}",
            figure["wanted"],
            figure["got"] + ("" if figure["holds"] else "  FAILED"),
            figure["source"],
        )
        for figure in content["figures"]
    ]


def main() -> int:
    """Run the scripts one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    options = parser.parse_args()
    failed = []
    rows = [("figure", "wanted", "got", "source")]
    whole = Stopwatch()
    for path in sorted(HERE.glob("*.py")):
        if path.stem in NO_SCRIPTS:
            continue
        own = Stopwatch()
        print(f"\n== {path.stem}", flush=True)
        figures = options.output / f"{path.stem}.json"
        figures.unlink(missing_ok=True)
        takes_options = "from lecture import" in path.read_text()
        extra = ["--output", str(options.output), *(["--small"] * options.small)] if takes_options else []
        done = subprocess.run([sys.executable, path, *extra])
        print(f"   {own}")
        if done.returncode != 0:
            failed.append(path.stem)
        if figures.exists():
            rows += lines_of(figures)
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    print()
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip())
    print(f"\nall of it: {whole}")
    print(f"failed: {', '.join(failed)}" if failed else "every script succeeded")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
