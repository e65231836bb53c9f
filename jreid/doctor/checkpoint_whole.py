"""Whether a run's newest checkpoint is whole: `... jreid.doctor.checkpoint_whole RUN`.

A program of its own, which may fail with JAX. It reads the weights and compares them
with the checksums that were saved with them; the optimizer's state is not read.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from jreid.doctor.finding import OTHER_RUN, Finding
from jreid.run.workdir import saved_steps

NAME = "checkpoint"
DAMAGED = 3  # exit code


def check_checkpoint(workdir: Path, seconds: float = 180) -> Finding | None:
    """Of a run with checkpoints; None where it cannot be read for another reason."""
    *earlier, newest = saved_steps(workdir / "checkpoints")
    command = [sys.executable, "-m", "jreid.doctor.checkpoint_whole", str(workdir)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=environment
        )
    except subprocess.TimeoutExpired:
        return None
    if ran.returncode == 0:
        return Finding("ok", NAME, f"the weights of step {newest} are as saved")
    if ran.returncode != DAMAGED:
        return None
    remedy = OTHER_RUN
    if earlier:
        run = shlex.quote(str(workdir))
        remedy = f"python -m jreid.evaluate {run} --step {earlier[-1]}"
    return Finding("fail", NAME, ran.stdout.strip().partition("\n")[0], remedy)


def main(workdir: str) -> int:
    """0, or DAMAGED with the reason in a line."""
    from jreid.run.frozen import config_of
    from jreid.run.trained import restore_network

    config = config_of(Path(workdir))
    try:
        restore_network(config, Path(workdir))
    except ValueError as error:
        if "is damaged" not in str(error):
            raise
        print(error)
        return DAMAGED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
