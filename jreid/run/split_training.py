"""Trains RegDB's splits in turn, each as a process of its own, and prints their mean.

A process of its own gives memory and compiled programs back when a split is done. What
is finished is skipped and what was interrupted continues, so that the same command
can be given again until all splits are trained.
"""

import copy
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from jreid.config import Config
from jreid.evaluation.protocols.regdb import SPLITS
from jreid.run.finished import scores_of_finished
from jreid.run.mean_of_runs import score_runs
from jreid.run.run_folders import RunFolder
from jreid.stopping import SIGNALS
from jreid.streams import perhaps_unread, say


class Child:
    """Runs processes one after the other, and passes signals on to them.

    A context manager: while the block runs, these signals do not end this process.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._signal = 0
        self._previous: dict[int, object] = {}

    def run(self, command: Sequence[str], cwd: Path | None = None) -> int:
        """The exit code of `command`; 128 plus the signal's number if one ended it.

        It runs in the folder `cwd`, or in this process's own. After a signal nothing is
        started any more: the result is the signal's code.
        """
        if self._signal:
            return 128 + self._signal
        # In a group of its own, where the terminal's Ctrl-C does not reach it a second
        # time beside the one passed on: the second would end it before it has saved.
        self._process = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, process_group=0
        )
        if self._signal:  # it came while the process was started
            self._process.send_signal(self._signal)
        code = self._process.wait()
        self._process = None
        if code == 0 and self._signal:
            return 128 + self._signal
        return 128 - code if code < 0 else code

    def __enter__(self) -> "Child":
        for number in SIGNALS:
            if signal.getsignal(number) is signal.SIG_IGN:  # as nohup sets it
                continue
            self._previous[number] = signal.signal(number, self._pass_on)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        if self._process is not None:
            self._process.send_signal(number)


def train_all(
    config: Config, prefix: Path, chosen: Sequence[int], words: Sequence[str]
) -> int:
    """Trains the chosen splits, or all, in `prefix`-1, `prefix`-2, ...

    Args:
        config: with the split 0, which stands for all.
        prefix: of the runs' folders; the mean goes to `prefix`-mean.
        chosen: splits; none means all ten.
        words: of the command line of jreid.train that make the config.

    Returns:
        The exit code.

    Raises:
        ValueError: a split that there is not, a config of one split or without splits,
            lists of a split that cannot be read, or a training that failed.
    """
    if not set(chosen) <= set(SPLITS):
        given = " ".join(map(str, chosen))
        raise ValueError(f"--splits is {given}; RegDB has the splits 1 to 10")
    if getattr(config.data, "split", None) != 0:
        raise ValueError(
            "--splits chooses among RegDB's splits: use it with a config for all of "
            "them, --config regdb:all"
        )
    runs = split_runs(config, prefix, sorted(set(chosen)) or SPLITS)
    for run in runs:
        run.config.data.read()  # its lists are missed now or in some days
    own = [word for word in words if not word.startswith("--config.data.split=")]
    return train_splits(runs, own, prefix.with_name(f"{prefix.name}-mean"))


def split_runs(config: Config, prefix: Path, splits: Sequence[int]) -> list[RunFolder]:
    """The run of each split, in the folders `prefix`-1, `prefix`-2, ..."""
    runs = []
    for split in splits:
        own = copy.deepcopy(config)
        own.data.split = split
        runs.append(RunFolder(prefix.with_name(f"{prefix.name}-{split}"), own))
    return runs


def train_splits(runs: Sequence[RunFolder], arguments: Sequence[str], out: Path) -> int:
    """Trains the runs that are not finished, then scores all; returns the exit code.

    Args:
        arguments: of jreid.train, to which the split and its folder are added.
        out: the folder of the mean scores.

    Raises:
        ValueError: naming the split whose training failed.
    """
    with Child() as child:
        for run in runs:
            if scores_of_finished(run.config, run.folder) is not None:
                say(f"split {run.split}: finished, in {run.folder}", sys.stdout)
                continue
            say(f"split {run.split}: training in {run.folder}", sys.stdout)
            own = (f"--config.data.split={run.split}", f"--workdir={run.folder}")
            command = (sys.executable, "-m", "jreid.train", *arguments, *own)
            code = child.run(command)
            if code in (128 + number for number in SIGNALS):
                say(f"stopped in split {run.split}; the same command continues")
                return code
            if code:
                raise ValueError(
                    f"split {run.split} in {run.folder} failed with exit code {code}, "
                    "see above; the same command continues with it"
                )
    score_runs(runs, out=out, show=_show)
    return 0


def _show(text: str) -> None:
    """What is trained and written is no failure where nobody reads it."""
    with perhaps_unread(sys.stdout):
        print(text)
