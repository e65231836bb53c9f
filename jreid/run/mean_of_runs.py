"""Several runs as one row: RegDB's splits, or one config trained from several seeds.

RegDB's published scores are means over ten splits, every model scored on the split that
it was trained for: a test image of one split is a training image of another.
"""

import copy
import hashlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jreid.config_differences import differences
from jreid.evaluation import table
from jreid.evaluation.files.results_file import make_folder, write_results
from jreid.evaluation.mean_of_scores import mean_over_seeds, mean_over_splits
from jreid.evaluation.protocols.regdb import mean_title
from jreid.run.about import about_run
from jreid.run.run_folders import RunFolder, Scored
from jreid.streams import say

# Besides what may differ when a run is continued, of which the evaluation may not.
_MAY_DIFFER = ("config.name", "config.seed", "config.data.split")


def in_order(runs: Sequence[RunFolder]) -> list[RunFolder]:
    """The runs by split, or by seed if they are of one split or have none.

    Raises ValueError, naming the runs, if they make no mean.
    """
    first, *others = runs
    for other in others:
        _check_alike(first, other)
    what = "split" if _are_splits(runs) else "seed"
    ordered = sorted(runs, key=lambda run: _number(run, what))
    for one, other in itertools.pairwise(ordered):
        number = _number(one, what)
        if number == _number(other, what):
            raise ValueError(
                f"{one.folder} and {other.folder} are both runs of {what} {number}: "
                f"the mean takes one run of each {what}, leave one out"
            )
    return ordered


def _are_splits(runs: Sequence[RunFolder]) -> bool:
    """Whether a mean is over splits, be it of one, and not over seeds."""
    splits = {run.split for run in runs}
    return len(splits) > 1 or (len(runs) == 1 and None not in splits)


def _number(run: RunFolder, what: str) -> int:
    return run.config.seed if what == "seed" else run.split or 0


def _check_alike(one: RunFolder, other: RunFolder) -> None:
    changes = [
        f"{path.removeprefix('config.')} is {here} and {there}"
        for path, here, there, free in differences(one.config, other.config)
        if path not in _MAY_DIFFER
        and (not free or path.startswith(("config.evaluation.", "config.embedding.")))
    ]
    if changes:
        raise ValueError(
            f"{one.folder} and {other.folder} differ in more than split and seed: "
            f"{'; '.join(changes)}. A mean is over runs of one config: set others side "
            "by side with --compare"
        )


def check_finished(runs: Sequence[RunFolder]) -> None:
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


def score_runs(
    runs: Sequence[RunFolder],
    *,
    step: int | None = None,
    out: Path | None = None,
    tested_on: Any = None,
    show: Callable[[str], None] = print,
) -> None:
    """Scores each run and prints the tables and their mean.

    Scores that a run's results.json holds already are not computed again. The mean
    goes into `out`, by default `NAME-mean` beside the first run.

    Args:
        runs: of several splits, each scored on its own, or of several seeds.
        step: of the checkpoints; None for the newest, which must be the last.
        out: a folder.
        tested_on: another data set than that of the runs.
        show: prints the mean, when all is written.

    Raises:
        ValueError: the runs make no mean, or one of them cannot be scored.
        OSError: a file is missing, or cannot be written.
    """
    runs = in_order(runs)
    if step is None:
        check_finished(runs)
    what = "split" if _are_splits(runs) else "seed"
    if tested_on is not None and what == "split":
        raise ValueError(
            f"{runs[0].folder} and the other runs are of several splits: on another "
            "data set give runs of one split"
        )
    other = "".join(f"-{word}" for word in (runs[0].variant(step),) if word)
    folder = out or runs[0].folder.parent / f"{runs[0].config.name}-mean{other}"
    make_folder(folder)
    numbers = [_number(run, what) for run in runs]
    scored, contents = [], {}
    for run, (scores, about) in zip(
        runs, _scores(runs, what, step, out, tested_on), strict=True
    ):
        say(f"\n{what} {_number(run, what)}: {run.folder}\n", sys.stdout)
        say(table.format_table(scores, about), sys.stdout)
        scored.append(scores)
        contents[str(run.folder)] = about.get("test_content", "")
    content = _content_of_mean(contents, what)
    if what == "split":
        means, title = mean_over_splits(scored), mean_title(numbers)
    else:
        means = mean_over_seeds(scored, numbers)
        title = f"mean of {len(runs)} seeds ({', '.join(map(str, numbers))})"
    about = _about_mean(runs, what, step, tested_on, content)
    lines = write_results(folder, means, about)
    show("\n".join([f"\n{title}\n", table.format_table(means, about), *lines]))


def _scores(
    runs: Sequence[RunFolder],
    what: str,
    step: int | None,
    out: Path | None,
    tested_on: Any,
) -> Iterator[Scored]:
    for run in runs:
        stored = None if tested_on else run.stored_scores(step)
        if stored is not None:
            yield stored
            continue
        from jreid.run import trained  # imports JAX

        own = None if out is None else out / f"{what}-{_number(run, what)}"
        yield trained.evaluate_run(
            run.config, run.folder, step, own, tested_on, run.variant(step)
        )


def _about_mean(
    runs: Sequence[RunFolder], what: str, step: int | None, tested_on: Any, content: str
) -> dict[str, Any]:
    config = copy.deepcopy(runs[0].config)
    if what == "split":
        config.data.split = 0  # all of them
    steps = {run.newest_step() for run in runs} if step is None else {step}
    at = steps.pop() if len(steps) == 1 else None
    folders = {str(_number(run, what)): str(run.folder) for run in runs}
    return about_run(config, at, tested_on, content) | {"runs": folders}


def _content_of_mean(contents: Mapping[str, str], what: str) -> str:
    """The fingerprint of all test images, from those of the runs.

    Raises ValueError if runs of several seeds were scored on different images.
    """
    known = {folder: content for folder, content in contents.items() if content}
    if len(known) < len(contents):
        return ""
    if what == "split":
        return hashlib.sha256(" ".join(known.values()).encode()).hexdigest()[:12]
    if len(set(known.values())) > 1:
        told = ", ".join(f"{content} of {folder}" for folder, content in known.items())
        raise ValueError(
            f"the seeds were scored on different test images ({told}): score all on "
            "the same"
        )
    return next(iter(known.values()))
