"""Says what is missing here, and the command that mends it: `python -m jreid.doctor`.

    python -m jreid.doctor
    python -m jreid.doctor --config sysu --config.data.root=SYSU-MM01
    python -m jreid.doctor --root SYSU-MM01
    python -m jreid.doctor --workdir runs/sysu

Looks at Python and its packages, at devices (also at a GPU that JAX does not use),
memory and disk; with a config, a folder or a run, at the data set (complete? as many
people and images as published?) and the weights, too. Writes nothing but SynVI into the
cache folder, where a config trains on it. Exit code 1: what is marked FAIL has to be
mended.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jreid.doctor.finding import Finding, as_json, lines_of, summary

try:
    import tyro

    from jreid import command_line, ending
except ImportError:  # then this is what it has to say
    from jreid.doctor.packages import check_packages, check_python

    found = [check_python(), check_packages()]
    print("\n".join(line for finding in found for line in lines_of(finding)))
    sys.exit(1)

PROGRAM = "python -m jreid.doctor"
FOUND, MISSING = 0, 1


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says besides a config."""

    root: Path | None = None
    """A data set's folder, of any of the layouts."""
    workdir: Path | None = None
    """A run's folder, also one that is not there yet."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print a list of objects instead of lines."""
    traceback: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show where an error was raised."""


def program(arguments: list[str]) -> int:
    """Prints what every check finds; 0, or 1 if something has to be mended."""
    config, given = parse(arguments)
    from jreid.doctor.checks import Subject, all_checks

    findings: list[Finding] = []
    for finding in all_checks(Subject(config, given.root, given.workdir)):
        findings.append(finding)
        if not given.json:
            print("\n".join(lines_of(finding)), flush=True)
    print(as_json(findings) if given.json else summary(findings))
    return MISSING if any(finding.level == "fail" for finding in findings) else FOUND


def parse(arguments: list[str]) -> tuple[Any, Options]:
    """The config, if there is one, and the options."""
    description = __doc__ or ""
    if any(word.split("=")[0] == "--config" for word in arguments):
        given = command_line.parse_with_config(
            Options, PROGRAM, arguments, description=description
        )
        return given.config, given.options
    return None, command_line.parse(Options, PROGRAM, arguments, description)


def main(arguments: list[str]) -> int:
    """The exit code; an error becomes one line and code 2."""
    return ending.exit_code(program, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
