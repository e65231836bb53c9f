"""A run that was trained to its end, and started again."""

import sys
from pathlib import Path

from jreid.config import Config
from jreid.run import results
from jreid.run.run_folders import RunFolder, Scored
from jreid.streams import perhaps_unread, say

UNFINISHED = ".report-unfinished"  # a file that is there while a training's is written


def scores_of_finished(config: Config, workdir: Path) -> Scored | None:
    """What its results.json holds, if all steps are done and it is of the last one.

    None too where the report that it belongs to was cut short: see `UNFINISHED`.
    """
    if (workdir / UNFINISHED).exists():
        return None
    run = RunFolder(workdir, config)
    try:
        if config.checkpoint.step >= 0 or run.newest_step() < run.last_step():
            return None
    except (OSError, ValueError):  # it has not begun, or cannot be read
        return None
    return run.stored_scores()


def print_finished(scored: Scored, workdir: Path) -> None:
    """That there is nothing to train, and the table as it was."""
    scores, about = scored
    say(
        f"finished at step {about['step']}: nothing is trained. More epochs: "
        "--config.schedule.epochs=, other scores: python -m jreid.evaluate"
    )
    with perhaps_unread(sys.stdout):
        results.print_report(scores, about, workdir)
