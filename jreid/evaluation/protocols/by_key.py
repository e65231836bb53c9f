"""The protocols by their word on the command line."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jreid.evaluation.protocols.custom import CustomProtocol
from jreid.evaluation.protocols.llcm import LLCMProtocol
from jreid.evaluation.protocols.protocol import GalleryOptions, Protocol
from jreid.evaluation.protocols.regdb import SPLITS, RegDBProtocol
from jreid.evaluation.protocols.sysu_mm01 import SysuProtocol

PROTOCOLS = {
    protocol.key: protocol
    for protocol in (SysuProtocol, RegDBProtocol, LLCMProtocol, CustomProtocol)
}


def make_protocol(
    key: str, options: Mapping[str, Any]
) -> tuple[Protocol, GalleryOptions]:
    """A protocol by its word, and how its galleries are drawn.

    Args:
        key: of `PROTOCOLS`.
        options: fields of the protocol and of `GalleryOptions`; the rest is as
            published.

    Raises:
        ValueError: an unknown protocol, an option that it does not take, or a value
            that it cannot have.
    """
    if key not in PROTOCOLS:
        raise ValueError(f"protocol is {key!r}; allowed are {', '.join(PROTOCOLS)}")
    kind = PROTOCOLS[key]
    if unknown := [name for name in options if name not in kind.options]:
        takes = ", ".join(kind.options) or "none"
        raise ValueError(
            f"the protocol {key!r} has no option {', '.join(unknown)}; it takes {takes}"
        )
    if "split" in options and options["split"] not in SPLITS:
        raise ValueError(f"split is {options['split']}; RegDB has the splits 1 to 10")
    own = {field.name for field in dataclasses.fields(kind)}
    of_protocol: dict[str, Any] = {
        name: _several(value) if name in ("modes", "shots") else value
        for name, value in options.items()
        if name in own
    }
    protocol = kind(**of_protocol)
    gallery = GalleryOptions(**{k: v for k, v in options.items() if k not in own})
    protocol.check(gallery)
    return protocol, gallery


def _several(value: Any) -> tuple[Any, ...]:
    """One is a list of one."""
    return (value,) if isinstance(value, str | int) else tuple(value)
