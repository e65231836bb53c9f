"""What the endpoints ask of the gallery, in the worker's thread."""

import base64
import math
import time
from collections.abc import Callable, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Literal

from jreid.data.image_file import UnreadableImageError, as_rgb
from jreid.data.single_image import Pixels, pixels_of
from jreid.search.records import TimeKindError
from jreid.serve import messages, pictures
from jreid.serve.asked import Asked, SearchedGallery, UnaskableError, UnknownKeyError
from jreid.serve.limits import Limits, TooLargeError
from jreid.serve.uploads import check_upload

_UNKNOWN = "the gallery has no image of this key"
_LOOKED_AT = 50  # images of which the times are looked at


class Service:
    """A gallery and what tells about pictures.

    Args:
        gallery: what is searched.
        recognise: pixels -> Recognition, as `jreid.search.guard.recognise`.
        explain: as `jreid.explanation.explain`; None where there is none.
        limits: of pictures.
        unexplained: why there is none.
    """

    def __init__(
        self,
        gallery: SearchedGallery,
        recognise: Callable[..., Any],
        explain: Callable[..., Any] | None,
        limits: Limits,
        unexplained: str = "",
    ):
        self.gallery, self.limits = gallery, limits
        self.recognise, self.explainer = recognise, explain
        self.unexplained = unexplained

    def info(self) -> messages.Info:
        """What the page shows first."""
        limits, known = self.limits, self.gallery.info()
        return messages.Info(
            images=len(self.gallery),
            dimensions=self.gallery.embedder.dim,
            model=self.gallery.embedder.fingerprint,
            explains=self.explainer is not None,
            unexplained=self.unexplained,
            cameras=sorted(camera for camera in known["cameras"] if camera),
            times=_times(self.gallery.entries(0, _LOOKED_AT)),
            limits=messages.Bounds(
                files=limits.files,
                file_bytes=limits.file_bytes,
                request_bytes=limits.request_bytes,
                pixels=limits.pixels,
            ),
        )

    def page(self, offset: int, limit: int) -> messages.Page:
        """Some of the gallery's images."""
        found = self.gallery.entries(offset, limit)
        return messages.Page(
            images=[messages.Entry(**_entry(one)) for one in found],
            total=len(self.gallery),
        )

    def query(self, asked: Asked) -> messages.Answer:
        """The ranking; the gallery's images that are asked with are left out of it."""
        begun = time.perf_counter()
        if not asked.files and not asked.keys:
            raise UnaskableError("no picture: send files or keys of gallery images")
        if len(asked.files) + len(asked.keys) > self.limits.files:
            raise TooLargeError(
                f"{len(asked.files) + len(asked.keys)} pictures; allowed are "
                f"{self.limits.files} of one person"
            )
        entries = [self._entry(key) for key in asked.keys]
        liked = [self._entry(key) for key in asked.liked]
        for key in asked.disliked:
            self._entry(key)
        seen = [self._seen(contents, asked.modality) for contents in asked.files]
        images = [pixels for pixels, _ in seen]
        images += [self.image(key)[0] for key in asked.keys]
        told = [recognised for _, recognised in seen]
        modalities = [one.modality for one in told] + [one.modality for one in entries]
        try:
            hits = self.gallery.query(
                images,
                modalities,
                k=asked.k,
                liked=tuple(asked.liked),
                disliked=tuple(asked.disliked),
                left_out=tuple(asked.keys),
                where=asked.looked_at(),
                by_track=asked.by_track,
                rerank=asked.rerank,
            )
        except KeyError:  # removed in the meantime
            raise UnknownKeyError(_UNKNOWN) from None
        except TimeKindError as error:
            raise UnaskableError(str(error)) from error
        identities = {one.identity for one in (*entries, *liked)} - {None}
        return messages.Answer(
            hits=[_hit(hit) for hit in hits],
            query=told,
            identity=identities.pop() if len(identities) == 1 else None,
            milliseconds=(time.perf_counter() - begun) * 1000,
        )

    def explain(
        self,
        contents: bytes | None,
        query_key: str | None,
        modality: messages.Modality | None,
        key: str,
    ) -> messages.Explanation:
        """Which regions make a picture, or an image of the gallery, like another."""
        if self.explainer is None:
            raise NotImplementedError(self.unexplained)
        if (contents is None) == (query_key is None):
            raise UnaskableError("send either a file or the query_key of an image")
        entry = self._entry(key)
        if contents is not None:
            query, seen = self._seen(contents, modality)
            query_modality = seen.modality
        else:
            query_modality = self._entry(str(query_key)).modality
            query, _ = self.image(str(query_key))
        try:
            made = self.explainer(
                self.gallery.embedder,
                query,
                query_modality,
                self.image(key)[0],
                entry.modality,
            )
        except UnreadableImageError:
            raise
        except ValueError as error:  # of a network that it is not made for
            raise NotImplementedError(str(error)) from error
        return messages.Explanation(
            similarity=float(made.similarity),
            kind=made.kind,
            statement=made.statement,
            query_map=made.query_map.tolist(),
            gallery_map=made.gallery_map.tolist(),
            picture=base64.b64encode(made.picture()).decode(),
        )

    def image(self, key: str) -> tuple[bytes, str]:
        """The file of the gallery's image, and its media type; in any thread."""
        return pictures.whole_file(self._path(key))

    def thumbnail(self, key: str) -> bytes:
        """The gallery's image as a small JPEG; in any thread."""
        return pictures.thumbnail(self._path(key), self.gallery.embedder.grey16)

    def _path(self, key: str) -> Path:
        try:
            return self.gallery.image_path(key)
        except (KeyError, ValueError):
            raise UnknownKeyError(_UNKNOWN) from None

    def _entry(self, key: str) -> Any:
        try:
            return self.gallery.entry(key)
        except KeyError:
            raise UnknownKeyError(_UNKNOWN) from None

    def _seen(
        self, contents: bytes, modality: messages.Modality | None
    ) -> tuple[Any, messages.Recognised]:
        check_upload(contents, self.limits)
        pixels = pixels_of(contents)
        found = self.recognise(pixels)
        told = {n: v for n, v in found.numbers.items() if isinstance(v, Real)}
        return pixels, messages.Recognised(
            modality=modality or found.modality,
            kind=found.kind,
            warnings=list(found.warnings),
            numbers={n: float(v) for n, v in told.items() if math.isfinite(v)},
            picture=self._shown(pixels),
        )

    def _shown(self, pixels: Pixels) -> str | None:
        """16 bits as the network sees them: of those a browser shows the high byte."""
        if pixels.ndim == 3:
            return None
        shown = pictures.small(as_rgb(pixels, self.gallery.embedder.grey16))
        return base64.b64encode(shown).decode()


def _entry(one: Any) -> dict[str, Any]:
    names = ("key", "path", "modality", "camera", "time", "track", "identity")
    return {name: getattr(one, name) for name in names}


def _times(entries: Sequence[Any]) -> Literal["none", "dates", "numbers"]:
    known = [one.time for one in entries if one.time is not None]
    if not known:
        return "none"
    try:
        float(known[0])
    except ValueError:
        return "dates"
    return "numbers"


def _hit(hit: Any) -> messages.Hit:
    return messages.Hit(
        **_entry(hit), distance=float(hit.distance), probability=hit.probability
    )
