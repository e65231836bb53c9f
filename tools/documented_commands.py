"""The commands of the README and of docs/, as they are written there.

    python tools/documented_commands.py                           # lists them
    python tools/documented_commands.py --section "Two commands"  # one section's blocks

A command stands in an indented or fenced block, or as `code` in a sentence, and begins
with the name of a program. Needs Python alone.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROGRAMS = ("make", "python", "python3", "pip", "curl", "git", "source", "cd", "mpirun")
SHELLS = ("", "sh", "bash", "shell")  # of a fenced block
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
    section, language = "", None
    lines = enumerate(text.split("\n"), start=1)
    for number, line in lines:
        if line.startswith("```"):
            language = line.strip("`").strip() if language is None else None
        elif language is None and line.startswith("#"):
            section = line.lstrip("#").strip()
        elif language in SHELLS or (language is None and line.startswith("    ")):
            code = line.strip()
            while code.endswith("\\"):
                code = f"{code[:-1].rstrip()} {next(lines)[1].strip()}"
            if _COMMAND.match(code):
                code = re.sub(r"\s+#\s.*$", "", code)
                yield Command(document, number, section, code, inline=False)
        elif language is None:
            for code in re.findall(r"`([^`]+)`", line):
                if _COMMAND.match(code):
                    yield Command(document, number, section, code, inline=True)


def main(arguments: list[str] | None = None) -> int:
    """Prints the commands; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--section", help="only the blocks of this section")
    given = parser.parse_args(arguments)
    for path in documents():
        name = path.relative_to(ROOT).as_posix()
        for command in commands_of(path.read_text("utf-8"), name):
            if given.section is None:
                print(f"{name}:{command.line}: {command.text}")
            elif command.section == given.section and not command.inline:
                print(command.text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
