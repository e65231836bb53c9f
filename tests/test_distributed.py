"""One device, four in one process, two processes of two: the same run.

The processes are subprocesses (distributed_run.py) that talk over loopback.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import distributed_run
import numpy as np
import pytest
import tiny
from tiny import assert_same_state, final_state, metrics

pytestmark = pytest.mark.long
PATIENCE = 2400  # seconds, for six runs on a busy machine
HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return tiny.make_tree(tmp_path_factory.mktemp("data") / "tiny")


def start(jobs, *, devices, processes=1):
    """Starts the processes, each with its share of `devices`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = dict(os.environ) | {
        "PYTHONPATH": str(HERE.parent),
        "JAX_NUM_CPU_DEVICES": str(devices // processes),
    }
    running = []
    for number in range(processes):
        given = {"process": number, "processes": processes, "jobs": jobs}
        given["coordinator"] = f"127.0.0.1:{port}" if processes > 1 else ""
        running.append(
            subprocess.Popen(
                [sys.executable, "distributed_run.py", json.dumps(given)],
                cwd=HERE,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return running


def finish(running):
    """Exit code, the jobs' exit codes, and standard error of each process."""
    ended = []
    for process in running:
        out, err = process.communicate(timeout=PATIENCE)
        codes = [
            int(line.split()[-1])
            for line in out.splitlines()
            if line.startswith("exit code")
        ]
        ended.append((process.returncode, codes, err))
    return ended


def copy_at(source, target, step):
    """The run as it was when its checkpoint of `step` was its last."""
    shutil.copytree(source, target)
    for folder in (target / "checkpoints").iterdir():
        if folder.name != str(step):
            shutil.rmtree(folder)


@pytest.fixture(scope="module")
def runs(tree, tmp_path_factory):
    """The folder with all runs, and how the pairs of processes ended."""
    folder = tmp_path_factory.mktemp("distributed")

    def job(name, **options):
        return {"tree": str(tree), "workdir": str(folder / name), **options}

    (folder / "alone").mkdir()
    assert distributed_run.run(job("alone", scored=True), 0) == 0
    copy_at(folder / "alone", folder / "from_one", 5)
    killed_1 = {"signal": "SIGKILL", "signalled": [1], "in_step": 8}
    killed_0 = {"signal": "SIGKILL", "signalled": [0], "in_step": 3}
    jobs = [
        job("pair", scored=True),
        job("from_one"),
        job("stopped", signal="SIGTERM", signalled=[1], in_step=3),
        job("stopped", signal="SIGTERM", signalled=[0, 1], in_step=2),
        job("stopped"),
        job("killed_1", **killed_1),
    ]
    for name in {j["workdir"] for j in jobs} | {str(folder / "four")}:
        pathlib.Path(name).mkdir(exist_ok=True)
    ended: dict = {"four": finish(start([job("four", scored=True)], devices=4))}
    pair = start(jobs, devices=4, processes=2)
    assert pair[1].wait(timeout=PATIENCE) != 0
    lost = time.monotonic()
    ended["pair"] = finish(pair)
    ended["seconds"] = time.monotonic() - lost
    (folder / "killed_0").mkdir()
    resumed = [job("killed_1"), job("killed_0", **killed_0)]
    ended["resumed"] = finish(start(resumed, devices=4, processes=2))
    copy_at(folder / "pair", folder / "from_two", 5)
    assert distributed_run.run(job("from_two"), 0) == 0
    return folder, ended


def batches(folder, number):
    lines = (folder / f"batches-{number}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_all_jobs_ended_as_they_should(runs):
    _, ended = runs
    assert ended["four"][0][:2] == (0, [0]), ended["four"][0][2]
    codes = [0, 0, 143, 143, 0]
    assert ended["pair"][0][:2] == (2, codes), ended["pair"][0][2]
    assert ended["pair"][1][:2] == (-9, codes), ended["pair"][1][2]
    assert ended["resumed"][0][:2] == (-9, [0]), ended["resumed"][0][2]
    assert ended["resumed"][1][:2] == (2, [0]), ended["resumed"][1][2]


def test_batches_do_not_depend_on_the_processes(runs):
    folder, _ = runs
    whole = batches(folder / "alone", 0)
    assert [step for step, _ in whole] == list(range(1, 11))
    assert batches(folder / "four", 0) == whole
    halves = [batches(folder / "pair", number) for number in (0, 1)]
    for (step, slots), first, second in zip(whole, *halves, strict=True):
        assert [step, slots[:6]] == first
        assert [step, slots[6:]] == second


def losses(workdir):
    timings = ("images_per_second", "input_wait")
    return [
        {name: value for name, value in line.items() if name not in timings}
        for line in metrics(workdir)
    ]


@pytest.mark.parametrize("other", ["four", "pair", "from_one", "from_two"])
def test_losses_are_over_the_global_batch(runs, other):
    """Computed on each device's part, BatchNorm, triplets and centres would differ."""
    folder, _ = runs
    one, many = losses(folder / "alone"), losses(folder / other)
    assert [line["step"] for line in many] == list(range(1, 11))
    for expected, line in zip(one, many, strict=True):
        assert line.keys() == expected.keys()
        for name, value in expected.items():
            # The distillation terms are 1e-6 of the sum: noise of its last digits.
            rtol = 1e-4 if name == "loss" else 1e-3
            np.testing.assert_allclose(
                line[name], value, rtol=rtol, atol=1e-5, err_msg=name
            )


def assert_close_state(one, other):
    first, second = final_state(one), final_state(other)
    assert first.keys() == second.keys()
    for name, array in first.items():
        # What is 0 but for rounding, as a mean behind a BatchNorm, is rounded anew.
        atol = 1e-4 * np.abs(array).max() + 1e-6
        np.testing.assert_allclose(
            second[name], array, rtol=1e-4, atol=atol, err_msg=name
        )


@pytest.mark.parametrize("resumed", ["from_one", "from_two"])
def test_a_run_continues_on_other_devices(runs, resumed):
    folder, _ = runs
    assert_close_state(folder / "alone", folder / resumed)


@pytest.mark.parametrize("stopped", ["stopped", "killed_1"])
def test_a_run_that_was_stopped_ends_bit_identical(runs, stopped):
    folder, _ = runs
    assert_same_state(folder / "pair", folder / stopped)


def test_features_are_those_of_one_device_in_the_same_order(runs):
    folder, _ = runs
    columns = ("paths", "ids", "cameras", "modality")
    with (
        np.load(folder / "alone" / "features.npz") as one,
        np.load(folder / "pair" / "features.npz") as pair,
        np.load(folder / "four" / "features.npz") as four,
    ):
        for name in columns:
            np.testing.assert_array_equal(one[name], pair[name])
        for name in set(one.files) - set(columns):
            np.testing.assert_allclose(four[name], one[name], atol=1e-4)
            np.testing.assert_allclose(pair[name], one[name], atol=1e-4)


@pytest.mark.parametrize(("pair", "lost"), [("pair", 1), ("resumed", 0)])
def test_the_lost_process_is_named(runs, pair, lost):
    _, ended = runs
    error = ended[pair][1 - lost][2]
    host = os.uname().nodename
    assert f"error: process {lost} (of 0 to 1) on host {host} is lost" in error
    assert "it continues from the last checkpoint" in error
    assert "Traceback" not in error
    assert ended["seconds"] < 60


def test_all_stop_after_the_same_step(runs):
    """Signals after step 3, then after 7, are handed in a step later, read in two."""
    folder, _ = runs
    saved = {int(path.name) for path in (folder / "stopped" / "checkpoints").iterdir()}
    assert saved == {5, 9, 10}
    for number in (0, 1):
        assert batches(folder / "stopped", number)[0][0] == 10


def test_only_the_first_process_reports(runs):
    folder, ended = runs
    assert "step" not in ended["pair"][1][2]
    assert len(metrics(folder / "pair")) == 10
    assert (folder / "pair" / "results.json").exists()
