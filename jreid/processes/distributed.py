"""Several processes of one run: how they join, agree and stop together.

Every process runs the same program. JAX joins their devices to one mesh, of which
`processes/sharding.py` tells each its rows.
Everything here also works, and does nothing, where there is one process only.
"""

import atexit
import contextlib
import os
import re
import socket
import sys
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.distributed import global_state  # it has no public name
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jreid.processes.sharding import own_rows, to_devices
from jreid.processes.watch import FAILED, REMEDY, Watch, delay_abort, wait_for_verdict
from jreid.streams import say

AUTO = "auto"  # coordinator: SLURM, Open MPI or Kubernetes tells
ARRIVAL = 300.0  # seconds that a process waits for all others to be started


@contextlib.contextmanager
def joined(
    coordinator: str, processes: int, process: int, timeout: float
) -> Iterator[None]:
    """Makes this process one of several, before JAX is first used.

    Args:
        coordinator: HOST:PORT of process 0, where it listens; "auto" to take all three
            from SLURM, Open MPI or Kubernetes; "" for a process of its own.
        processes: how many there are.
        process: the number of this one, from 0.
        timeout: seconds without a sign of life after which a process is lost.

    Raises:
        ValueError: the environment names no cluster, or the numbers make no sense.
        OSError: a process cannot be reached, or a collective broke off.
    """
    if not coordinator:
        yield
        return
    _initialise(coordinator, processes, process, timeout)
    delay_abort()
    watch = None
    try:
        watch = _watch(timeout)
        yield
        watch.leave()
    except BaseException as error:
        # Not through JAX's exit, which would wait for the others.
        atexit.register(os._exit, getattr(error, "exit_code", FAILED))
        atexit.register(sys.stdout.flush)
        if watch and _broke_off(error):
            wait_for_verdict(timeout)
        if watch:
            watch.fail(f"{type(error).__name__}: {error}")
        if isinstance(error, jax.errors.JaxRuntimeError):
            raise ConnectionError(f"another process or the device: {error}") from error
        raise


def _initialise(coordinator: str, processes: int, process: int, timeout: float) -> None:
    # It would take SIGTERM, which the training loop answers itself.
    jax.config.update("jax_enable_preemption_service", False)
    found = coordinator == AUTO
    late = threading.Timer(ARRIVAL, _not_all_came)
    late.start()
    try:
        jax.distributed.initialize(
            coordinator_address=None if found else coordinator,
            num_processes=None if found else processes,
            process_id=None if found else process,
            cluster_detection_method=None if found else "deactivate",
            initialization_timeout=round(ARRIVAL) + 60,
            # Later than the watch, which names the lost process.
            heartbeat_timeout_seconds=round(timeout) + 20,
        )
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"the processes of the run cannot be joined: {error} Give each of them "
            "--config.distributed.coordinator=HOST:PORT (of process 0), "
            "--config.distributed.processes=N and --config.distributed.process=0 to "
            "N - 1; 'auto' finds them under SLURM, Open MPI and, with the package "
            "kubernetes, in an indexed Job or a JobSet"
        ) from error
    finally:
        late.cancel()


def _not_all_came() -> None:
    """Ends this process with a line, where JAX would by abort()."""
    say(
        f"error: not all processes of the run have come within {ARRIVAL:g} seconds, or "
        "they cannot reach process 0. Start the same command on all hosts, and look "
        "for an error of the others"
    )
    os._exit(FAILED)


def _watch(timeout: float) -> Watch:
    """Connects the processes for the watch; they learn each other's hosts."""
    # Not JAX's own count, which would wait for the devices of one that is lost.
    number, count = global_state.process_id, global_state.num_processes
    server, port = None, 0
    if number == 0:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        server = socket.create_server(
            ("", 0), family=family, backlog=count, dualstack_ipv6=both
        )
        port = server.getsockname()[1]
    # Of each its host; of process 0 also its port, and what strangers lack.
    line = f"{port} {os.urandom(8).hex()} {os.uname().nodename}"
    lines = _told(line, number, count, timeout)
    watch = Watch(number, [line.split(" ", 2)[2] for line in lines], timeout)
    port, token, _ = lines[0].split(" ", 2)
    if server is not None:
        watch.listen(server, token)
    else:
        address = str(global_state.coordinator_address)
        watch.connect(address.rsplit(":", 1)[0].strip("[]"), int(port), token)
    return watch


