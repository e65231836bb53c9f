"""Checkpoints of the training state: asynchronous, atomic, the last n kept, checked.

Orbax writes them: a checkpoint is written beside its final place and renamed when it
is complete, so one killed half-way is never taken. Orbax does not notice a flipped bit
in a stored array, so every array is stored with its CRC-32, checked on reading.

A step's folder holds two items: `state`, one array per leaf, named by its path in the
state ("params/trunk/layer1/0/conv1/kernel"), and `leaves`, JSON with the shape, dtype
and CRC-32 of each.
"""

import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from jreid.processes.distributed import from_main
from jreid.run.checkpoint_reading import read_arrays, read_leaves
from jreid.run.leaves import check_fit, checksum, describe, named_leaves
from jreid.run.plain_path import PlainPath
from jreid.run.quiet_orbax import quieten_orbax
from jreid.run.workdir import saved_steps

quieten_orbax()

REMEDY = (
    "Take an earlier checkpoint with --config.checkpoint.step= (in training) or --step "
    "(in evaluation)"
)


class Checkpoints:
    """The checkpoints of one run in one folder; a context manager.

    Args:
        folder: holds one sub-folder per step; created if missing, except when reading.
        keep: how many of the newest checkpoints stay (at least 1).
        read_only: look at the checkpoints of a run that may still be going on: nothing
            is created, deleted or cleaned up, and `save` is refused.

    Raises:
        FileNotFoundError: `read_only` and there is no such folder.
        OSError: the folder cannot be made or written.
        ValueError: keep < 1.
    """

    def __init__(
        self, folder: str | pathlib.Path, *, keep: int = 2, read_only: bool = False
    ):
        if keep < 1:
            raise ValueError(f"keep is {keep}, but at least 1 checkpoint must stay")
        self.folder = pathlib.Path(folder).absolute()
        if read_only and not self.folder.is_dir():
            raise FileNotFoundError(
                f"no folder of checkpoints at {self.folder}: give the --workdir of a "
                "run that has saved one"
            )
        options: dict[str, Any] = {
            "read_only": True,
            "create": False,
            "save_interval_steps": 0,
        }
        if not read_only:
            options = {
                "preservation_policy": checkpoint_managers.LatestN(keep),
                "cleanup_tmp_directories": True,  # what a killed run left half-written
            }
        self.read_only = read_only
        self._saving: int | None = None
        self._place = PlainPath(self.folder)
        try:
            if not read_only:
                self.folder.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(
                self._place.made(), options=ocp.CheckpointManagerOptions(**options)
            )
        except OSError as error:
            raise OSError(
                f"cannot keep checkpoints in {self.folder}: {error}. Give a --workdir "
                "that can be written."
            ) from error

    def steps(self) -> list[int]:
        """The steps with a complete checkpoint on disk, ascending."""
        return saved_steps(self.folder)

    def latest_step(self) -> int | None:
        """The newest step with a complete checkpoint, None where there is none."""
        return max(self.steps(), default=None)

    def save(self, step: int, state: Any) -> None:
        """Starts to write `state`; returns once it has been copied to host memory.

        The caller may donate or change the state at once. A failure of the writing
        thread is raised by the next `save`, `wait` or `close`.

        Args:
            step: number of finished steps; not saved before.
            state: nested dicts, tuples and NamedTuples of arrays, replicated over
                devices; no typed random keys (store `jax.random.key_data`).

        Raises:
            ValueError: a leaf is not an array, or the step is saved already.
            OSError: this or the previous checkpoint could not be written (disk full,
                read-only); earlier checkpoints are intact.
        """
        if self.read_only:
            raise ValueError(f"the checkpoints in {self.folder} were opened to read")
        self.wait()
        if step in self.steps():
            raise ValueError(
                f"step {step} is saved already in {self.folder}. Steps after the one "
                "resumed from are dropped by discard_after."
            )
        arrays = named_leaves(state)
        described = {name: describe(name, array) for name, array in arrays.items()}
        items = ocp.args.Composite(
            state=ocp.args.PyTreeSave(arrays),
            leaves=ocp.args.JsonSave({**described, "crc32": checksum(described)}),
        )
        self._saving = step
        try:
            # Orbax waits minutes for threads whose folder could not be made.
            tempfile.TemporaryFile(dir=self.folder).close()
            self._manager.save(step, args=items, force=True)
        except Exception as error:
            raise self._write_error(error) from error

    def restore(self, like: Any, step: int | None = None) -> Any:
        """Reads a checkpoint back bit for bit, after checking it.

        Args:
            like: the state to fill, or whole parts of it by name: arrays, or
                `jax.ShapeDtypeStruct` with the sharding of the current mesh. Leaves
                are found by their path; NumPy arrays give NumPy arrays.
            step: which checkpoint; None is the newest.

        Returns:
            The structure of `like` with the stored arrays, sharded as `like` is.

        Raises:
            FileNotFoundError: no such step.
            ValueError: the stored state does not fit `like`, or is damaged.
        """
        self.wait()
        found = self.steps()
        step = max(found, default=None) if step is None else step
        if step is None or step not in found:
            which = "" if step is None else f" of step {step}"
            raise FileNotFoundError(
                f"no checkpoint{which} in {self.folder}; steps there: {found}"
            )
        wanted = named_leaves(like)
        leaves = self._read_leaves(step)
        check_fit(leaves, wanted, f"step {step} in {self.folder}")
        try:
            arrays = read_arrays(self._manager, step, wanted, leaves)
        except ValueError as error:
            raise self._damaged(step, str(error)) from error
        return jax.tree.unflatten(jax.tree.structure(like), list(arrays.values()))

    def shapes(self, step: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Shape and dtype of every array of a checkpoint, by its path.

        Raises ValueError if the checkpoint is damaged.
        """
        return {
            name: jax.ShapeDtypeStruct(tuple(leaf["shape"]), jnp.dtype(leaf["dtype"]))
            for name, leaf in self._read_leaves(step).items()
        }

    def checksum(self, step: int, parts: Sequence[str]) -> int:
        """CRC-32 of the stored arrays of these parts of the state, without them.

        Raises ValueError if the checkpoint is damaged.
        """
        leaves = self._read_leaves(step)
        return checksum({n: leaves[n] for n in leaves if n.split("/")[0] in parts})

    def discard_after(self, step: int) -> list[int]:
        """Deletes the checkpoints later than `step` and returns their steps.

        A run resumed from an earlier step replaces them as it gets there.
        """
        # As found at the beginning: on disk another process may have deleted them.
        later = sorted(other for other in self._manager.all_steps() if other > step)
        for other in later:
            self._manager.delete(other)
        return later

    def wait(self) -> None:
        """Blocks until the last `save` is on disk; OSError if it failed."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._write_error(error) from error

    def close(self) -> None:
        """Waits for the last `save` and ends the writing thread."""
        try:
            self.wait()
        finally:
            self._manager.close()
            self._place.forget()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_leaves(self, step: int) -> dict[str, Any]:
        """What `describe` gave for every array of the checkpoint."""
        try:
            return read_leaves(self._manager, step)
        except ValueError as error:
            raise self._damaged(step, str(error)) from error

    def _write_error(self, error: Exception) -> OSError:
        intact = "Earlier checkpoints are intact. " if self.steps() else ""
        return OSError(
            f"cannot write the checkpoint of step {self._saving} to {self.folder}: "
            f"{error}. {intact}Free some space or make the folder writable, then start "
            "the same command again to resume."
        )

    def _damaged(self, step: int, what: str) -> ValueError:
        others = [other for other in self.steps() if other != step]
        return ValueError(
            f"the checkpoint of step {step} in {self.folder} is damaged: {what}\n"
            f"{REMEDY} (steps there: {others}), or start anew in another --workdir."
        )


def resume(saved: Checkpoints, state: Any, step: int = -1) -> tuple[Any, int]:
    """Continues from a checkpoint and discards later ones; returns state and step.

    Args:
        step: of the checkpoint; -1 for the newest; 0 for the run's beginning, where
            `state` stays as it is.

    Raises:
        ValueError: the folder holds a network that was not trained here.
    """
    if step < 0:
        step = saved.latest_step() or 0
    is_converted = 0 in saved.steps()  # training saves none before its first step
    step = from_main(step)  # all have listed the folder before one deletes
    if is_converted and not step:
        raise ValueError(
            f"{saved.folder.parent} holds a converted network, which cannot be trained "
            "on there: begin another run, with --config.pretrained= and this folder"
        )
    if step:
        state = saved.restore(state, step)
    saved.discard_after(step)
    return state, step
