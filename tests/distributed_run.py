"""One process of the runs of test_distributed.py: `distributed_run.py JSON`.

It does the jobs of the list in the JSON one after the other, so that what they have in
common (imports, compilation, joining) is paid for once.
"""

import functools
import json
import os
import pathlib
import signal
import sys
import time
import zlib

import pytest
import tiny

from jreid import train
from jreid.data.augmentations import Erase
from jreid.processes import distributed
from jreid.processes.distributed import StopVote
from jreid.run import batches as run_batches
from jreid.run import build, results

MAKE_SYSTEM = build.build_system
SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}


def config_of(job):
    """Ten steps, a checkpoint after every fifth, and for each device three slots."""
    config = tiny.tiny_config(pathlib.Path(job["tree"]))
    config.sampling.identities, config.sampling.images = 3, 4
    config.schedule.epochs, config.steps_per_epoch = 2, 5
    config.schedule.drops = ((1, 0.1),)
    config.optimizer.lr = 1e-4  # at 0.01 the toy amplifies the order of sums
    for view in config.views.values():
        view.pipe = (*view.pipe, Erase(0.5))
    config.evaluation.trials, config.evaluation.rerank = 1, False
    config.evaluation.batch_size = 20  # the last batch of 12 is padded
    config.checkpoint.keep = 3
    config.steps = job.get("steps", 0)
    return config


def recorded(batches, first_step, path):
    """Passes batches on and notes a checksum of each slot's pixels and labels."""
    with open(path, "w") as file:
        for step, batch in enumerate(batches, start=first_step):
            slots = zip(*batch["images"].values(), *batch["ids"].values(), strict=True)
            sums = [
                [zlib.crc32(v.tobytes() + i.tobytes()), int(a), int(b)]
                for v, i, a, b in slots
            ]
            print(json.dumps([step, sums]), file=file, flush=True)
            yield batch


class SignalledVote(StopVote):
    """Sends this process a signal in one step."""

    at, number, step = 0, 0, 0

    def __call__(self, received):
        type(self).step += 1
        if self.step == self.at:
            os.kill(os.getpid(), self.number)
            time.sleep(0.2)
        return super().__call__(received)


@functools.cache
def systems():
    """The jobs differ in nothing that is compiled: all take the first one's."""
    return {}


def built_once(make):
    def built(config, *arguments):
        if "made" not in systems():
            systems()["made"] = make(config, *arguments)
        return systems()["made"]

    return built


def run(job, number):
    workdir = pathlib.Path(job["workdir"])
    make_batches = run_batches.batches

    def batches(config, images, segment, mesh, labels=None):
        path = workdir / f"batches-{number}.jsonl"
        made = make_batches(config, images, segment, mesh, labels)
        return recorded(made, segment.first + 1, path)

    SignalledVote.step, SignalledVote.at = 0, 0
    if number in job.get("signalled", ()):
        SignalledVote.at = job["in_step"]
        SignalledVote.number = SIGNALS[job["signal"]]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_batches, "batches", batches)
        patched.setattr(train, "StopVote", SignalledVote)
        patched.setattr(build, "build_system", built_once(MAKE_SYSTEM))
        if not job.get("scored"):
            patched.setattr(results, "write_report", lambda *_: [])
            patched.setattr(results, "print_report", lambda *_: None)
        return train.train(config_of(job), workdir)


def main():
    given = json.loads(sys.argv[1])
    number = given["process"]
    coordinator = given["coordinator"]
    with distributed.joined(coordinator, given["processes"], number, 10.0):
        for job in given["jobs"]:
            print("exit code", run(job, number), flush=True)


if __name__ == "__main__":
    main()
