"""The results of a run, kept as it goes, so that one that is cut off can be resumed."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from machine import Bandwidth
from measurement import Measurement
from rows import Limits


@dataclass
class Results:
    """What a result file holds.

    Parameters
    ----------
    settings
        What must be the same for all measurements: a run with others cannot be resumed.
    about
        Where and how it was measured, in words.
    limits
        What the machine can do.
    measurements
        In the order of the table.
    """

    settings: dict[str, Any]
    about: dict[str, str]
    limits: Limits
    measurements: list[Measurement] = field(default_factory=list)

    def as_text(self) -> str:
        """Return the JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def resume(self, path: Path) -> None:
        """Take over what a file holds.

        Raises
        ------
        ValueError
            It was measured with other settings.
        """
        read = json.loads(path.read_text())
        if read["settings"] != self.settings:
            raise ValueError(f"{path} was measured with {read['settings']}, not with {self.settings}")
        limits = read["limits"]
        self.limits = Limits(limits["gflops"], Bandwidth(**limits["bandwidth"]))
        self.measurements = [Measurement(**one) for one in read["measurements"]]

    def done(self) -> set[tuple[str, str]]:
        """Return group and title of what is measured."""
        return {(one.group, one.title) for one in self.measurements}


def write(path: Path | None, text: str) -> None:
    """Write a result file as a whole, so that an interrupted run leaves the one before."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(path.suffix + ".partial")
        partial.write_text(text)
        partial.replace(path)
