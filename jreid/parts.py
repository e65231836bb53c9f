"""Parts, the plain dataclasses that a config is made of: checked, stored, compared.

A part holds values only: numbers, strings, booleans, None, parts, tuples of them, dicts
of them by name. Its `check()`, where it has one, raises ValueError("field is X; allowed
is Y"). A field that changes no result of a run that is continued is made with
`field(metadata={"may_differ": True})`; one whose default is not what was done before
there was the field, with `metadata={"absent": VALUE}`: runs stored without it have it.
"""

import dataclasses
import hashlib
import importlib
import json
import math
import re
import reprlib
import sys
import types
import typing
from typing import Any

from jreid.user_files import file_of, module_of

ROOT = "config"  # how paths of fields begin, here and on the command line
MISSING = "nothing"  # a field that one of two compared configs lacks
KEY = r"[\w.]+"

MOVED: dict[str, str] = {}
"""Old "module:Class" to where it is now: a run that stored the old name goes on."""


def settled(value: Any, where: str = ROOT, hint: Any = Any) -> Any:
    """A copy that shares nothing, with floats where whole numbers stand for floats.

    So 1 and 1.0 are one config. Raises ValueError for what no config may hold.
    """
    if is_part(value):
        hints = _hints(type(value), where)
        fields = {
            name: settled(child, f"{where}.{name}", hints[name])
            for name, child in children(value)
        }
        return type(value)(**fields)
    if isinstance(value, dict):
        own = [arm for arm in _arms(hint) if typing.get_origin(arm) is dict]
        inner = typing.get_args(own[0])[1] if own else Any
        return {k: settled(v, f"{where}.{k}", inner) for k, v in _items(value, where)}
    if isinstance(value, tuple):
        inner = _element_hints(hint, len(value))
        return tuple(
            settled(child, f"{where}.{i}", inner[i]) for i, child in enumerate(value)
        )
    if type(value) is int and float in _arms(hint) and int not in _arms(hint):
        return float(value)
    if type(value) in (str, int, float, bool, types.NoneType):
        return value
    remedy = "; write a tuple" if isinstance(value, list) else ""
    if isinstance(value, type) and dataclasses.is_dataclass(value):
        remedy = f"; make one, {value.__name__}(...)"
    raise ValueError(
        f"{where} is {reprlib.repr(value)}; a config holds numbers, strings, booleans, "
        f"parts, and tuples and dicts of them{remedy}"
    )


def is_part(value: Any) -> bool:
    """Whether the value is an instance of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def children(value: Any) -> list[tuple[str, Any]]:
    """What stands one step below, with its word on the path."""
    if is_part(value):
        return [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, tuple):
        return [(str(i), child) for i, child in enumerate(value)]
    return []


def _items(value: dict, where: str) -> list[tuple[str, Any]]:
    for key in value:
        if type(key) is not str or key == "is" or not re.fullmatch(KEY, key):
            raise ValueError(
                f'{where} has the key {key!r}; allowed are words other than "is", of '
                "letters, digits, points and underscores"
            )
    return list(value.items())


def _hints(kind: type, where: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except NameError as error:
        raise ValueError(
            f"{where} is a {kind.__name__}, whose annotations cannot be read: {error}"
        ) from error


def _arms(hint: Any) -> tuple[Any, ...]:
    """The members of a union; a type that is none is its own."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def _element_hints(hint: Any, length: int) -> tuple[Any, ...]:
    for arm in _arms(hint):
        given = typing.get_args(arm) if typing.get_origin(arm) is tuple else ()
        if len(given) == 2 and given[1] is Ellipsis:
            return (given[0],) * length
        if given and len(given) == length:
            return given
    return (Any,) * length


# Checked --------------------------------------------------------------------------


def check(value: Any, where: str = ROOT) -> None:
    """Types, finite numbers, then every part's `check()`, inner ones first.

    Raises ValueError that begins with the field's whole path.
    """
    for name, child in children(value):
        check(child, f"{where}.{name}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}; allowed are finite numbers")
    if not is_part(value):
        return
    hints = _hints(type(value), where)
    for name, child in children(value):
        _check_type(child, hints[name], f"{where}.{name}")
    if own := getattr(value, "check", None):
        try:
            own()
        except ValueError as error:
            raise ValueError(f"{where}.{error}") from error
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(
                f"{where} holds something in the wrong place: {error}"
            ) from error


