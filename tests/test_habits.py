"""What people, terminals and machines do to the programs: one line, nothing lost."""

import logging
import os
import pathlib
import re
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from PIL import Image

from jreid import embed, ending, evaluate, explain, prepare, stopping, train
from jreid.config_files import load
from jreid.data import datasets, pipeline, reading
from jreid.data.synvi import synvi_root
from jreid.evaluation.files.results_file import read_results
from jreid.processes.interrupt import Interrupt
from jreid.progress import Progress
from jreid.run.fingerprints import crc32_of_names
from jreid.run.workdir import open_workdir
from jreid.training.scalars import ScalarWindow

ROOT = pathlib.Path(__file__).parent.parent


def exit_code(program):
    return ending.exit_code(program, [])


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_is_one_line_and_its_exit_code(capsys, name):
    number = getattr(signal, name)
    before = signal.getsignal(number)

    def program(_):
        os.kill(os.getpid(), number)

    assert exit_code(program) == 128 + number
    assert capsys.readouterr().err == f"stopped by {name}\n"
    assert signal.getsignal(number) is before


def test_a_signal_that_a_library_swallows_stops_at_the_next_progress(capsys):
    """As TensorFlow does where a callback of Python's is interrupted."""
    reached = []

    def program(_):
        with Progress(3, "embed test images", unit="images") as bar:
            bar.update(1)
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                reached.append("swallowed")
            bar.update(2)
            reached.append("went on")

    assert exit_code(program) == 130
    assert reached == ["swallowed"]
    assert "stopped by SIGINT" in capsys.readouterr().err
    stopping.check()  # of the next program nothing is left over


def test_a_signal_in_a_destructor_is_noted_without_a_traceback(capsys):
    class Closed:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    def program(_):
        closed = Closed()
        del closed
        stopping.check()

    assert exit_code(program) == 143
    assert capsys.readouterr().err == "stopped by SIGTERM\n"


