"""The commands of the README and of docs/: lists them, or runs them as written there.

    python tools/documented_commands.py                          # every command
    python tools/documented_commands.py --section "Two commands" # of one section

A command is what a terminal takes: an indented or fenced block whose first word is a
program, or such a piece of `code` within a line.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAMS = ("make", "python", "python3", "pip", "curl", "git", "source", "cd", "mpirun")
_VARIABLE = r"(?:[A-Z_]+=\S+\s+)*"
_COMMAND = re.compile(rf"{_VARIABLE}(?:{'|'.join(PROGRAMS)})\s+[^\s:]|\S*/bin/\w+\s")


@dataclass(frozen=True)
class Command:
    """One command, which may go over several lines that end with a backslash."""

    document: str
    line: int  # counted from 1
    section: str
    text: str
    inline: bool


def documents() -> list[Path]:
    """The README first, then docs/ by name."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands_of(text: str, document: str = "README.md") -> Iterator[Command]:
    """In their order; comments behind a command are left away."""
    section, fence, pending, in_block = "", False, None, False
    blank = True
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("```"):
            fence = not fence
            in_block = False
            continue
        if not fence and line.startswith("#"):
            section = line.lstrip("#").strip()
        is_code = fence or (line.startswith("    ") and (blank or in_block))
        code = line.strip() if is_code else ""
        if pending:
            start, words = pending
            words += " " + code.removesuffix("\\").strip()
            pending = (start, words) if code.endswith("\\") else None
            if not pending:
                yield Command(document, start, section, _stripped(words), False)
        elif is_code:
            in_block = in_block or bool(_COMMAND.match(code))
            if _COMMAND.match(code):
                if code.endswith("\\"):
                    pending = (number, code.removesuffix("\\").strip())
                else:
                    yield Command(document, number, section, _stripped(code), False)
        else:
            in_block = False
            for piece in re.findall(r"`([^`]+)`", line):
                if _COMMAND.match(piece):
                    yield Command(document, number, section, piece, True)
        blank = not line.strip()


def _stripped(code: str) -> str:
    return re.sub(r"\s+#\s.*$", "", code)


def main(arguments: list[str] | None = None) -> int:
    """Prints the commands; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--section", help="only the blocks of this section")
    given = parser.parse_args(arguments)
    for path in documents():
        name = path.relative_to(ROOT).as_posix()
        for command in commands_of(path.read_text("utf-8"), name):
            if given.section is None:
                print(f"{name}:{command.line}: {command.inline=} {command.text}")
            elif command.section == given.section and not command.inline:
                print(command.text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
