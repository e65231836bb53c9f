"""Files of scores that need no run: results.json and, with matplotlib, cmc.png."""

import importlib.util
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jreid.evaluation import table
from jreid.evaluation.protocols import Score
from jreid.run.workdir import replacing, write_text


def make_folder(folder: Path) -> None:
    """Makes a folder for results before the work; OSError if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"cannot write to {folder}: {error}. Give another --out"
        ) from error


def write_scores(
    folder: Path, scores: Sequence[Score], about: Mapping[str, Any]
) -> list[str]:
    """Writes into `folder`, made if missing; returns a line about each file."""
    make_folder(folder)
    write_text(folder / "results.json", table.results_json(scores, about))
    lines = [str(folder / "results.json")]
    if importlib.util.find_spec("matplotlib") is None:
        return [*lines, "no cmc.png, which needs matplotlib"]
    from jreid.evaluation import pictures

    with replacing(folder / "cmc.png") as temporary:
        pictures.save_cmc_plot(temporary, scores)
    return [*lines, str(folder / "cmc.png")]
