"""Runs the sides of one case in turns and gathers what they measured."""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from jreid.config import Config
from jreid.config_json import to_json
from tools.throughput.case import Case

ROOT = Path(__file__).resolve().parents[2]
PRODUCTS = 3  # matrix products in a turn


class WorkerError(Exception):
    """A side cannot do its work; the message says why."""


class Worker:
    """A process with one side, which works only while it is asked to."""

    def __init__(self, setup: dict[str, Any], caches: Path):
        """Starts the process, whose compilation caches are new, in `caches`."""
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            # Both sides stay on the GPU together.
            "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.45",
            "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
        }
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        self.log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools.throughput.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment,
        )
        try:
            reply = self._exchange(setup)
        except WorkerError:
            self.close()
            raise
        self.about, self.imported = reply["about"], reply["imported"]

    def ask(self, name: str, count: int = 0) -> dict[str, Any]:
        """One command and its answer; raises WorkerError if it failed."""
        return self._exchange({"do": name, "count": count})

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self.process.wait()
            raise WorkerError(f"ended with code {code}: {self._last_words()}")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply

    def _last_words(self) -> str:
        self.log.seek(0)
        lines = self.log.read().strip().splitlines()
        return lines[-1] if lines else "no message; was memory short?"

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin and self.process.stdout
        with contextlib.suppress(BrokenPipeError):  # it has ended by itself
            self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def measure(
    config: Config,
    case: Case,
    contenders: Sequence[str],
    *,
    spec: str,
    rounds: int,
    turn_seconds: float,
    files: Path | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """One case with all contenders ("jax", "torch eager", ...), in turns.

    In every round each contender in turn takes the same number of steps, as many as
    fill `turn_seconds` with the faster one, beginning with another one each time. After
    the rounds of steps, those with the pipeline, which reads `files`. `spec` is the
    config's file, as `config_files.load` takes it.
    """
    results: dict[str, Any] = {}
    workers: dict[str, Worker] = {}
    with tempfile.TemporaryDirectory() as caches:
        try:
            for name in contenders:
                side, _, variant = name.partition(" ")
                setup = {
                    "side": side,
                    "variant": variant,
                    "spec": spec,
                    "config": to_json(config),
                    "case": case.as_dict(),
                    "files": str(files or ""),
                }
                say(f"{case.work} {case.batch} x {case.size}: {name} starts")
                try:
                    workers[name] = Worker(setup, Path(caches))
                    results[name] = _start(workers[name])
                except WorkerError as error:
                    results[name] = {"error": str(error)}
                    if name in workers:
                        workers.pop(name).close()
            if workers:
                _rounds(case, workers, results, rounds, turn_seconds, files, say)
        finally:
            for worker in workers.values():
                worker.close()
    return {"case": case.as_dict(), "results": results}


def _start(worker: Worker) -> dict[str, Any]:
    """Builds, takes the first step, which compiles, and two more to warm up."""
    first = worker.ask("build")
    compiling = worker.ask("memory")
    worker.ask("steps", 1)
    warm = worker.ask("steps", 1)["seconds"]
    worker.ask("reset_peak")
    return {
        "about": worker.about,
        "build_seconds": first["build"]["seconds"],
        "first_seconds": first["first"]["seconds"],
        "warm_up_seconds": max(
            first["build"]["seconds"] + first["first"]["seconds"] - warm, 0.0
        ),
        "warm_seconds": warm,
        "imported_bytes": worker.imported,
        "compiling": compiling,
        "steps": [],
        "pipeline": [],
        "products": [],
    }


def _rounds(case, workers, results, rounds, turn_seconds, files, say) -> None:
    fastest = min(results[name]["warm_seconds"] for name in workers)
    count = max(1, math.ceil(turn_seconds / fastest))
    kinds = ["products", "steps"]
    kinds += ["pipeline"] if case.work == "train" and files else []
    for kind in kinds:
        for turn in range(rounds):
            names = list(workers)
            names = names[turn % len(names) :] + names[: turn % len(names)]
            for name in names:
                say(
                    f"{case.work} {case.batch} x {case.size}: {kind}, "
                    f"round {turn + 1} of {rounds}, {name}"
                )
                number = PRODUCTS if kind == "products" else count
                try:
                    took = workers[name].ask(kind, number)
                except WorkerError as error:
                    results[name] = {"error": f"{kind}: {error}"}
                    workers.pop(name).close()
                    continue
                per_one = {key: value / number for key, value in took.items()}
                results[name][kind].append(per_one)
        if kind == "steps":
            for name in workers:
                results[name]["running"] = workers[name].ask("memory")
    for name in workers:
        results[name]["steps_per_turn"] = count


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles (of few values: the least and the greatest)."""
    ordered = sorted(values)
    quarter = (len(ordered) - 1) // 4
    return {
        "median": median(ordered),
        "low": ordered[quarter],
        "high": ordered[len(ordered) - 1 - quarter],
    }
