"""Two processes join, agree, share rows, stop after one step; and one is killed."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from jreid.processes import distributed

ROOT = pathlib.Path(__file__).parent.parent

PROCESS = """
import os, signal, sys, time
from jreid.processes import distributed, sharding
from jreid.processes.interrupt import Interrupt
number, coordinator, killed = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with distributed.joined(coordinator, 2, number, 10.0):
    import jax
    import numpy as np
    mesh = sharding.data_mesh()
    own = sharding.own_rows(mesh, 12)
    assert own == slice(6 * number, 6 * number + 6)
    assert distributed.is_main() == (number == 0)
    distributed.agree({"one": 1, "other": "same"})
    try:
        distributed.agree({"one": 1, "other": number})
    except ValueError as error:
        assert f"do not agree on other: here {number}." in str(error)
    else:
        raise AssertionError("different facts were not noticed")
    try:
        distributed.agree({"one": 1, f"of {number}": 1})
    except ValueError as error:
        assert "of 0: missing in process 1; of 1: missing in process 0." in str(error)
    else:
        raise AssertionError("different names were not noticed")
    assert distributed.from_main(7 + number) == 7
    rows = sharding.to_devices(np.arange(12.0)[own], mesh)
    assert sharding.to_host(rows).tolist() == list(range(12))
    vote = distributed.StopVote(mesh)
    with Interrupt() as interrupt:
        for step in range(1, 20):
            if (number, step) == (1, 3):
                os.kill(os.getpid(), signal.SIGTERM)
            if answer := vote(interrupt.number):
                break
    print("stopped after", step, "by", answer, flush=True)
    total = jax.jit(lambda values: values.sum())
    float(total(rows))  # so that the other has printed before one is killed
    if number == killed:
        os.kill(os.getpid(), signal.SIGKILL)
    if killed >= 0:
        for _ in range(1000):
            float(total(rows))
            time.sleep(0.05)
"""


def start(program, killed):
    with socket.create_server(("127.0.0.1", 0)) as free:
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        subprocess.Popen(
            [sys.executable, "-c", program, str(number), coordinator, str(killed)],
            cwd=ROOT,
            env=dict(os.environ) | {"JAX_NUM_CPU_DEVICES": "2"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("killed", [-1, 0, 1])
def test_two_processes(killed):
    running = start(PROCESS, killed)
    for number, process in enumerate(running):
        out, err = process.communicate(timeout=300)
        assert f"stopped after 4 by {int(signal.SIGTERM)}" in out, err
        if killed < 0:
            assert process.returncode == 0, err
        elif number == killed:
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 2, err
            host = os.uname().nodename
            assert f"process {killed} (of 0 to 1) on host {host} is lost" in err
            assert "Traceback" not in err


JOINING = """
import os, signal, sys
from jreid.processes import distributed
number, coordinator, killed = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
began = distributed._watch
def watch(timeout):
    if number == killed:
        os.kill(os.getpid(), signal.SIGKILL)
    return began(timeout)
distributed._watch = watch
try:
    with distributed.joined(coordinator, 2, number, 10.0):
        pass
except OSError as error:
    sys.exit(f"error: {error}")
"""


@pytest.mark.slow
def test_a_process_killed_while_they_join_is_named():
    """Without process 0, JAX ends the others by itself."""
    running = start(JOINING, 1)
    (_, err), _ = (process.communicate(timeout=300) for process in running)
    assert running[0].returncode == 2, err
    assert "error: process 1 (of 0 to 1) is lost" in err
    assert running[1].returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("alone", [0, 1])
def test_a_process_whose_others_never_come_says_so(alone):
    short = "from jreid.processes import distributed\ndistributed.ARRIVAL = 3.0\n"
    program = short + JOINING
    running = start(program, -1)
    running[1 - alone].kill()
    running[1 - alone].communicate()
    _, err = running[alone].communicate(timeout=300)
    assert running[alone].returncode == 2, err
    assert "error: not all processes of the run have come within 3 seconds" in err


STOPPED = """
import os, signal, sys
from jreid import ending
from jreid.processes import distributed

class Watch:
    def fail(self, reason):
        print("told:", reason)

distributed._initialise = lambda *_: None
distributed.delay_abort = lambda: None
distributed._watch = lambda _: Watch()

def program(_):
    with distributed.joined("host:1", 2, 0, 30.0):
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))

sys.exit(ending.exit_code(program, []))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_outside_the_steps_gives_its_exit_code(name):
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, name], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == f"told: Stopped: stopped by {name}\n"
    assert (done.returncode, done.stderr) == (
        128 + getattr(signal, name),
        f"stopped by {name}\n",
    )


def agree_on(monkeypatch, *facts):
    """What `agree` raises in each of several threads, which play the processes."""
    together, given, raised = threading.Barrier(len(facts)), {}, {}
    number_of = threading.local()

    def gathered(values):
        together.wait(10)
        given[number_of.own] = values
        together.wait(10)
        return np.stack([given[number] for number in range(len(facts))])

    def process(number):
        number_of.own = number
        try:
            distributed.agree(facts[number])
        except ValueError as error:
            raised[number] = str(error).partition(". Give")[0]

    monkeypatch.setattr(distributed.multihost_utils, "process_allgather", gathered)
    monkeypatch.setattr(distributed.jax, "process_count", lambda: len(facts))
    threads = [threading.Thread(target=process, args=(n,)) for n in range(len(facts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [raised.get(number) for number in range(len(facts))]


def test_what_processes_do_not_agree_on_is_named(monkeypatch):
    same = {"a": 1, "b c": [2, 3]}
    begins = "the 3 processes of the run do not agree on "
    assert agree_on(monkeypatch, same, dict(same), dict(same)) == 3 * [None]
    assert agree_on(monkeypatch, same, same, same | {"a": 4}) == [
        f"{begins}a: here {value}" for value in (1, 1, 4)
    ]
    # Nothing is said of "a": values are compared where all have the same names.
    others = [same | {"dä": 5}, same, {"a": 6, "dä": 5}]
    told = f"{begins}b c: missing in process 2; dä: missing in process 1"
    assert agree_on(monkeypatch, *others) == 3 * [told]
    told = f"{begins}a: missing in process 0, 2; b c: missing in process 0, 2"
    assert agree_on(monkeypatch, {}, same, {}) == 3 * [told]


UNEQUAL = """
import sys, time
from jreid.processes import distributed
number, coordinator, late = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with distributed.joined(coordinator, 2, number, 10.0):
    from jreid.processes.sharding import data_mesh
    vote = distributed.StopVote(data_mesh())
    if number == late:
        time.sleep(40)  # as with a compilation that takes longer here
    vote(0)
    vote(number)
    print("agreed on", vote(0), flush=True)
"""


@pytest.mark.long
def test_a_process_may_compile_longer_than_the_other():
    for process in (running := start(UNEQUAL, 1)):
        out, err = process.communicate(timeout=300)
        assert "agreed on 1" in out, err
    assert [process.returncode for process in running] == [0, 0]
