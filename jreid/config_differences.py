"""Two configs held against each other: what differs, and the words that make it so."""

from typing import Any

from jreid.config_json import name_of
from jreid.parts import MISSING, ROOT, children, is_part, may_differ


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
        may = may_differ(a) if is_part(a) else set()
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
