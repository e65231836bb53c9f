"""What tells trained networks apart: a config's recipe, and the hash of it."""

import dataclasses
import hashlib
import json
from typing import Any

from jreid.config_json import MOVED, name_of
from jreid.parts import MISSING, is_part, may_differ


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
        free = may_differ(value)
        pairs = [
            [field.name, recipe(getattr(value, field.name)), recipe(_default(field))]
            for field in dataclasses.fields(value)
            if field.name not in free
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
