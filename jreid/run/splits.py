"""RegDB's ten splits, a run each: which runs make one score, and their mean.

The published scores are means over all ten, every model scored on the split that it
was trained for: a test image of one split is a training image of another.
"""

import copy
import glob
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jreid import __version__
from jreid.config import RESUMABLE, Config, as_dict
from jreid.evaluation import protocols, table
from jreid.evaluation.files.score_files import make_folder, write_scores
from jreid.evaluation.protocols import Score
from jreid.run.about import about_run
from jreid.run.workdir import CONFIG, dotted_fields, read_training_set

SPLITS = tuple(range(1, 11))
MAY_DIFFER = ("name", "seed", "data.trial")
Scored = tuple[list[Score], dict[str, Any]]


@dataclass(frozen=True)
class SplitRun:
    """The run of one split, with the config to score it by."""

    folder: Path
    config: Config

    @property
    def trial(self) -> int:
        """The number of its split, 1 to 10."""
        return self.config.data.trial

    def newest_step(self) -> int:
        """The step of the newest checkpoint, 0 if there is none."""
        folder = self.folder / "checkpoints"
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return max((int(name) for name in names if name.isdigit()), default=0)

    def last_step(self) -> int:
        """The step at which its training ends."""
        epoch = read_training_set(self.folder).get("steps_per_epoch")
        if epoch is None:
            raise ValueError(
                f"{self.folder} was begun by an earlier version, which kept no number "
                "of steps: continue its training once, or give --step"
            )
        last = self.config.optim.epochs * epoch
        return min(self.config.steps or last, last)

    def stored_scores(self, step: int | None = None) -> Scored | None:
        """Those of its results.json, if scoring it at `step` would give the same.

        That is so if checkpoint, config, with the root of the images and all options of
        the evaluation, and the version of this program are the same.
        """
        try:
            about, scores = table.read_results(self.folder / "results.json")
        except (OSError, ValueError):
            return None
        wanted = {
            "step": self.newest_step() if step is None else step,
            "config": as_dict(self.config),
            "version": __version__,
        }
        if any(about.get(name) != value for name, value in wanted.items()):
            return None
        return scores, about


def find_runs(names: Sequence[str]) -> list[Path]:
    """Folders by name or pattern; a pattern stands for the runs among its matches.

    Raises ValueError for a pattern that no run matches.
    """
    folders: list[Path] = []
    for name in names:
        if Path(name).exists() or not glob.has_magic(name):
            folders.append(Path(name))
            continue
        found = [Path(p) for p in glob.glob(name) if (Path(p) / CONFIG).is_file()]
        if not found:
            raise ValueError(f"no run, a folder with {CONFIG}, matches {name!r}")
        folders += sorted(found, key=_by_number)
    return list({folder.absolute(): folder for folder in folders}.values())


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Sorts regdb-2 before regdb-10."""
    words = re.split(r"(\d+)", str(path))
    return [(int(w) if w.isdigit() else -1, w) for w in words]


def check_splits(runs: Sequence[SplitRun]) -> list[SplitRun]:
    """The runs by split; raises ValueError, naming the runs, if they make no mean."""
    for run in runs:
        if run.config.data.dataset != "regdb":
            raise ValueError(
                f"{run.folder} is a run on {run.config.data.dataset!r}: several runs "
                "are scored together as splits of RegDB only. Give one --workdir, or "
                "set runs side by side with --compare"
            )
    first, *others = runs
    for other in others:
        _check_alike(first, other)
    ordered = sorted(runs, key=lambda run: run.trial)
    for one, other in itertools.pairwise(ordered):
        if one.trial == other.trial:
            raise ValueError(
                f"{one.folder} and {other.folder} are both runs of split {one.trial}: "
                "the mean takes one run of each split, leave one out"
            )
    return ordered


def _check_alike(one: SplitRun, other: SplitRun) -> None:
    here, there = (dotted_fields(as_dict(run.config)) for run in (one, other))
    free = (*MAY_DIFFER, *(name for name in RESUMABLE if name != "evaluation"))
    changes = [
        f"{name} is {here[name]} and {there[name]}"
        for name in here
        if here[name] != there[name]
        and not any(f"{name}.".startswith(f"{group}.") for group in free)
    ]
    if changes:
        raise ValueError(
            f"{one.folder} and {other.folder} differ in more than their split: "
            f"{'; '.join(changes)}. A mean is over runs of one config"
        )


def check_finished(runs: Sequence[SplitRun]) -> None:
    """Raises ValueError naming the runs whose newest checkpoint is not their last."""
    behind = [
        f"{run.folder} is at step {run.newest_step()} of {run.last_step()}"
        for run in runs
        if run.newest_step() < run.last_step()
    ]
    if behind:
        raise ValueError(
            f"{'; '.join(behind)}: finish the training with the command that began it, "
            "leave it out, or give the --step to score all of them at"
        )


def score_splits(
    runs: Sequence[SplitRun], *, step: int | None = None, out: Path | None = None
) -> None:
    """Scores each run on its own split and prints the tables and the mean.

    Scores that a run's results.json holds already are not computed again. The mean
    goes into `out`, by default `NAME-mean` beside the first run.

    Raises:
        ValueError: the runs make no mean, or one of them cannot be scored.
        OSError: a file is missing, or cannot be written.
    """
    runs = check_splits(runs)
    if step is None:
        check_finished(runs)
    folder = out or runs[0].folder.parent / f"{runs[0].config.name}-mean"
    make_folder(folder)
    scored = []
    for run, (scores, about) in zip(runs, _scores(runs, step, out), strict=True):
        print(f"\nsplit {run.trial}: {run.folder}\n")
        print(table.format_table(scores, about))
        scored.append(scores)
    means = protocols.mean_over_splits(scored)
    about = _about_mean(runs, step)
    print(f"\n{mean_title([run.trial for run in runs])}\n")
    print(table.format_table(means, about))
    print("\n".join(write_scores(folder, means, about)))


def _scores(
    runs: Sequence[SplitRun], step: int | None, out: Path | None
) -> Iterator[Scored]:
    for run in runs:
        stored = run.stored_scores(step)
        if stored is not None:
            yield stored
            continue
        from jreid import system  # import JAX
        from jreid.run import trained

        system.quieten_tensorflow()
        own = None if out is None else out / f"split-{run.trial}"
        yield trained.evaluate_run(run.config, run.folder, step, own)


def _about_mean(runs: Sequence[SplitRun], step: int | None) -> dict[str, Any]:
    config = copy.deepcopy(runs[0].config)
    config.data.trial = 0  # all of them
    steps = {run.newest_step() for run in runs} if step is None else {step}
    folders = {str(run.trial): str(run.folder) for run in runs}
    return about_run(config, steps.pop() if len(steps) == 1 else None) | {
        "runs": folders
    }


def mean_title(trials: Sequence[int]) -> str:
    """What a mean over these splits is, and which of the protocol's are missing."""
    missing = [str(trial) for trial in SPLITS if trial not in trials]
    if not missing:
        return "mean of all ten splits"
    return (
        f"mean of {len(trials)} splits ({', '.join(map(str, trials))}), not the "
        f"published protocol, which takes all ten: {', '.join(missing)} missing"
    )
