"""Prints what a gallery holds, and what it was made with."""

import json
from dataclasses import dataclass

import tyro


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    gallery: str
    """A folder, http://host:19530/name of Milvus, or a file NAME.db of Milvus Lite."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print it as JSON."""
    traceback: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show where an error was raised."""


def run(given: Options) -> None:
    """Prints it, without restoring the network."""
    from jreid.search.gallery import Gallery

    with Gallery.open(given.gallery) as gallery:
        told = gallery.info()
    if given.json:
        print(json.dumps(told, indent=1))
        return
    for name, value in told.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key or 'unknown'} {own}" for key, own in value.items())
        print(f"{name:11} {value}")
