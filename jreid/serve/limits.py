"""How much a client may send."""

from dataclasses import dataclass


class TooLargeError(ValueError):
    """More bytes, files or pixels than are allowed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a request; what is over them is refused before it is decoded."""

    files: int = 8
    """Pictures of one person in a query, sent or out of the gallery."""
    file_bytes: int = 8 * 2**20
    """Bytes of one picture."""
    request_bytes: int = 16 * 2**20
    """Bytes of a request, all its pictures together."""
    pixels: int = 2**24
    """Pixels of a picture, by its header."""
    waiting: int = 64
    """Requests that wait for the network; one more is told to come again."""
    memory: int = 256 * 2**20
    """Bytes of all requests that are being received or wait."""
    seconds: float = 30.0
    """In which a request's head must have arrived, in which its body must, and in which
    something of an answer must have been read."""

    def check(self) -> None:
        """Raises ValueError for a bound that refuses everything or promises in vain."""
        from jreid.data.image_file import MAX_PIXELS

        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"--limits.{name} is {getattr(self, name)}; allowed is more than 0"
                )
        if self.pixels > MAX_PIXELS:
            raise ValueError(
                f"--limits.pixels is {self.pixels}; allowed is up to {MAX_PIXELS}: "
                "larger pictures are never decoded"
            )
        if self.request_bytes > self.memory:
            raise ValueError(
                f"--limits.request_bytes is {self.request_bytes}; allowed is up to "
                f"--limits.memory, {self.memory}"
            )
