"""What a term reads of the run's memory; see `jreid.training.memory`."""

from collections.abc import Mapping
from typing import Any


def remembered(batch: Mapping[str, Any], name: str, remedy: str) -> Any:
    """What the memory holds by that name.

    Args:
      batch: what a term is given; its `extra` is what the memory holds.
      name: as "clusters".
      remedy: the fields of a config that make a run hold it.

    Raises:
      ValueError: it holds no such thing.
    """
    extra = batch["extra"]
    if name not in extra:
        raise ValueError(
            f"a term needs {name!r} of the run's memory, which holds "
            f"{', '.join(extra) or 'nothing'}: give {remedy}"
        )
    return extra[name]
