"""Check of a run's folder."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

from jreid.config_json import from_json
from jreid.doctor.finding import OTHER_RUN, Finding
from jreid.doctor.permission import no_permission
from jreid.run.workdir import CONFIG, lock, read_config, saved_steps

NAME = "run"


def check_run(folder: Path) -> tuple[Finding, Any]:
    """Whether the run can be continued or used, and how far it is; and its config.

    None stands for a config that is not there, is damaged, is of another version of
    jreid, or has a user's parts.
    """
    try:
        stored = read_config(folder)
    except FileNotFoundError:
        words = f"{folder} holds no run: {CONFIG} is missing"
        remedy = f"ls {shlex.quote(str(folder.parent))}"
        return Finding("fail", NAME, words, remedy), None
    except PermissionError:
        return no_permission(NAME, folder / CONFIG), None
    except (ValueError, OSError) as error:
        remedy = f"python -m json.tool {shlex.quote(str(folder / CONFIG))}"
        return Finding("fail", NAME, str(error), remedy), None
    try:
        config = from_json(stored)
    except ValueError as error:
        return Finding("fail", NAME, str(error), _other(folder, str(error))), None
    steps = saved_steps(folder / "checkpoints")
    words = f"{folder}, {config.name}"
    if _is_in_use(folder):
        words += ", in use by another process now"
    if not steps:
        return Finding("warn", NAME, f"{words}: no checkpoint yet"), config
    words += f": checkpoints of steps {', '.join(map(str, steps))}"
    if (folder / "results.json").exists():
        words += "; scored"
    return Finding("ok", NAME, words), config


def _other(folder: Path, error: str) -> str:
    """The command with the run's own file, or that of a new run."""
    if file := re.search(r"--config (\S+\.py)", error):
        words = ["--config", file[1], "--workdir", str(folder)]
        return f"python -m jreid.doctor {shlex.join(words)}"
    return OTHER_RUN


def newest_checkpoint(folder: Path) -> float | None:
    """GB of the run's newest checkpoint; None without any."""
    steps = saved_steps(folder / "checkpoints")
    if not steps:
        return None
    files = (folder / "checkpoints" / str(steps[-1])).rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file()) / 1e9


def record_of_weights(folder: Path) -> dict | None:
    """The run's pretrained.json; None if it began with random weights."""
    try:
        found = json.loads((folder / "pretrained.json").read_text())
        return found if isinstance(found, dict) else None
    except (OSError, ValueError):
        return None


def _is_in_use(folder: Path) -> bool:
    try:
        with open(folder / "lock", "r+") as file:
            lock(file)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
