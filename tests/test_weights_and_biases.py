"""The writer for Weights & Biases: what it keeps offline, and that it sends nothing."""

import io
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time
import types

import pytest

from jreid.run.reporter import check_writers, make_reporter
from jreid.training.weights_and_biases import WeightsAndBiases

ROOT = pathlib.Path(__file__).parent.parent
BLOCK, HEADER = 32768, 7  # bytes of LevelDB's log format, in which wandb writes


@pytest.fixture
def sent(monkeypatch):
    """The hosts that are asked for by name while a proxy is all there is.

    Not those by number: of other tests in this process, as of Ray, channels to this
    machine may still be open, which try again through the proxy.
    """
    tried = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    asked = connection.recv(200).partition(b"\r\n")[0].decode()
                if not re.match(r"CONNECT [\d.]+:", asked):
                    tried.append(asked)

        threading.Thread(target=accept, daemon=True).start()
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
        yield tried
        server.shutdown(socket.SHUT_RDWR)


def report(workdir, first_step, scalars, writer):
    with make_reporter(
        workdir,
        total_steps=9,
        first_step=first_step,
        writers=(writer,),
        stream=io.StringIO(),
    ) as made:
        for step, values in scalars.items():
            made.scalars(step, values)


def records(path):
    """The records of a .wandb file, put together from the blocks of a LevelDB log."""
    from wandb.proto import wandb_internal_pb2

    data, place, parts = path.read_bytes(), HEADER, b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        length = int.from_bytes(data[place + 4 : place + 6], "little")
        kind = data[place + 6]  # 1 whole, 2 first, 3 middle, 4 last
        parts += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()  # pyright: ignore
            record.ParseFromString(parts)
            parts = b""
            yield record


def history(path):
    """Step to loss."""
    for record in records(path):
        items = {
            (item.key or ".".join(item.nested_key)): json.loads(item.value_json)
            for item in record.history.item
        }
        if "loss" in items:
            yield record.history.step.num or items.get("_step"), items["loss"]


def steps_of(files):
    return sorted(step for file in files for step in history(file))


@pytest.mark.slow
def test_a_run_that_goes_on_stays_the_same_offline(tmp_path, sent):
    pytest.importorskip("wandb", reason="needs wandb: pip install 'jreid[wandb]'")
    (tmp_path / "config.json").write_text('{"name": "demo"}')
    writer = WeightsAndBiases(project="people")
    report(tmp_path, 1, {1: {"loss": 0.5}, 2: {"loss": 0.25}}, writer)
    name = (tmp_path / "wandb" / "id").read_text()
    report(tmp_path, 3, {3: {"loss": 0.125}}, writer)
    assert (tmp_path / "wandb" / "id").read_text() == name
    files = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert [file.name for file in files] == 2 * [f"run-{name}.wandb"]
    expected = [(1, 0.5), (2, 0.25), (3, 0.125)]
    until = time.monotonic() + 60  # W&B's own process may still write
    while steps_of(files) != expected and time.monotonic() < until:
        time.sleep(0.1)
    assert steps_of(files) == expected
    (begun,) = (
        r.run for r in records(files[0]) if r.WhichOneof("record_type") == "run"
    )
    assert (begun.project, begun.run_id) == ("people", name)
    assert {u.key: u.value_json for u in begun.config.update}["name"] == '"demo"'

    report(tmp_path, 1, {1: {"loss": 9.0}}, writer)  # it begins again
    assert (tmp_path / "wandb" / "id").read_text() != name
    assert sent == []


def test_without_wandb_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    told = r"wandb is not installed .*: pip install 'jreid\[wandb\]'"
    with pytest.raises(ValueError, match=told):
        WeightsAndBiases().make(tmp_path, 1)


@pytest.fixture
def fake(monkeypatch):
    """What of wandb is called, and with what."""
    library = types.ModuleType("wandb")
    calls: list[tuple[str, object]] = []

    class Run:
        def log(self, values, step):
            calls.append(("log", step))

        def finish(self, exit_code=None):
            calls.append(("finish", exit_code))

    library.__dict__.update(
        Error=type("Error", (Exception,), {}),
        Settings=lambda **_: None,
        init=lambda **_: Run(),
        login=lambda: calls.append(("login", None)),
        calls=calls,
    )
    monkeypatch.setitem(sys.modules, "wandb", library)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return library


def test_the_run_is_told_whether_it_failed(tmp_path, fake):
    report(tmp_path, 1, {1: {"loss": 0.5}}, WeightsAndBiases())
    assert fake.calls == [("log", 1), ("finish", None)]
    fake.calls.clear()
    with pytest.raises(KeyError):
        report(tmp_path, 2, {2: KeyedBadly()}, WeightsAndBiases())
    assert fake.calls == [("finish", 1)]


class KeyedBadly(dict):
    def items(self):
        raise KeyError


def test_a_writer_that_only_closes_is_closed_after_an_error_too(tmp_path):
    closed = []

    class Plain:
        folder = "plain"

        def make(self, workdir, first_step):
            return types.SimpleNamespace(close=lambda: closed.append(first_step))

    check_writers((Plain(),))
    report(tmp_path, 1, {}, Plain())
    with pytest.raises(KeyError):
        report(tmp_path, 2, {2: KeyedBadly()}, Plain())
    assert closed == [1, 2]


def test_who_is_not_logged_in_is_told_how_before_images_are_read(
    tmp_path, monkeypatch, fake
):
    def refused(**_):
        raise fake.Error("No API key configured.")

    fake.login = fake.init = refused
    told = "configured. Log in with `wandb login` or .*, or set WANDB_MODE=offline"
    writer = WeightsAndBiases()
    with pytest.raises(ValueError, match=told):
        check_writers((writer,))
    with pytest.raises(ValueError, match=told):
        writer.make(tmp_path, 1)
    check_writers((WeightsAndBiases(enabled=False), WeightsAndBiases(mode="offline")))
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_writers((writer,))
    with pytest.raises(ValueError, match=told):
        check_writers((WeightsAndBiases(mode="online"),))


@pytest.mark.slow
def test_wandb_itself_is_asked_who_logs_in(tmp_path):
    pytest.importorskip("wandb", reason="needs wandb: pip install 'jreid[wandb]'")
    code = (
        "import sys; from jreid import ending\n"
        "from jreid.training.weights_and_biases import WeightsAndBiases\n"
        "sys.exit(ending.exit_code(lambda _: WeightsAndBiases().ready(), []))"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment | {"HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: Weights & Biases: No API key configured.")
    assert "wandb login" in done.stderr and "Traceback" not in done.stderr
