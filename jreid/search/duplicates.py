"""Which crops of many are the same file or show the same picture."""

from collections.abc import Iterator
from dataclasses import dataclass, field

ALIKE = 3  # bits of a perceptual hash that may differ between copies of a picture
_BANDS = 4  # of 16 bits: of two hashes that differ in 3 bits, one band is the same
_BITS = 64


@dataclass
class Duplicates:
    """Pictures seen so far, by their perceptual hash (`crops.perceptual_hash`).

    They are found without comparing every two.

    Copies that were saved anew, made smaller or brighter are found; successive frames
    of a person who stands still are copies as well, as far as pixels can tell.
    """

    _bands: dict[tuple[int, int], list[tuple[int, str]]] = field(default_factory=dict)

    def add(self, name: str, hashed: int) -> tuple[str, int] | None:
        """Remembers a picture; the nearest one before it within `ALIKE` bits, if any.

        Returns its name, and in how many bits the two differ.
        """
        keys = [*enumerate(_split(hashed))]
        near = {
            (hashed ^ other).bit_count(): seen
            for key in reversed(keys)
            for other, seen in reversed(self._bands.get(key, []))
        }
        for key in keys:
            self._bands.setdefault(key, []).append((hashed, name))
        least = min(near, default=_BITS)
        return (near[least], least) if least <= ALIKE else None


@dataclass
class Copies:
    """New images that are copies: of files of all the gallery, of new pictures.

    What a file holds is known when all are read: names may have changed places.
    """

    _files: dict[str, str] = field(default_factory=dict)  # by content: not the new ones
    _pictures: Duplicates = field(default_factory=Duplicates)
    _new: list[tuple[str, str, tuple[str, int] | None]] = field(default_factory=list)

    def keep(self, path: str, content: str) -> None:
        """A file that is as it was."""
        self._files.setdefault(content, path)

    def add(self, path: str, content: str, look: int) -> None:
        """A file that is new or has changed."""
        self._new.append((path, content, self._pictures.add(path, look)))

    def found(self) -> Iterator[tuple[str, str]]:
        """Paths of new images, and what each is a copy of."""
        files = {**self._files}
        for path, content, copy in self._new:
            same = files.setdefault(content, path)
            if same != path:
                yield path, f"duplicate: the same file as {same}"
            elif copy is not None:
                yield path, f"duplicate: {copy[1]} of 64 bits differ from {copy[0]}"


def _split(hashed: int) -> list[int]:
    width = _BITS // _BANDS
    return [hashed >> (width * band) & (2**width - 1) for band in range(_BANDS)]
