"""A run's work directory: its config, and the lock that keeps a second run out."""

import contextlib
import json
import os
import pathlib
import platform
from collections.abc import Iterator
from typing import IO, Any

from jreid.config_differences import differences
from jreid.config_json import from_json, to_json
from jreid.whole_files import write_text

CONFIG = "config.json"
TRAINING_SET = "training_set.json"
METRICS = "metrics.jsonl"  # a line of scalars for every few steps
TRANSLATIONS = "translations.png"  # of a network that makes images
LOCK = "lock"


@contextlib.contextmanager
def open_workdir(folder: str | pathlib.Path, config: Any) -> Iterator[pathlib.Path]:
    """Claims `folder` for one run with `config`, until the block is left.

    Writes `config.json`, so that the folder says how its contents were made. A folder
    that holds nothing else yet (a run that failed at once) may change its config; a
    run that is continued may change what changes no result, and take more epochs where
    its schedule is the same without them.

    Args:
        folder: created if missing.
        config: of the run; see `jreid.parts`.

    Raises:
        ValueError: the folder holds a run of another config, and the fields are named;
            or its name is not UTF-8.
        OSError: the folder cannot be made or written, or another run is using it.
    """
    folder = pathlib.Path(folder).absolute()
    try:
        os.fspath(folder).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"the name {os.fspath(folder)!r} is not UTF-8, which results cannot hold: "
            "give another --workdir"
        ) from None
    text = json.dumps(to_json(config), indent=2) + "\n"
    with _lock(folder):
        if (folder / CONFIG).exists() and _holds_work(folder):
            _refuse_changes(folder, config)
        write_text(folder / CONFIG, text)
        yield folder


def require_shared(folder: str | pathlib.Path) -> None:
    """Of several processes: refuses a folder that is not the one `open_workdir` made.

    Otherwise each would write its part of a checkpoint on a disk of its own.

    Raises FileNotFoundError.
    """
    path = pathlib.Path(folder).absolute() / CONFIG
    if not path.exists():
        raise FileNotFoundError(
            f"{path}, which process 0 has written, is not seen on host "
            f"{platform.node()}: --workdir must be on storage that all hosts share"
        )


def read_config(folder: str | pathlib.Path) -> dict[str, Any]:
    """The config of the run in `folder`, as nested dicts of JSON values.

    Raises:
        FileNotFoundError: no run has been started there.
        ValueError: the file is damaged.
    """
    path = pathlib.Path(folder).absolute() / CONFIG
    try:
        values = json.loads(path.read_text())
        if not isinstance(values, dict):
            raise ValueError("it holds no fields")
        return values
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(
            f"no {CONFIG} in {path.parent}: give the --workdir of a run"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): restore it, or use another --workdir"
        ) from error


def saved_steps(folder: pathlib.Path) -> list[int]:
    """The steps with a complete checkpoint in `folder`, ascending."""
    # Orbax gives a folder its plain number only when all of it is written.
    names = (path.name for path in folder.glob("*"))
    return sorted(int(name) for name in names if name.isdecimal())


@contextlib.contextmanager
def _lock(folder: pathlib.Path) -> Iterator[None]:
    """Holds an exclusive lock, which ends with the process however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LOCK).touch()
    except OSError as error:
        raise _unwritable(folder, error) from error
    with open(folder / LOCK, "r+") as file:
        try:
            lock(file)
        except BlockingIOError:
            file.seek(0)
            raise OSError(
                f"{folder} is in use by another run ({file.read().strip()}): wait for "
                "it, stop it, or give another --workdir"
            ) from None
        try:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}\n")
            file.flush()
        except OSError as error:
            raise _unwritable(folder, error) from error
        yield


def lock(file: IO) -> None:
    """Locks an open file until it is closed.

    Raises BlockingIOError if another process holds it, OSError where there is no such
    lock: on Windows scores are computed, but no runs trained.
    """
    try:
        import fcntl
    except ImportError:
        raise OSError(
            "this needs Linux or macOS, whose locks keep a second process out of the "
            "folder; scoring features (--features) and comparing work everywhere"
        ) from None
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unwritable(folder: pathlib.Path, error: OSError) -> OSError:
    return OSError(f"cannot write to {folder}: {error}. Give another --workdir.")


def _holds_work(folder: pathlib.Path) -> bool:
    ours = (folder / CONFIG, folder / LOCK)
    return any(
        path.is_file() and path.stat().st_size and path not in ours
        for path in folder.rglob("*")
    )


def _refuse_changes(folder: pathlib.Path, config: Any) -> None:
    stored = from_json(read_config(folder))
    changes = [
        f"{path}: {now} here, {before} in {folder / CONFIG}"
        for path, before, now, may_differ in differences(stored, config)
        if not may_differ and not _more_epochs(path, before, now, config.schedule)
    ]
    if changes:
        raise ValueError(
            f"{folder} holds a run of another config:\n  "
            + "\n  ".join(changes)
            + "\nGive another --workdir, or delete that folder to start over."
        )


def _more_epochs(path: str, before: Any, now: Any, schedule: Any) -> bool:
    """Whether this change only goes on with a schedule that is the same until then.

    Raises ValueError where the schedule would have been another from its beginning.
    """
    if path != "config.schedule.epochs":
        return False
    if not getattr(schedule, "open_ended", False):
        raise ValueError(
            f"{path} is {now}, and the run was begun with {before}: a "
            f"{type(schedule).__name__} schedule spreads over all its epochs, so that "
            "its first steps would have been others. Give another --workdir, and begin "
            "there with --config.pretrained= and this run's folder"
        )
    if now < before:
        raise ValueError(
            f"{path} is {now}, and the run was begun with {before}: a run can be "
            "continued with more epochs, not with fewer; stop it with --config.steps="
        )
    return True
