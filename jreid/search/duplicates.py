"""Which crops of many show the same picture, without comparing every two."""

from dataclasses import dataclass, field

ALIKE = 3  # bits of a perceptual hash that may differ between copies of a picture
_BANDS = 4  # of 16 bits: of two hashes that differ in 3 bits, one band is the same
_BITS = 64


@dataclass
class Duplicates:
    """Pictures seen so far, by their perceptual hash (`crops.perceptual_hash`).

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


def _split(hashed: int) -> list[int]:
    width = _BITS // _BANDS
    return [hashed >> (width * band) & (2**width - 1) for band in range(_BANDS)]
