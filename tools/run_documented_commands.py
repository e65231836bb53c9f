"""Types the commands of the README and of docs/ into a fresh clone, in their order.

    make commands
    make commands ARGS="--document README.md export.md"

Each document has a terminal of its own that knows nothing: an empty home folder, no
active environment, neither `python` nor `pip`. One that links to the README's Training
has a terminal in which that section's first commands, which make and activate the
environment, were typed. Where data is named, small stand-ins lie there
(tools/stand_ins.py). What needs a GPU or several machines is left out, and long
programs are made short; both are said in the list that is printed at the end.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools.documented_commands import ROOT, Command, commands_of, documents

LIMIT = 1200  # seconds for one command
# Pattern -> why a command that matches is not run.
LEFT_OUT = {
    r"cuda12|compile_report|step_costs": "needs 6 GB of CUDA's libraries",
    r"^curl ": "downloads: a stand-in lies there",
    r"distributed|^mpirun|/data/|/shared/": "needs several machines",
    r"search-demo|jreid\.search |benchmark_search": "needs a trained run",
    r"jreid\.(report|explain) |runs/demo": "needs a trained run",
    r"^make (demo|test|parity|release|commands|search|clean)\b": "run by .ci/run",
    r"tools/benchmark\.py$|benchmark_(re|sc|pi|ev|ex)": "takes long",
    r"leaderboard": "trains for hours",
    r"jreid\.serve|_serve\.py": "answers until it is stopped: tests have it answer",
    r"index people": "a folder of your own",
    r"stripes": "needs the file that the document shows; a test reads it",
}
MENTION = r"\.\.\.|--features$|^\S+ \S+$"  # in a sentence, what is no whole command
# Pattern -> what is added so that a command takes minutes at most.
SHORTENED = {
    r"-m jreid\.train .*:all": "--splits 1 2",
    r"-m jreid\.train ": "--config.steps=1 --config.sampling.identities=2",
    r"tools/benchmark\.py --quick": "--rounds=1 --turn-seconds=0.1 --batches=4",
    r"tools/make_synvi\.py": "--ids=6 --archive=small.tar.xz",
}
ENVIRONMENT = "README.md#training"  # the link that says which environment is active
KEPT = re.compile(r"PIP_.*|.*_(proxy|PROXY|CERTS?|BUNDLE)|LANG|TMPDIR|TORCH_INDEX|CUDA")
TERMINAL = """
cd "$1" && [ ! -f "$2" ] || source "$2"
{command}
code=$?
export -p > "$2"
exit $code
"""


def left_out(command: Command) -> str:
    """Why the command is not run; empty if it is."""
    if command.inline and re.search(MENTION, command.text):
        return "a mention"
    found = (why for what, why in LEFT_OUT.items() if re.search(what, command.text))
    return next(found, "")


def shortened(text: str) -> str:
    """The command, with what makes it short."""
    added = [more for what, more in SHORTENED.items() if re.search(what, text)]
    return " ".join([text, *added])


def bare_environment(scratch: Path) -> dict[str, str]:
    """Of a terminal that has Python as `python3`, and where packages come from."""
    programs = scratch / "bin"
    programs.mkdir()
    for name in ("python", "pip", "pip3"):
        _script(programs / name, f'echo "{name}: command not found" >&2; exit 127')
    _script(programs / "python3", f'exec {shlex.quote(_base_python())} "$@"')
    kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    pip = Path.home() / ".config" / "pip" / "pip.conf"
    if pip.exists():
        kept.setdefault("PIP_CONFIG_FILE", str(pip))
    home = scratch / "home"
    home.mkdir()
    kept["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # compiling is most of the time
    return kept | {"HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin"}


def _base_python() -> str:
    return os.path.realpath(sys.executable)


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def fresh_clone(scratch: Path) -> Path:
    """A clone with stand-ins for what a user brings."""
    clone = scratch / "jreid"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    stand_ins = [sys.executable, ROOT / "tools" / "stand_ins.py", clone]
    subprocess.run(stand_ins, check=True)
    return clone


class Terminal:
    """Types commands in a clone; what one exports or activates, the next one has."""

    def __init__(self, clone: Path, state: Path, environment: dict[str, str]):
        self._clone, self._environment, self.state = clone, environment, state

    def type(self, text: str) -> int:
        """Runs a command; returns its exit code."""
        arguments = ["bash", "-c", TERMINAL.replace("{command}", text), "bash"]
        return _code([*arguments, str(self._clone), str(self.state)], self._environment)

    def document(self, path: Path) -> list[str]:
        """Types one document's commands; returns a line about each."""
        report = []
        for command in commands_of(path.read_text("utf-8"), path.name):
            why, text = left_out(command), shortened(command.text)
            start = time.monotonic()
            if why:
                result = f"not run ({why})"
            else:
                print(f"== {path.name}:{command.line}: {text}", flush=True)
                code = self.type(text)
                seconds = time.monotonic() - start
                result = (
                    f"{'passed' if not code else f'FAILED ({code})'}, {seconds:.0f} s"
                )
            report.append(f"{path.name}:{command.line}: {result}: {text}")
        return report


def run_documents(paths: list[Path], scratch: Path) -> list[str]:
    """Types their commands, the README's first; returns a line about each."""
    clone, environment = fresh_clone(scratch), bare_environment(scratch)
    report, active = [], Terminal(clone, scratch / "active", environment)
    for path in paths:
        if path.name == "README.md":
            report += active.document(path)
            continue
        terminal = Terminal(clone, scratch / path.stem, environment)
        if ENVIRONMENT in path.read_text("utf-8"):
            if not active.state.exists():
                for text in activation():
                    active.type(text)
            shutil.copy(active.state, terminal.state)
        report += terminal.document(path)
    return report


def activation() -> list[str]:
    """The README's commands that make the environment and activate it."""
    commands = commands_of(documents()[0].read_text("utf-8"))
    training = [c.text for c in commands if c.section == "Training" and not c.inline]
    return training[:2]


def _code(command: list[str], environment: dict[str, str]) -> int:
    whole = ["timeout", str(LIMIT), *command]  # ends what the command has started, too
    silent = subprocess.DEVNULL
    return subprocess.run(whole, env=environment, stdin=silent).returncode


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 1 where a command failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    names = [path.name for path in documents()]
    told = "only these, such as README.md"
    parser.add_argument(
        "--document", nargs="+", choices=names, default=names, help=told
    )
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        chosen = [path for path in documents() if path.name in given.document]
        report = run_documents(chosen, Path(folder))
    print(*report, sep="\n")
    failed = sum("FAILED" in line for line in report)
    passed = sum(": passed" in line for line in report)
    print(f"{passed} passed, {failed} failed, {len(report) - passed - failed} skipped")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
