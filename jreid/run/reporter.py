"""What a run reports: metrics.jsonl, its writers, and its progress on the terminal."""

import contextlib
import json
import math
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clu import parameter_overview

from jreid.processes.distributed import is_main
from jreid.progress import Progress
from jreid.run.workdir import METRICS, saved_steps
from jreid.streams import Stream
from jreid.training.end_time import EndTime
from jreid.whole_files import write_text

PARAMETERS = "parameters.txt"
SHOWN_WAIT = 0.05  # fraction of the time from which the progress line tells it


class SilentReporter:
    """Of a process that another one reports for."""

    def scalars(self, step: int, values: Mapping[str, Any]) -> None: ...

    def step(self, step: int) -> None: ...

    def steps_of(self, images: int) -> None: ...

    def message(self, text: str) -> None: ...

    def __enter__(self) -> "SilentReporter":
        return self

    def __exit__(self, *_: object) -> None: ...


class Reporter:
    """Made by `make_reporter`; a context manager that flushes and closes everything."""

    def __init__(
        self, folder: pathlib.Path, writers: Mapping[str, Any], progress: Progress
    ):
        self._folder, self._writers, self._progress = folder, writers, progress
        self._end_time = EndTime(progress.total)
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
        for name, writer in self._writers.items():
            with _naming(self._folder / name):
                writer.write_scalars(step, numbers)
        loss = f"loss {numbers['loss']:.3f}" if "loss" in numbers else ""
        if numbers.get("input_wait", 0) >= SHOWN_WAIT:
            loss += f", waits {100 * numbers['input_wait']:.0f} % for input"
        self._step(step, loss)

    def step(self, step: int) -> None:
        """Moves the progress on without metrics; costs no time on the device."""
        self._step(step, "")

    def _step(self, step: int, text: str) -> None:
        self._progress.update(step, text)
        if told := self._end_time.after(step):
            self.message(told)

    def steps_of(self, images: int) -> None:
        """To be called before `step` or `scalars` of the first step of so many."""
        self._progress.restart(images)

    def message(self, text: str) -> None:
        """Shows a line without spoiling the progress bar."""
        self._progress.message(text)

    def close(self, failed: bool = False) -> None:
        """Ends the progress line and closes the files; writers learn of a failure."""
        self._progress.close()
        with _naming(self._folder / METRICS):
            self._metrics.close()
        for name, writer in self._writers.items():
            with _naming(self._folder / name):
                end = getattr(writer, "fail", writer.close) if failed else writer.close
                end()

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self.close(failed=kind is not None)
        except OSError:
            if kind is None:  # else what ended the block matters more
                raise


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """A failure to write becomes an OSError that names the file and the remedy."""
    try:
        yield
    except Exception as error:  # TensorBoard's writer raises TensorFlow's errors
        saved = saved_steps(path.parent / "checkpoints")
        intact = "Checkpoints are intact. " if saved else ""
        raise OSError(
            f"cannot write {path}: {error}. {intact}Free some space or make the folder "
            "writable, then start the same command again to resume."
        ) from error


def make_reporter(
    workdir: str | pathlib.Path,
    *,
    total_steps: int,
    first_step: int,
    writers: Sequence[Any] = (),
    stream: Stream | None = None,
) -> Reporter | SilentReporter:
    """Reports into `workdir`, continuing what an interrupted run reported there.

    Of several processes only the first reports.

    Args:
        workdir: an existing folder; gets metrics.jsonl and what the writers write.
        total_steps: the number of the run's last step.
        first_step: the number of the first step that this process will do. Lines of
            metrics.jsonl from this step on are dropped, so that no step occurs twice.
        writers: parts; see `training.writers`.
        stream: of the progress line; standard error by default.

    Raises:
        OSError: metrics.jsonl cannot be written.
    """
    if not is_main():
        return SilentReporter()
    workdir = pathlib.Path(workdir)
    _drop_lines(workdir / METRICS, first_step)
    made = {part.folder: part.make(workdir, first_step) for part in _enabled(writers)}
    progress = Progress(total_steps, "train", unit="images", stream=stream)
    return Reporter(workdir, made, progress)


def check_writers(writers: Sequence[Any]) -> None:
    """Raises ValueError for what one of them lacks, before what takes long is done."""
    for part in _enabled(writers):
        if hasattr(part, "ready"):
            part.ready()


def _enabled(writers: Sequence[Any]) -> list[Any]:
    return [part for part in writers if getattr(part, "enabled", True)]


def first_message(
    folder: pathlib.Path,
    start: int,
    stop: int,
    params: Mapping[str, Any],
    weights: str = "",
) -> str:
    """That a run goes on after a step; of a new one its parameters and weights.

    And that steps up to `stop` come now, unless none is left.

    The table of the parameters is wider and longer than terminals: it goes to a file.
    """
    told = (
        [f"continuing after step {start}"] if start else _about(folder, params, weights)
    )
    if start < stop:
        told.append("compiling the step, then training: one or two minutes")
    return "\n".join(told)


def _about(folder: pathlib.Path, params: Mapping[str, Any], weights: str) -> list[str]:
    table = parameter_table(params)
    if is_main():
        write_text(folder / PARAMETERS, f"{table}\n")
    count = table.splitlines()[-1].removeprefix("Total: ")
    told = f"parameters: {count}, listed in {folder / PARAMETERS}"
    return [told, weights] if weights else [told]


def parameter_table(params: Mapping[str, Any]) -> str:
    """A table of every parameter's name, shape, dtype and size, and their total.

    Args:
        params: nested dicts of arrays.
    """
    table = parameter_overview.get_parameter_overview(params, include_stats=False)
    # clu counts a scalar as 1.0, and with one the total too.
    return re.sub(r"(\d)\.0\b", r"\1", table)


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
