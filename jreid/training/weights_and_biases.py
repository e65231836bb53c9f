"""The scalars of a run for Weights & Biases (https://docs.wandb.ai)."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from jreid.extra import library
from jreid.run.workdir import CONFIG
from jreid.whole_files import write_text

ID = "id"  # a file in the folder, by which a run that is continued stays the same


@dataclass(slots=True)
class WeightsAndBiases:
    """Sent to Weights & Biases, or kept in the run's folder for `wandb sync`.

    See `training.writers`. What the server has been sent cannot be taken back: steps
    that it knows already are left out when a run does them again. What its own process
    had not written yet when a run is killed is missing there, not in metrics.jsonl.
    """

    folder: ClassVar[str] = "wandb"

    enabled: bool = True
    """Whether it is written at all."""
    project: str = "jreid"
    """Where the run appears."""
    entity: str = ""
    """A team's or user's name; one's own."""
    mode: Literal["", "online", "offline"] = ""
    """Offline: nothing is sent; "": as WANDB_MODE says, or online."""

    def check(self) -> None:
        """Raises ValueError for a field that is not allowed."""
        if not self.project:
            raise ValueError("project is ''; give the name of a W&B project")

    def ready(self) -> None:
        """Logs in, which may ask on a terminal, if anything is to be sent.

        Raises ValueError if wandb is not installed or does not know who logs in.
        """
        wandb = library("wandb", "wandb")
        if (self.mode or os.environ.get("WANDB_MODE", "online")) == "online":
            with _telling_remedies(wandb):
                wandb.login()

    def make(self, workdir: pathlib.Path, first_step: int) -> Any:
        """A writer that continues the run in `workdir`, or begins it.

        Raises ValueError if wandb is not installed, or cannot begin the run.
        """
        wandb = library("wandb", "wandb")
        folder = workdir.absolute() / self.folder
        folder.mkdir(exist_ok=True)
        # Nothing of a run that begins again is to be seen: it gets a new page.
        if first_step == 1 or not (folder / ID).exists():
            write_text(folder / ID, secrets.token_hex(4))
        about = workdir / CONFIG
        with _telling_remedies(wandb):
            run = wandb.init(
                project=self.project,
                entity=self.entity or None,
                name=workdir.absolute().name,
                id=(folder / ID).read_text(),
                resume="allow",
                dir=os.fspath(workdir.absolute()),
                config=json.loads(about.read_text()) if about.exists() else {},
                mode=self.mode or None,
                settings=wandb.Settings(console="off", silent=True, save_code=False),
            )
        return _Writer(run)


@contextlib.contextmanager
def _telling_remedies(wandb: Any) -> Iterator[None]:
    """What W&B refuses becomes a ValueError that says what can be done."""
    try:
        yield
    except wandb.Error as error:
        raise ValueError(
            f"Weights & Biases: {str(error).rstrip('.')}. Log in with `wandb login` or "
            "WANDB_API_KEY, or set WANDB_MODE=offline, after which `wandb sync` sends "
            "the run"
        ) from error


class _Writer:
    """What `training.writers` asks of one."""

    def __init__(self, run: Any):
        self._run = run

    def write_scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()

    def fail(self) -> None:
        self._run.finish(exit_code=1)
