"""The file that --picture names, looked at before anything takes time."""

from pathlib import Path


def check_picture(path: Path | None) -> None:
    """Raises OSError where it could not be written."""
    if path is None:
        return
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is no folder: make it first")
    if path.is_dir():
        raise IsADirectoryError(
            f"--picture is {path}, a folder: give the file that is to be written in it"
        )
