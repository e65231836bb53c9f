"""Folders of runs: found by name or pattern, each with the config to score it by."""

import glob
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jreid import __version__
from jreid.config import Config
from jreid.config_json import to_json
from jreid.evaluation.files.results_file import read_results
from jreid.evaluation.score import Score
from jreid.run.training_set import read_training_set
from jreid.run.workdir import CONFIG, saved_steps

Scored = tuple[list[Score], dict[str, Any]]


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, with the config to score it by."""

    folder: Path
    config: Config
    words: tuple[str, ...] = ()  # for what makes the config another than the run's own

    def variant(self, step: int | None) -> str:
        """What files of these scores are called, if it is not the run's own way."""
        own = step in (None, self.newest_step())
        return "-".join([*self.words, *([] if own else [f"step-{step}"])])

    @property
    def split(self) -> int | None:
        """The number of its split, 1 to 10; None if its data set has none."""
        return getattr(self.config.data, "split", None)

    def newest_step(self) -> int:
        """The step of the newest checkpoint, 0 if there is none."""
        return max(saved_steps(self.folder / "checkpoints"), default=0)

    def last_step(self) -> int:
        """The step at which its training ends."""
        known = read_training_set(self.folder)
        if self.config.phases:  # an epoch's steps may be other ones in each
            last = known["last_step"]
        else:  # of epochs that may be more than it began with
            last = self.config.schedule.epochs * known["steps_per_epoch"]
        return min(self.config.steps or last, last)

    def stored_scores(self, step: int | None = None) -> Scored | None:
        """Those of its results.json, if scoring it at `step` would give the same.

        That is so if checkpoint, config, with the root of the images and all options of
        the evaluation, and the version of this program are the same.
        """
        try:
            about, scores = read_results(self.folder / "results.json")
        except (OSError, ValueError):
            return None
        wanted = {
            "step": self.newest_step() if step is None else step,
            "config": to_json(self.config),
            "version": __version__,
        }
        if any(about.get(name) != value for name, value in wanted.items()):
            return None
        return scores, about


def find_runs(names: Sequence[str]) -> list[Path]:
    """Folders by name or pattern; a pattern stands for the runs among its matches.

    Of several, folders that hold scores and no run are passed over with a note.

    Raises ValueError for a pattern that no run matches.
    """
    folders: list[Path] = []
    for name in map(os.path.expanduser, names):
        if Path(name).exists() or not glob.has_magic(name):
            folders.append(Path(name))
            continue
        found = [Path(p) for p in glob.glob(name) if (Path(p) / CONFIG).is_file()]
        if not found:
            raise ValueError(f"no run, a folder with {CONFIG}, matches {name!r}")
        folders += sorted(found, key=_by_number)
    if len(folders) > 1:  # a shell gives all that match, as runs/regdb-mean too
        for folder in [f for f in folders if _is_mean(f)]:
            print(f"note: {folder} is a mean of runs, passed over", file=sys.stderr)
            folders.remove(folder)
    return list({folder.absolute(): folder for folder in folders}.values())


def _is_mean(folder: Path) -> bool:
    """Whether the folder holds the scores that `mean_of_runs` writes, and no run."""
    return (folder / "results.json").is_file() and not (folder / CONFIG).exists()


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Sorts regdb-2 before regdb-10."""
    words = re.split(r"(\d+)", str(path))
    return [(int(w) if w.isdigit() else -1, w) for w in words]
