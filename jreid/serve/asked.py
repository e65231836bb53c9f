"""What a client may ask, and of what."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jreid.serve.messages import Modality


class UnknownKeyError(LookupError):
    """No image of the gallery has this key."""


class UnaskableError(ValueError):
    """A request of which the parts do not go together."""


@runtime_checkable
class SearchedGallery(Protocol):
    """What the page uses of a `jreid.search.Gallery`."""

    embedder: Any

    def __len__(self) -> int: ...
    def info(self) -> dict[str, Any]: ...
    @property
    def query(self) -> Callable[..., list[Any]]: ...
    def entries(self, offset: int, limit: int) -> Sequence[Any]: ...
    def entry(self, key: str) -> Any: ...
    def image_path(self, key: str) -> Path: ...


@dataclass(frozen=True)
class Asked:
    """A query: pictures of one person, sent or out of the gallery."""

    files: Sequence[bytes]
    keys: Sequence[str]
    modality: Modality | None
    """Of the files; None: recognised."""
    k: int = 20
    where: dict[str, Any] = field(default_factory=dict)
    """Of the images that are looked at: cameras, after, before, modality."""
    liked: Sequence[str] = ()
    disliked: Sequence[str] = ()
    by_track: bool = False
    rerank: int = 0

    def looked_at(self) -> Any:
        """The filters as `Gallery.query` takes them; None without any.

        Raises UnaskableError for a time that is none.
        """
        given = {name: value for name, value in self.where.items() if value}
        if not given:
            return None
        from jreid.search import Where

        where = Where(**given)
        try:
            where.check()
        except ValueError as error:
            raise UnaskableError(str(error)) from error
        return where
