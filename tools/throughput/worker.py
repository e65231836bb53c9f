"""One side in a process of its own, which works when it is told to: JSON line by line.

    python -m tools.throughput.worker

The first line of the standard input says what to build; then one command per line, each
answered by one line with the seconds and page faults it took. So two sides can take
turns without sharing the machine, and each has its own peak of memory.
"""

import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tools.throughput.case import Case, peak_resident, reset_peak


def make_side(setup: dict[str, Any]):
    """The side that `setup` describes; imports its libraries."""
    from jreid.config_files import load
    from jreid.config_json import from_json

    load(setup["spec"])  # a user's file may define parts of the config
    config, case = from_json(setup["config"]), Case(**setup["case"])
    files = Path(setup["files"]) if setup["files"] else None
    if setup["side"] == "jax":
        from tools.throughput.jax_side import JaxSide

        return JaxSide(config, case, files)
    from tools.throughput.torch_side import TorchSide

    return TorchSide(config, case, files, setup["variant"])


def timed(work, *arguments) -> dict[str, float]:
    """Wall-clock seconds, and of all threads CPU and system seconds and page faults."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work(*arguments)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    system = after.ru_stime - before.ru_stime
    return {
        "seconds": seconds,
        "cpu_seconds": after.ru_utime - before.ru_utime + system,
        "system_seconds": system,
        "page_faults": after.ru_minflt - before.ru_minflt,
    }


def answer(side, command: dict[str, Any]) -> dict[str, Any]:
    """Does what one line asks for."""
    name, count = command["do"], command.get("count", 0)
    if name == "build":
        built = timed(side.build)
        return {"build": built, "first": timed(side.steps, 1)}
    if name == "steps":
        return timed(side.steps, count)
    if name == "pipeline":
        # Without these at both ends, what was made in untimed steps would be timed, and
        # nothing be made while it is.
        ahead = side.ahead()
        batches = side.open_pipeline(ahead + count + ahead)
        side.pipeline_steps(batches, ahead)
        return timed(side.pipeline_steps, batches, count)
    if name == "products":
        return timed(side.products, count)
    if name == "reset_peak":
        return {"reset": reset_peak()}
    if name == "memory":
        return {"resident": peak_resident(), "device": side.device_peak()}
    raise ValueError(f"unknown command {name!r}")


def main() -> None:
    """Answers commands until the standard input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the replies

    def reply(values: dict[str, Any]) -> None:
        replies.write(json.dumps(values) + "\n")
        replies.flush()

    side = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if side is None:
                side = make_side(command)
                reply({"about": side.about(), "imported": peak_resident()})
            else:
                reply(answer(side, command))
        except Exception as error:  # reported by the parent, which goes on without it
            traceback.print_exc()
            last = str(error).strip().splitlines()
            reply({"error": f"{type(error).__name__}: {last[0] if last else ''}"})


if __name__ == "__main__":
    main()
