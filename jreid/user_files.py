"""A user's own Python file, and the files beside it that it imports, as modules.

A run stores a class of such a file as "file NAME.py:Class", with the file's SHA-256: it
is found again only when the user gives the file again.
"""

import hashlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType


@dataclass(frozen=True)
class UserFile:
    """A file that was run as a module."""

    path: Path
    sha256: str

    @property
    def name(self) -> str:
        """What a run stores instead of a module's name."""
        return f"file {self.path.name}"


_loaded: dict[str, UserFile] = {}  # by the module's name in sys.modules


def load_file(path: Path) -> ModuleType:
    """Runs the file, whose neighbours it can import; a second time only if it changed.

    Raises whatever the file raises.
    """
    file = _read(path)
    if _loaded.get(file.name) == file:
        return sys.modules[file.name]
    _make_room(file)
    before = set(sys.modules)
    try:
        module = _run(file)
    finally:
        for name in set(sys.modules) - before:  # its neighbours
            source = getattr(sys.modules[name], "__file__", None)
            if source and Path(source).resolve().parent == file.path.parent:
                _loaded[name] = _read(Path(source))
    if (folder := str(file.path.parent)) not in sys.path:
        sys.path.append(folder)  # for what its functions import when they are called
    return module


def file_of(module: str) -> UserFile | None:
    """The user's file that the module of this name is, if it is one."""
    return _loaded.get(module)


def loaded_beside(path: Path) -> list[UserFile]:
    """This file and those of its folder, as far as they are loaded."""
    folder = path.resolve().parent
    return [file for file in _loaded.values() if file.path.parent == folder]


def module_of(name: str) -> str | None:
    """The name in sys.modules of what a run has stored as "file NAME.py"."""
    return next((m for m, file in _loaded.items() if file.name == name), None)


def _read(path: Path) -> UserFile:
    path = path.resolve()
    return UserFile(path, hashlib.sha256(path.read_bytes()).hexdigest())


def _make_room(file: UserFile) -> None:
    """Forgets the neighbours of another file whose names this one's neighbours have."""
    for name, other in list(_loaded.items()):
        beside = file.path.with_name(other.path.name)
        if other.path != file.path and other.path != beside and beside.exists():
            del _loaded[name]
            sys.modules.pop(name, None)


def _run(file: UserFile) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.name, file.path)
    assert spec is not None and spec.loader is not None  # the name ends in .py
    module = sys.modules[file.name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[file.name]
        _loaded.pop(file.name, None)
        raise
    finally:
        sys.path.remove(str(file.path.parent))
    _loaded[file.name] = file
    return module
