"""A config as the JSON that a run keeps, and back."""

import dataclasses
import importlib
import re
from typing import Any

from jreid.parts import ROOT, children, is_part, settled
from jreid.streams import say
from jreid.user_files import file_of, module_of

MOVED: dict[str, str] = {}
"""Old "module:Class" to where it is now: a run that stored the old name goes on."""


def to_json(value: Any) -> Any:
    """A part as {"is": "module:Class", its fields}; tuples as lists.

    The class of a user's file is stored with the file's SHA-256.
    """
    if is_part(value):
        head = {"is": name_of(type(value))}
        if file := file_of(type(value).__module__):
            head["sha256"] = file.sha256
        return head | {name: to_json(child) for name, child in children(value)}
    if isinstance(value, dict):
        return {name: to_json(child) for name, child in value.items()}
    return [to_json(child) for child in value] if isinstance(value, tuple) else value


def name_of(kind: type) -> str:
    """ "module:Class", or "file NAME.py:Class".

    Raises ValueError for a class that would not be found again.
    """
    file = file_of(kind.__module__)
    if "." in kind.__qualname__ or not (file or kind.__module__.startswith("jreid.")):
        raise ValueError(
            f"{kind.__module__}.{kind.__qualname__} is no part that can be stored: "
            "define it at the top of the config's file, or of a file beside that"
        )
    return f"{file.name if file else kind.__module__}:{kind.__qualname__}"


def from_json(stored: Any) -> Any:
    """The config again; fields that it did not have yet take their defaults.

    Classes are those of this package, and of the user's files that `--config` gave.

    Raises:
        ValueError: it is no config, or one that this version cannot read.
    """
    if not isinstance(stored, dict) or "is" not in stored:
        raise ValueError(
            "the config is in the format of jreid 0.1, before parts: continue and "
            "score the run with that version"
        )
    if stored["is"] != "jreid.config:Config":
        raise ValueError(f"the config is a {stored['is']!r}, not a Config")
    changed: set[str] = set()
    try:
        config = settled(_value(stored, ROOT, changed))
    except RecursionError:
        raise ValueError("the config is nested too deeply") from None
    for name in sorted(changed):
        say(f"warning: {name} has changed since the run was begun")
    return config


def _value(stored: Any, where: str, changed: set[str]) -> Any:
    if isinstance(stored, list):
        values = [_value(v, f"{where}.{i}", changed) for i, v in enumerate(stored)]
        return tuple(values)
    if not isinstance(stored, dict):
        return stored
    names = [name for name in stored if name not in ("is", "sha256")]
    values = {name: _value(stored[name], f"{where}.{name}", changed) for name in names}
    if "is" not in stored:
        return values
    kind = _class(stored["is"], where)
    file = file_of(kind.__module__)
    if file and file.sha256 != stored.get("sha256"):
        changed.add(file.path.name)
    fields = dataclasses.fields(kind)
    before = {f.name: f.metadata["absent"] for f in fields if "absent" in f.metadata}
    values = before | values
    allowed = {field.name for field in fields}
    if unknown := sorted(values.keys() - allowed):
        raise ValueError(
            f"{where} has the field {unknown[0]}, which {kind.__name__} has not: the "
            "run was begun by another version of jreid"
        )
    try:
        return kind(**values)
    except TypeError as error:  # a field without a default is missing
        raise ValueError(f"{where}: {error}") from error


def _class(name: Any, where: str) -> type:
    name = MOVED.get(name, name) if isinstance(name, str) else repr(name)
    module, _, kind = name.rpartition(":")
    if module.startswith("file "):
        path = module.removeprefix("file ")
        module = module_of(module) or ""
        if not module:
            raise ValueError(
                f"{where} is {kind} of {path}: give that file again, --config {path}"
            )
    elif not re.fullmatch(r"jreid(\.\w+)+", module):
        raise ValueError(f"{where} is {name}, which is no part of jreid")
    try:
        found = getattr(importlib.import_module(module), kind, None)
    except ImportError:
        found = None
    if not isinstance(found, type) or not dataclasses.is_dataclass(found):
        raise ValueError(
            f"{where} is {name}, which this version of jreid has not: the run was "
            "begun by another version"
        )
    return found
