"""Where the scalars of a run go besides metrics.jsonl.

A writer is a part with `folder`, its folder's name inside the run's, and `make(workdir,
first_step)`, which gives an object with `write_scalars(step, {name: number})` and
`close()`, and forgets what was written of `first_step` and later ones.

The part may also have `ready()`, called before images are read, which raises ValueError
for what `make` would lack; the object also `fail()`, called for `close()` after errors.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from jreid.lazy import tf
from jreid.whole_files import replacing


@dataclass(slots=True)
class TensorBoard:
    """Event files for TensorBoard (imports TensorFlow)."""

    folder: ClassVar[str] = "tensorboard"

    enabled: bool = True
    """Whether it is written at all."""

    def make(self, workdir: pathlib.Path, first_step: int) -> Any:
        """A writer that continues the events of the run in `workdir`."""
        _forget_steps(workdir / self.folder, first_step)
        return _Events(workdir / self.folder)


class _Events:
    """TensorFlow's writer of events. clu's is the same, and loads Keras."""

    def __init__(self, folder: pathlib.Path):
        self._writer = tf.summary.create_file_writer(str(folder))

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        with self._writer.as_default():
            for name, number in scalars.items():
                tf.summary.scalar(name, number, step)

    def close(self) -> None:
        self._writer.close()


def _forget_steps(folder: pathlib.Path, first_step: int) -> None:
    """Drops TensorBoard's events from this step on: they will be written again.

    TensorFlow's writer cannot say that it begins anew, after which TensorBoard alone,
    and no other reader of the files, would leave out what was written twice.
    """
    from tensorboard.backend.event_processing import event_file_loader
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    for path in sorted(folder.glob("events.out.tfevents.*")):
        # What a killed run has left of its last event ends the file.
        records = list(event_file_loader.RawEventFileLoader(str(path)).Load())
        step_of = event_pb2.Event.FromString  # type: ignore[attr-defined]
        kept = [x for x in records if step_of(x).step < first_step]
        if len(kept) < len(records):
            with replacing(path) as temporary, open(temporary, "wb") as file:
                writer = RecordWriter(file)
                for record in kept:
                    writer.write(record)