def test_a_signal_while_a_program_is_imported_is_one_line():
    code = (
        "from jreid import stopping; stopping.end_quietly()\n"
        "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (130, "stopped by SIGINT\n")


def test_a_program_under_nohup_ignores_the_closed_terminal(capsys):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert exit_code(lambda _: os.kill(os.getpid(), signal.SIGHUP)) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_in_the_steps_the_first_signal_is_only_noted(capsys, name):
    number = getattr(signal, name)
    noted = []

    def program(_):
        with Interrupt() as interrupt:
            os.kill(os.getpid(), number)
            noted.append(interrupt.number)
            os.kill(os.getpid(), number)  # a second one, where a step hangs
        noted.append("not reached")

    assert exit_code(program) == 128 + number
    assert noted == [number]


def test_in_the_steps_a_closed_terminal_sends_its_signal_twice():
    """A shell passes it on, and the system sends it when the shell has ended."""
    noted = []

    def program(_):
        with Interrupt() as interrupt:
            for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
                os.kill(os.getpid(), number)
                noted.append(interrupt.number)

    assert exit_code(program) == 143
    assert noted == [signal.SIGHUP, signal.SIGHUP]


def test_a_workdir_that_is_not_utf8_is_refused_before_anything(tmp_path):
    folder = tmp_path / os.fsdecode(b"lat\xe9n")
    with (
        pytest.raises(ValueError, match="is not UTF-8.*give another --workdir"),
        open_workdir(folder, load("demo")),
    ):
        pass
    assert not folder.exists()


def test_a_device_that_is_not_there_is_one_line():
    code = (
        "import sys, jax\nfrom jreid import ending\n"
        "sys.exit(ending.exit_code(lambda _: len(jax.devices()) * 0, []))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "nonsense"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: JAX_PLATFORMS is 'nonsense'")
    assert "Traceback" not in done.stderr


def too_large(_):
    jnp.zeros(1 << 46).block_until_ready()


SHARED = (
    "End other programs that use the device, or set JAX_PLATFORMS=cpu, which takes the "
    "machine's own memory\n"
)


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        (
            train,
            "program",
            "--config.sampling.identities= --config.sampling.images= "
            "--config.precision=bfloat16 --config.evaluation.batch_size=",
        ),
        (embed, "program", "--batch-size"),
        (evaluate, "score", "--config.evaluation.batch_size="),
        (explain, "program", ""),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_device_without_memory_is_one_line_with_the_programs_options(
    capsys, monkeypatch, module, name, words
):
    monkeypatch.setattr(module, name, lambda *_, **__: too_large(0))
    assert module.main([]) == ending.REFUSED
    told = capsys.readouterr().err
    begin = "error: the memory of the device ran out (Out of memory allocating "
    assert told.startswith(f"{begin}{1 << 48} bytes). ") and told.endswith(SHARED)
    assert told.count("\n") == 1
    own = told.partition("). ")[2].removesuffix(SHARED)
    assert re.findall(r"--(?!workdir)[\w.-]+=?\w*", own) == words.split()
    with pytest.raises(jax.errors.JaxRuntimeError):
        module.main(["--traceback"])


def test_a_worker_without_memory_is_told_by_the_same_line(capsys):
    """As `ray_embedding` raises it, of another process."""

    def failed(_):
        why = "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Out of memory"
        raise OSError(f"a worker failed: {why}. What is embedded is kept")

    assert ending.exit_code(failed, [], "Take --batch-size") == ending.REFUSED
    told = capsys.readouterr().err
    assert "(Out of memory. What is embedded is kept). Take --batch-size" in told


def test_other_errors_of_the_device_keep_their_traceback():
    def failed(_):
        raise jax.errors.JaxRuntimeError("INTERNAL: a bug")

    with pytest.raises(jax.errors.JaxRuntimeError, match="a bug"):
        exit_code(failed)


def score(tmp_path, **environment):
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(5), 12)
    np.savez(
        tmp_path / "f.npz",
        features=rng.normal(size=(60, 8)) + np.eye(8)[ids],
        ids=ids,
        cameras=np.tile(np.arange(1, 7), 10),
    )
    options = ["--features", tmp_path / "f.npz", "--protocol", "sysu", "--no-rerank"]
    return subprocess.Popen(
        [sys.executable, "-m", "jreid.evaluate", *options, "--out", tmp_path],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_terminal_without_the_letters_gets_what_it_can(tmp_path):
    out, err = score(tmp_path, PYTHONIOENCODING="ascii").communicate()
    assert "+- deviation" in out and "below: 95 % interval" in out, err
    assert read_results(tmp_path / "results.json")[1]


@pytest.mark.slow
def test_scores_are_written_where_nobody_reads_the_table(tmp_path):
    process = score(tmp_path)
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.wait() == ending.READER_GONE
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert read_results(tmp_path / "results.json")[1]


def test_a_term_that_cannot_act_is_told_once(caplog):
    window = ScalarWindow(1)
    with caplog.at_level(logging.WARNING):
        for value in (0.0, 0.0):
            for step in range(3):
                terms = {"loss": 1.0, "loss/wrt": value, "loss/id": step * 1.0}
                window.add({name: jnp.array(term) for name, term in terms.items()}, 8)
            window.means()
    (told,) = caplog.messages
    assert told.startswith("loss/wrt was 0 in each of the first 3 steps")
    assert "--config.sampling.identities=" in told


@pytest.mark.slow
@pytest.mark.long
def test_a_cache_that_lacks_files_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("JREID_CACHE", str(tmp_path))
    root = synvi_root()
    count = sum(1 for _ in root.rglob("*.jpg"))
    for path in [*root.glob("cam3/*/*.jpg")][:50]:
        path.unlink()
    assert synvi_root() == root
    assert sum(1 for _ in root.rglob("*.jpg")) == count
    next(root.glob("cam1/*/*.jpg")).write_bytes(b"")
    assert all(path.stat().st_size for path in synvi_root().rglob("*.jpg"))
    assert [path.name for path in tmp_path.iterdir()] == [root.name]


def test_prepare_looks_at_the_root_even_where_it_has_built(tmp_path, capsys):
    tree = tiny.make_tree(tmp_path / "tree")
    words = ["--dataset", "sysu_mm01", "--out", str(tmp_path / "out"), "--root"]
    assert prepare.main([*words, str(tree)]) == 0
    assert prepare.main([*words, str(tree)]) == 0
    assert "was there already" in capsys.readouterr().out
    assert prepare.main([*words, str(tmp_path / "nowhere")]) == 2
    assert "nowhere is missing" in capsys.readouterr().err
    path = tree / "cam1" / "0006" / "0001.jpg"
    path.write_bytes((tree / "cam2" / "0006" / "0001.jpg").read_bytes())
    assert prepare.main([*words, str(tree)]) == 2
    assert "was built from other test images" in capsys.readouterr().err


def listed(folder: pathlib.Path, names) -> datasets.Images:
    paths = np.array([os.path.join(folder, name) for name in names], np.str_)
    zeros = np.zeros(len(paths), int)
    return datasets.Images(paths, zeros, zeros, zeros)


def test_one_bad_image_among_hundreds_stops_nothing(tmp_path, caplog):
    Image.new("RGB", (8, 16)).save(tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_text("no image")
    images = listed(tmp_path, ["good.png"] * 149 + ["bad.jpg"])
    with caplog.at_level(logging.WARNING):
        assert len(reading.drop_unreadable(images, size=(16, 8)).images) == 149
    assert "1 of 150 images are unreadable and left out" in caplog.text
    for few, fraction in ((images.take(np.arange(60, 150)), 0.001), (images, 0.0)):
        with pytest.raises(ValueError, match="bad.jpg"):
            reading.drop_unreadable(few, size=(16, 8), max_fraction=fraction)


def test_many_bad_images_print_nothing_of_their_own(tmp_path, capfd):
    kinds = {"empty": b"", "text": b"no image", "cut": b"\x89PNG\r\n\x1a\n" + b"x" * 9}
    for name, content in kinds.items():
        (tmp_path / name).write_bytes(content)
    images = listed(tmp_path, [*kinds] * 50)
    reasons = reading.try_all(images)
    assert all(reasons) and len({*reasons}) >= 2
    assert capfd.readouterr() == ("", "")


def test_names_that_are_not_utf8_are_read(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / name)
    images = listed(tmp_path, [name])
    assert reading.drop_unreadable(images, size=(16, 8)).unreadable == []
    (batch,) = pipeline.test_batches(images, size=(16, 8), batch_size=2)
    np.testing.assert_array_equal(batch[0], pixels)
    assert crc32_of_names(images) == crc32_of_names(images.take(np.array([0])))
