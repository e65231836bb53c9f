"""Where a data set is read from: its folder, or what TFDS has built of it."""

from pathlib import Path

SYNVI_TOO = ", or use the embedded set with --config.data.root=synvi"


def check_source(root: str, tfds: str) -> None:
    """Raises ValueError where two places are given."""
    if root and tfds:
        raise ValueError(
            f"root is {root!r} and tfds {tfds!r}; the images can be read from one of "
            "them only: set the other to ''"
        )


def folder_of(root: str, also: str = "") -> Path:
    """The folder; raises ValueError, with the ways to name it, where none is given."""
    if not root:
        raise ValueError(
            "data.root is empty; name the data set's folder with "
            "--config.data.root=FOLDER, or where it was built for TFDS with "
            f"--config.data.tfds=FOLDER{also}"
        )
    return Path(root).expanduser()
