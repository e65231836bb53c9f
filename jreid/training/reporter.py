"""What a run reports: metrics.jsonl, TensorBoard, and its progress on the terminal.

Only this file imports clu, and clu.metric_writers (which imports TensorFlow, seconds)
only when TensorBoard is asked for.
"""

import contextlib
import io
import json
import math
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from clu import parameter_overview

from jreid.progress import Progress
from jreid.run.workdir import replacing, write_text

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"
SHOWN_WAIT = 0.05  # fraction of the time from which the progress line tells it


class SilentReporter:
    """Of a process that another one reports for."""

    def scalars(self, step: int, values: Mapping[str, Any]) -> None: ...

    def step(self, step: int) -> None: ...

    def message(self, text: str) -> None: ...

    def __enter__(self) -> "SilentReporter":
        return self

    def __exit__(self, *_: object) -> None: ...


class Reporter:
    """Made by `make_reporter`; a context manager that flushes and closes everything."""

    def __init__(self, folder: pathlib.Path, board: Any, progress: Progress):
        self._folder, self._board, self._progress = folder, board, progress
        with _naming(folder / METRICS):
            self._metrics = open(folder / METRICS, "a")  # noqa: SIM115  (see close)

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes one line of metrics; fetching device values here waits for them.

        Args:
            step: number of this step, larger than the last one's.
            values: scalars by name; `loss` also appears in the progress line.
        """
        numbers = {name: float(value) for name, value in values.items()}
        # JSON has no NaN; null is what other readers make of it.
        finite = {k: v if math.isfinite(v) else None for k, v in numbers.items()}
        with _naming(self._folder / METRICS):
            print(json.dumps({"step": step, **finite}), file=self._metrics, flush=True)
        if self._board is not None:
            with _naming(self._folder / TENSORBOARD):
                self._board.write_scalars(step, numbers)
        loss = f"loss {numbers['loss']:.3f}" if "loss" in numbers else ""
        if numbers.get("input_wait", 0) >= SHOWN_WAIT:
            loss += f", waits {100 * numbers['input_wait']:.0f} % for input"
        self._progress.update(step, loss)

    def step(self, step: int) -> None:
        """Moves the progress on without metrics; costs no time on the device."""
        self._progress.update(step)

    def message(self, text: str) -> None:
        """Shows a line without spoiling the progress bar."""
        self._progress.message(text)

    def close(self) -> None:
        """Ends the progress line and closes the files."""
        self._progress.close()
        with _naming(self._folder / METRICS):
            self._metrics.close()
        if self._board is not None:
            with _naming(self._folder / TENSORBOARD):
                self._board.close()

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self.close()
        except OSError:
            if kind is None:  # else what ended the block matters more
                raise


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """A failure to write becomes an OSError that names the file and the remedy."""
    try:
        yield
    except Exception as error:  # TensorBoard's writer raises TensorFlow's errors
        raise OSError(
            f"cannot write {path}: {error}. Checkpoints are intact. Free some space or "
            "make the folder writable, then start the same command again to resume."
        ) from error


def make_reporter(
    workdir: str | pathlib.Path,
    *,
    total_steps: int,
    first_step: int,
    images_per_step: int,
    tensorboard: bool = True,
    stream: io.TextIOBase | None = None,
) -> Reporter:
    """Reports into `workdir`, continuing what an interrupted run reported there.

    Args:
        workdir: an existing folder; gets metrics.jsonl and tensorboard/.
        total_steps: the number of the run's last step.
        first_step: the number of the first step that this process will do. Lines of
            metrics.jsonl from this step on are dropped, so that no step occurs twice.
        images_per_step: images of all modalities, for images per second.
        tensorboard: also write for TensorBoard (imports TensorFlow).
        stream: of the progress line; standard error by default.

    Raises:
        OSError: metrics.jsonl cannot be written.
    """
    workdir = pathlib.Path(workdir)
    _drop_lines(workdir / METRICS, first_step)
    board = None
    if tensorboard:
        from clu.metric_writers import SummaryWriter

        _forget_steps(workdir / TENSORBOARD, first_step)
        board = SummaryWriter(str(workdir / TENSORBOARD))
    progress = Progress(
        total_steps, "train", per_step=images_per_step, unit="images", stream=stream
    )
    return Reporter(workdir, board, progress)


def parameter_table(params: Mapping[str, Any]) -> str:
    """A table of every parameter's name, shape, dtype and size, and their total.

    Args:
        params: nested dicts of arrays.
    """
    table = parameter_overview.get_parameter_overview(params, include_stats=False)
    # clu counts a scalar as 1.0, and with one the total too.
    return re.sub(r"(\d)\.0\b", r"\1", table)


def _forget_steps(folder: pathlib.Path, first_step: int) -> None:
    """Drops TensorBoard's events from this step on: they will be written again."""
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


def _drop_lines(path: pathlib.Path, first_step: int) -> None:
    """Keeps the whole lines of earlier steps; a killed run may leave half a line."""
    if not path.exists():
        return
    lines = path.read_text(errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if _step(line) < first_step]
    if kept != lines:
        write_text(path, "".join(kept))


def _step(line: str) -> int | float:
    try:
        return json.loads(line)["step"] if line.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError, RecursionError):
        return math.inf
