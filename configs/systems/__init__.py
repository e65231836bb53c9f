"""The systems: a file each, named as its system, which lists what it has in SYSTEMS.

A system is a function of a data set to a Config; its docstring's first line is shown
where a name is not known. It knows what its authors changed from one data set to the
next. Variants of a system are in its file, those of the paper's in paper.py. Where the
demo needs more than `small` of configs/demo.py to make a system small, its file has
DEMOS = {name: function of the config to a config}. PUBLISHED = {name: {setting: (R-1,
mAP)}} are numbers that a table shows beside measured ones.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any

from jreid.config import Config

DEFAULT = "full"

SETTINGS = {
    "SYSU all": ("SYSU-MM01", "all-search single-shot"),
    "SYSU indoor": ("SYSU-MM01", "indoor-search single-shot"),
    "RegDB V-I": ("RegDB", "visible to infrared"),
    "RegDB I-V": ("RegDB", "infrared to visible"),
    "LLCM I-V": ("LLCM", "infrared to visible"),
    "LLCM V-I": ("LLCM", "visible to infrared"),
}
"""Short names of protocols and their settings, in a file's PUBLISHED."""


def systems() -> dict[str, Callable[[Any], Config]]:
    """All systems by name."""
    return _listed("SYSTEMS", _files())


def demos() -> dict[str, Callable[[Config], Config]]:
    """What makes a system small, of those that say it themselves."""
    return _listed("DEMOS", _files())


def published() -> dict[str, dict[tuple[str, str], tuple[float, float]]]:
    """R-1 and mAP in percent by system, protocol and setting, not re-ranked.

    A file's PUBLISHED has them by system and a key of SETTINGS; its head names the
    sources.
    """
    return {
        system: {SETTINGS[key]: scores for key, scores in found.items()}
        for system, found in _listed("PUBLISHED", _files()).items()
    }


def make(system: str, data: Any, name: str, default: str = DEFAULT) -> Config:
    """The system on a data set; the run is called `name`-SYSTEM, the default's `name`.

    Raises:
        ValueError: there is no such system; lists them.
    """
    files = _files()
    known = _listed("SYSTEMS", [system] if system in files else files)
    if system not in known:
        known = systems()
        near = difflib.get_close_matches(system, known, 1)
        lines = [
            f"\n  {own:12} {(function.__doc__ or '').partition(chr(10))[0]}"
            for own, function in known.items()
        ]
        raise ValueError(
            f"there is no system {system!r}"
            f"{f'; did you mean {near[0]}?' if near else ''}{''.join(lines)}"
        )
    config = known[system](data)
    config.name = name if system == default else f"{name}-{system}"
    return config


def _files() -> list[str]:
    """Names of the systems' files, the paper's first."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted(names, key=lambda name: (name != "paper", name))


def _listed(table: str, files: Sequence[str]) -> dict[str, Any]:
    modules = [importlib.import_module(f"{__name__}.{name}") for name in files]
    return {
        name: function
        for module in modules
        for name, function in getattr(module, table, {}).items()
    }
