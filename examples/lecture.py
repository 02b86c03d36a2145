"""What the lecture scripts share: figures with their bounds, pictures, a table in the end.

A script makes a `Lecture`, notes each figure with what the course says and whether its own agrees, and ends with
``sys.exit(lecture.finish())``: 0 if every figure agrees, 1 if one does not. Options of every script:

--small         a reduced form that runs in seconds, with bounds of its own; for the tests
--output DIR    where pictures and the figures (SCRIPT.json) go; by default build/examples

``make examples`` runs them all in full and prints one table (`examples/all.py`).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

DEFAULT_OUTPUT = Path(__file__).resolve().parent.parent / "build" / "examples"


class Figure(NamedTuple):
    """One number of a lecture, wanted and got."""

    name: str
    wanted: str
    got: str
    holds: bool
    source: str


class Lecture:
    """The run of one script.

    Parameters
    ----------
    title : str
        What the script shows, in a line.
    arguments : sequence of str, optional
        Of the command line, by default that of the process.
    """

    def __init__(self, title: str, arguments: Sequence[str] | None = None) -> None:
        self.script = Path(sys.argv[0]).stem
        parser = argparse.ArgumentParser(prog=f"{self.script}.py", description=title)
        parser.add_argument("--small", action="store_true", help="a reduced form that runs in seconds")
        parser.add_argument(
            "--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="for pictures and figures"
        )
        options = parser.parse_args(arguments)
        self.small: bool = options.small
        self.output: Path = options.output
        self.output.mkdir(parents=True, exist_ok=True)
        self.figures: list[Figure] = []
        print(title)

    def check(self, name: str, wanted: str, got: Any, holds: bool, source: str = "") -> None:
        """Note a figure and print it.

        Parameters
        ----------
        name : str
        wanted : str
            What the course says, or the bound, as in "at least 0.9155".
        got : str or number
        holds : bool
            Whether it is so.
        source : str
            Lecture, paper or formula that the wanted figure is from.
        """
        text = f"{got:.4g}" if isinstance(got, float) else str(got)
        figure = Figure(name, wanted, text, bool(holds), source)
        self.figures.append(figure)
        print(f"  {name}: {text} (wanted: {wanted}){'' if figure.holds else '  FAILED'}")

    def picture(self, figure: Any, name: str) -> Path:
        """Write a matplotlib figure as SCRIPT_NAME.png and return its path."""
        path = self.output / f"{self.script}_{name}.png"
        figure.savefig(path, dpi=120)
        print(f"  {path}")
        return path

    def finish(self) -> int:
        """Write the figures, say how many failed, and return the process's exit status."""
        figures = [figure._asdict() for figure in self.figures]
        content = {"script": self.script, "small": self.small, "figures": figures}
        (self.output / f"{self.script}.json").write_text(json.dumps(content, indent=1))
        failed = sum(not figure.holds for figure in self.figures)
        print(f"{failed} failed" if failed else "every figure holds")
        return 1 if failed else 0
