"""Runs every example and prints one table: figure wanted, figure got, source.

``python examples/all.py [--small] [--output DIR]``; exits with 1 if a script fails.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from lecture import DEFAULT_OUTPUT

HERE = Path(__file__).resolve().parent
NO_SCRIPTS = {"all", "lecture"}


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
    for path in sorted(HERE.glob("*.py")):
        if path.stem in NO_SCRIPTS:
            continue
        start = time.perf_counter()
        print(f"\n== {path.stem}", flush=True)
        figures = options.output / f"{path.stem}.json"
        figures.unlink(missing_ok=True)
        takes_options = "from lecture import" in path.read_text()
        extra = ["--output", str(options.output), *(["--small"] * options.small)] if takes_options else []
        done = subprocess.run([sys.executable, path, *extra])
        print(f"   {time.perf_counter() - start:.1f} s")
        if done.returncode != 0:
            failed.append(path.stem)
        if figures.exists():
            rows += lines_of(figures)
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    print()
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip())
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nevery script succeeded")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
