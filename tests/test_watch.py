"""Every process names the one that was killed, stopped answering or failed."""

import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parent.parent

PROCESS = """
import ctypes, socket, sys, time
from jreid.processes.watch import Watch
number, port, does = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
watch = Watch(number, ["one", "two", "three"], float(sys.argv[4]))
if number == 0:
    server = socket.create_server(("127.0.0.1", port))
    print("listening", flush=True)
    watch.listen(server, "0123")
else:
    watch.connect("127.0.0.1", port, "0123")
print("watched", flush=True)
sys.stdin.readline()
if does == "fail" and number == 1:
    watch.fail("no such image")
    sys.exit(2)
if does == "hang" and number == 1:
    ctypes.PyDLL(None).sleep(60)  # no other thread of Python's runs meanwhile
if does == "leave":
    watch.leave()
    sys.exit(0)
time.sleep(60)
"""


@pytest.fixture
def start():
    """Starts three processes that watch each other; none of them outlives its test."""
    running = []
    yield lambda does, timeout=30.0: begin(running, does, timeout)
    for process in running:
        process.kill()
        process.communicate()


def begin(running, does, timeout):
    """A machine that stands still for some seconds must not look like a lost one, and
    so only those tests that wait for the timeout have a short one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for number in range(3):
        arguments = (str(number), str(port), does, str(timeout))
        command = [sys.executable, "-c", PROCESS, *arguments]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        running.append(subprocess.Popen(command, cwd=ROOT, text=True, **pipes))
        if number == 0:
            assert running[0].stdout.readline() == "listening\n"
            # Whoever else connects is not taken for a process.
            for greeting in (b"GET / HTTP/1.1\n", b"1 wrong\n"):
                with socket.create_connection(("127.0.0.1", port)) as stranger:
                    stranger.sendall(greeting)
    for process in running:
        assert process.stdout.readline() == "watched\n"
    return running


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (signal.SIGKILL, "its connection was closed"),
        (signal.SIGSTOP, "no sign of life for 3 seconds"),  # as a machine without power
    ],
)
def test_the_others_name_the_lost_process_and_end(start, lost, sent, reason):
    running = start("wait", 3.0 if sent == signal.SIGSTOP else 30.0)
    running[lost].send_signal(sent)
    for number, process in enumerate(running):
        if number != lost:
            _, err = process.communicate(timeout=30)
            host = ["one", "two", "three"][lost]
            assert process.returncode == 2
            assert f"error: process {lost} (of 0 to 2) on host {host} is lost" in err
            assert reason in err


def test_a_process_whose_terminal_has_gone_ends_as_well(start):
    running = start("sleep")
    running[2].stderr.close()
    running[0].kill()
    assert running[2].wait(30) == 2


def test_a_process_that_hangs_in_native_code_ends_as_well(start):
    running = start("hang", 3.0)
    running[1].stdin.write("\n")
    running[1].stdin.flush()
    for number, process in enumerate(running):
        _, err = process.communicate(timeout=30)
        if number == 1:
            assert process.returncode == 1 and "line" in err and "sleep" not in err
        else:
            assert process.returncode == 2
            assert "process 1 (of 0 to 2) on host two is lost" in err


def test_the_others_say_why_a_process_failed(start):
    running = start("fail")
    assert running[1].communicate("\n", timeout=30) == ("", "")
    assert running[1].returncode == 2
    for process in (running[0], running[2]):
        _, err = process.communicate(timeout=30)
        assert process.returncode == 2
        assert "process 1 (of 0 to 2) on host two failed: no such image" in err


def test_processes_that_leave_one_after_the_other_are_not_lost(start):
    running = start("leave")
    for process in reversed(running):
        time.sleep(0.5)
        assert all(waiting.poll() is None for waiting in running), "not all have left"
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("lost", [0, 1])
def test_who_has_left_still_learns_of_a_loss(start, lost):
    """As those that wait for process 0 to end its scores."""
    running = start("leave")
    for process in running[1:]:
        process.stdin.write("\n")
        process.stdin.flush()
    time.sleep(0.5)
    running[lost].kill()
    for number, process in enumerate(running):
        process.wait(timeout=30)  # communicate() would let process 0 leave
        _, err = process.communicate()
        if number != lost:
            assert process.returncode == 2
            assert f"process {lost} (of 0 to 2) on host" in err and "is lost" in err
