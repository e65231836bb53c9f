"""What a check has found, and how findings are printed."""

import dataclasses
import json
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]
INDENT = " " * 6
OTHER_RUN = "python -m jreid.train --config CONFIG --workdir /OTHER/runs/x"
OTHER_CACHE = "export JREID_CACHE=/OTHER/cache"


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    level: Level
    """fail: something needed is missing."""
    name: str
    """What was looked at."""
    words: str
    """What was found."""
    remedy: str = ""
    """The command that mends it."""


def training(change: str) -> str:
    """The command of a training with another value of its config."""
    return f"python -m jreid.train --config CONFIG --config.{change}"


def lines_of(finding: Finding, width: int = 0) -> list[str]:
    """The finding for a terminal so wide, by default the one at hand.

    Words are broken, the command is not: it is there to be copied.
    """
    width = max(width or shutil.get_terminal_size().columns, 20) - 1
    mark = finding.level.upper() if finding.level == "fail" else finding.level
    lines: list[str] = []
    for text in f"{finding.name}: {finding.words}".splitlines():
        first = INDENT if lines else f"{mark:<{len(INDENT)}}"
        lines += textwrap.wrap(
            text,
            width,
            initial_indent=first,
            subsequent_indent=INDENT,
            break_on_hyphens=False,
        )
    return lines + [f"{INDENT}$ {command}" for command in finding.remedy.splitlines()]


def summary(findings: Sequence[Finding]) -> str:
    """The last line."""
    failed = sum(finding.level == "fail" for finding in findings)
    warned = sum(finding.level == "warn" for finding in findings)
    if not failed and not warned:
        return "nothing is missing"
    return f"{failed} to mend, {warned} to know of"


def as_json(findings: Iterable[Finding]) -> str:
    """A list of objects with the fields of `Finding`."""
    return json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1)