def _check_type(value: Any, hint: Any, where: str) -> None:
    import typeguard  # a reader of results needs no checks

    every = typeguard.CollectionCheckStrategy.ALL_ITEMS
    try:
        settled(value, where)
        if type(value) is bool and hint in (int, float):  # which Python allows
            raise typeguard.TypeCheckError("a truth value is no number")
        typeguard.check_type(value, hint, collection_check_strategy=every)
    except typeguard.TypeCheckError:
        plain = typing.get_origin(hint) is None and isinstance(hint, type)
        name = hint.__name__ if plain else str(hint).replace("typing.", "")
        raise ValueError(f"{where} is {value!r}; allowed is {name}") from None


# Stored ---------------------------------------------------------------------------


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
        print(f"warning: {name} has changed since the run was begun", file=sys.stderr)
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


# Hashed, compared -----------------------------------------------------------------


def config_hash(config: Any) -> str:
    """12 hex digits that tell trained networks apart: SHA-256 of the recipe."""
    return hashlib.sha256(json.dumps(recipe(config)).encode()).hexdigest()[:12]


def recipe(value: Any) -> Any:
    """What the hash covers: classes, and fields that differ from their defaults.

    Or, where there is such, from what was done before there was the field. Without
    those that may differ when a run is continued. Fields are sorted, so that their
    order in a class is free; dicts are not: the order of terms changes sums.
    """
    if is_part(value):
        pairs = [
            [field.name, recipe(getattr(value, field.name)), recipe(_default(field))]
            for field in dataclasses.fields(value)
            if not field.metadata.get("may_differ")
        ]
        kept = sorted([name, own] for name, own, default in pairs if own != default)
        return [_first_name(type(value)), kept]
    if isinstance(value, dict):
        return {"dict": [[name, recipe(child)] for name, child in value.items()]}
    return [recipe(child) for child in value] if isinstance(value, tuple) else value


def _first_name(kind: type) -> str:
    """The name before it moved: moving a part changes no hash."""
    name = name_of(kind)
    return next((old for old, new in MOVED.items() if new == name), name)


def _default(field: dataclasses.Field) -> Any:
    if "absent" in field.metadata:
        return field.metadata["absent"]
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return MISSING if field.default is dataclasses.MISSING else field.default


def overrides(base: Any, config: Any, where: str = ROOT) -> list[str]:
    """The words of the command line that make `config` out of `base`.

    Raises ValueError where a part was put in another's place, which they cannot say.
    """
    if _structured(base) or _structured(config):
        old, new = children(base), children(config)
        if type(base) is not type(config) or [k for k, _ in old] != [k for k, _ in new]:
            raise ValueError(
                f"{where} is another part than the file's: write it in a config file"
            )
        return [
            word
            for (name, before), (_, after) in zip(old, new, strict=True)
            for word in overrides(before, after, f"{where}.{name}")
        ]
    if base == config:
        return []
    words = _words(config)
    if len(words) == 1:
        return [f"--{where}={words[0]}"]
    return [f"--{where}", *words]


def _structured(value: Any) -> bool:
    """Whether its pieces, not itself, are set on the command line."""
    if isinstance(value, tuple):
        return any(_structured(child) for child in value)
    return is_part(value) or (isinstance(value, dict) and bool(value))


def _words(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = tuple(value.items())
    if isinstance(value, tuple):
        return [word for child in value for word in _words(child)]
    return [str(value)]


def differences(a: Any, b: Any) -> list[tuple[str, Any, Any, bool]]:
    """Every field in which two configs differ: its path, both values, may it differ.

    Where classes differ the values are their names, where the order of a dict differs
    its names, and MISSING stands for what one of them lacks.
    """
    return list(_differences(a, b, ROOT, False))


def _differences(a, b, where, free):
    if type(a) is not type(b):
        yield where, _shown(a), _shown(b), free
    elif _structured(a) or _structured(b):
        old, new = dict(children(a)), dict(children(b))
        common = [name for name in old if name in new]
        if common != [name for name in new if name in old]:
            yield where, tuple(old), tuple(new), free
        fields = dataclasses.fields(a) if is_part(a) else ()
        may = {field.name for field in fields if field.metadata.get("may_differ")}
        for name in old | new:
            before, after = old.get(name, _Missing()), new.get(name, _Missing())
            path = f"{where}.{name}"
            yield from _differences(before, after, path, free or name in may)
    elif a != b:
        yield where, a, b, free


class _Missing:
    pass


def _shown(value):
    if isinstance(value, _Missing):
        return MISSING
    return name_of(type(value)) if is_part(value) else value
