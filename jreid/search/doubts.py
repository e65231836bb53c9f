"""What is doubtful about crops that are indexed, collected for one report."""

from dataclasses import dataclass, field

from jreid.search.duplicates import Duplicates

_SHOWN = 3  # images of each kind of doubt


@dataclass
class Doubts:
    """Warnings by their first word, each with the images it is of."""

    found: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Path and warning, by "tiny", "blurred", "duplicate" and so on."""
    contents: dict[str, str] = field(default_factory=dict)
    """A path of each file's content that is known."""
    _pictures: Duplicates = field(default_factory=Duplicates)

    def add(self, path: str, warning: str) -> None:
        """A warning, which begins with a word and a colon."""
        self.found.setdefault(warning.partition(":")[0], []).append((path, warning))

    def look_for_copies(self, path: str, content: str, hashed: int) -> None:
        """Adds a warning if the file, or the picture, is that of another path.

        Files are compared with all of the gallery, pictures with those before them.
        """
        other = self.contents.setdefault(content, path)
        near = self._pictures.add(path, hashed)
        if other != path:
            self.add(path, f"duplicate: the same file as {other}")
        elif near is not None:
            self.add(
                path, f"duplicate: {near[1]} of 64 bits differ from those of {near[0]}"
            )

    def lines(self) -> list[str]:
        """A line for each kind, and its first images."""
        told = []
        for word, images in self.found.items():
            told.append(f"{word}: {len(images)} images")
            told += [f"  {path}: {warning}" for path, warning in images[:_SHOWN]]
        return told