def _told(line: str, number: int, count: int, timeout: float) -> list[str]:
    """The lines of all processes, in their order.

    Through JAX's coordinator and not a collective, in which a process that is lost
    already would be waited for until JAX aborts without its name.
    """
    client = global_state.client
    assert client is not None
    client.key_value_set(f"jreid/{number}", line)
    lines = []
    for other in range(count):
        try:
            key = f"jreid/{other}"
            lines.append(client.blocking_key_value_get(key, round(1000 * timeout)))
        except jax.errors.JaxRuntimeError as error:
            raise ConnectionError(
                f"process {other} (of 0 to {count - 1}) is lost: it began to join, but "
                f"did not end ({str(error).splitlines()[0]}). {REMEDY}"
            ) from error
    return lines


def _broke_off(error: BaseException) -> bool:
    words = "gloo|nccl|connection|peer|unavailable|deadline|coordination|barrier"
    return re.search(words, str(error), re.IGNORECASE) is not None


def is_main() -> bool:
    """Whether this process writes the run's files and shows its progress."""
    return jax.process_index() == 0


def agree(facts: Mapping[str, Any]) -> None:
    """Waits for all processes; ValueError on each unless all have the same facts."""
    names = sorted(facts)
    named = _names_of_all(names)
    differ = [
        f"{name}: missing in process {', '.join(map(str, lacking))}"
        for name in sorted(set.union(*named))
        if (lacking := [n for n, own in enumerate(named) if name not in own])
    ]
    if not differ:
        sums = _of_all(np.array([zlib.crc32(repr(facts[n]).encode()) for n in names]))
        unequal = (sums != sums[0]).any(axis=0)
        differ = [
            f"{name}: here {facts[name]}"
            for name, other in zip(names, unequal, strict=True)
            if other
        ]
    if differ:
        raise ValueError(
            f"the {jax.process_count()} processes of the run do not agree on "
            f"{'; '.join(differ[:8])}. Give all of them the same command, the same "
            "version of the program and the same images"
        )


def _names_of_all(names: Sequence[str]) -> list[set[str]]:
    """The names that each process has: those of the others may be unknown here."""
    text = "\n".join(names).encode()
    longest = int(_of_all(np.array([len(text)])).max())
    padded = np.frombuffer(text.ljust(longest, b"\n"), np.uint8)
    return [{*row.tobytes().decode().split("\n")} - {""} for row in _of_all(padded)]


def _of_all(values: np.ndarray) -> np.ndarray:
    """`values` [n] of every process, [processes n]."""
    everyone = np.asarray(multihost_utils.process_allgather(values))
    return everyone.reshape(jax.process_count(), -1)


def from_main(number: int) -> int:
    """The number that process 0 has."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


class StopVote:
    """Agrees on the step after which all stop, without making the devices wait.

    In every step each process hands in the signal it has received; the largest is
    computed on the devices, behind the step, and read one step later.

    JAX's own, `reached_preemption_sync_point`, takes SIGTERM for itself, does not know
    Ctrl-C, and does not say which it was, as the exit code must.

    Made while the processes are in step, it also connects their devices: Gloo gives
    this 30 seconds, and the compilations of a step may differ by more.
    """

    def __init__(self, mesh: Mesh):
        self._mesh = mesh
        self._alone = jax.process_count() == 1
        replicated = NamedSharding(mesh, PartitionSpec())
        self._largest = jax.jit(jnp.max, out_shardings=replicated)
        self._last = np.int32(0) if self._alone else self._hand_in(0)
        jax.block_until_ready(self._last)

    def __call__(self, received: int) -> int:
        """Hands in this step's signal, 0 for none; the same answer on all processes.

        Returns the largest signal of the step before; for a process alone, its own at
        once.
        """
        if self._alone:
            return received
        before = self._last
        self._last = self._hand_in(received)
        return int(before)

    def _hand_in(self, received: int) -> jax.Array:
        count = self._mesh.devices.size
        own = own_rows(self._mesh, count)
        flags = np.full(own.stop - own.start, received, np.int32)
        return self._largest(to_devices(flags, self._mesh))
