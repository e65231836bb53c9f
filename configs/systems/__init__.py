"""The systems: a file each, which lists what it has in SYSTEMS.

A system is a function of a data set to a Config; its docstring's first line is shown
where a name is not known. Where the demo needs more than `small` of configs/demo.py to
make a system small, its file has DEMOS = {name: function of the config to a config}.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from jreid.config import Config

DEFAULT = "full"


def systems() -> dict[str, Callable[[Any], Config]]:
    """All systems by name."""
    return _listed("SYSTEMS")


def demos() -> dict[str, Callable[[Config], Config]]:
    """What makes a system small, of those that say it themselves."""
    return _listed("DEMOS")


def make(system: str, data: Any, name: str) -> Config:
    """The system on a data set; the run is called `name`, or `name`-SYSTEM.

    Raises:
        ValueError: there is no such system; lists them.
    """
    known = systems()
    if system not in known:
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
    config.name = name if system == DEFAULT else f"{name}-{system}"
    return config


def _listed(table):
    files = [
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    ]
    return {
        name: function
        for file in files
        for name, function in getattr(file, table, {}).items()
    }
