"""Parts, the plain dataclasses that a config is made of: their values and checks.

A part holds values only: numbers, strings, booleans, None, parts, tuples of them, dicts
of them by name. Its `check()`, where it has one, raises ValueError("field is X; allowed
is Y"). A field that changes no result of a run that is continued is made with
`field(metadata={"may_differ": True})`; where a data set lies is known to be one. One
whose default is not what was done before there was the field has `metadata={"absent":
VALUE}`: runs stored without it have that value.
"""

import dataclasses
import math
import re
import reprlib
import types
import typing
from typing import Any

ROOT = "config"  # how paths of fields begin, here and on the command line
MISSING = "nothing"  # a field that has no default, or one of two configs lacks
KEY = r"[\w.]+"
PLACES = ("root", "tfds")  # fields that say where a data set lies


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


def may_differ(part: Any) -> set[str]:
    """Its fields that change no result of a run that is continued."""
    is_data_set = hasattr(part, "read") and hasattr(part, "protocol")
    return {
        field.name
        for field in dataclasses.fields(part)
        if field.metadata.get("may_differ") or (is_data_set and field.name in PLACES)
    }


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
