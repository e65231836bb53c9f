"""`python -m jreid.serve`: one line for what is wrong, before anything is opened."""

import pathlib
import signal
import socket
import subprocess
import sys

import crops
import patient_http
import pytest

from jreid.search import Gallery
from jreid.search.indexing import index, list_images
from jreid.search.labels import Labels
from jreid.serve import __main__ as serve

ROOT = pathlib.Path(__file__).parent.parent
TOKEN = "correct-horse-battery"


def refusal(capsys, *options):
    code = serve.main(["--gallery", "nowhere", *options])
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    return err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_a_public_address_needs_a_token(capsys, monkeypatch, host):
    monkeypatch.delenv("JREID_TOKEN", raising=False)
    assert "give a --token_file" in refusal(capsys, "--host", host)


@pytest.mark.parametrize("contents", ["", "short\n", "two words of a token\n"])
def test_a_weak_token_is_refused(capsys, tmp_path, contents):
    path = tmp_path / "token"
    path.write_text(contents)
    assert "allowed are 16" in refusal(capsys, "--token_file", str(path))


def test_a_weak_token_of_the_environment_is_refused(capsys, monkeypatch):
    monkeypatch.setenv("JREID_TOKEN", "short")
    assert "allowed are 16" in refusal(capsys)


def test_what_is_missing_or_wrong_is_said(capsys, tmp_path):
    assert "there is no gallery" in refusal(capsys, "--port", "0")
    assert "allowed are 0 to 65535" in refusal(capsys, "--port", "65536")
    assert "no such" in refusal(capsys, "--token_file", str(tmp_path / "x")).lower()
    assert "--limits.waiting is 0" in refusal(capsys, "--limits.waiting", "0")


@pytest.mark.parametrize("option", ["--step=1", "--config=own.py"])
def test_what_only_a_run_has_is_refused_with_a_model(capsys, tmp_path, option):
    place, embedder = str(tmp_path / "gallery"), crops.embedder()
    Gallery.create(place, embedder, tmp_path).close()
    words = ["--port", "0", "--gallery", place, "--model", "model.onnx", option]
    told = f"--model and {option.split('=')[0]} are given"
    assert told in refusal(capsys, *words)


def test_a_port_that_is_taken_is_said(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port}" in refusal(capsys, "--port", port)


@pytest.mark.parametrize("name", ["fastapi", "uvicorn", "python_multipart"])
def test_a_missing_extra_is_named(capsys, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    assert "pip install 'jreid[serve]'" in refusal(capsys)


ONCE_ASKED = """
import sys
sys.path.insert(0, "tests")
import crops
from jreid.search import Gallery
from jreid.search.verbs import opening
from jreid.serve import __main__ as serve
opening.open_with_network = lambda place, *_: Gallery.open(place, crops.embedder())
code = serve.main(["--gallery", sys.argv[1], "--port", "0"])
sys.exit("tensorflow was imported" if "tensorflow" in sys.modules else code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_it_answers_until_a_signal_comes(tmp_path, name):
    images = crops.make_crops(tmp_path / "images", 1)
    with Gallery.create(tmp_path / "gallery", crops.embedder(), images) as gallery:
        index(gallery, [*list_images(images)], lambda _: Labels(modality="visible"))
    with subprocess.Popen(
        [sys.executable, "-c", ONCE_ASKED, str(tmp_path / "gallery")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        try:
            answer = patient_http.post(
                f"{url}api/query",
                files={"files": (images / "cam1" / "bob_0.png").read_bytes()},
                headers={"X-Jreid": "1"},
            )
        finally:
            number = getattr(signal, name)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
    assert answer.json()["hits"][0]["path"] == "cam1/bob_0.png"
    assert (process.returncode, out, err) == (128 + number, "", f"stopped by {name}\n")


def test_help_waits_for_nothing():
    code = (
        "import sys\nfrom jreid.serve import __main__ as serve\n"
        "code = serve.main(['--help'])\n"
        "heavy = {'fastapi', 'jax', 'numpy', 'PIL', 'tensorflow'} & set(sys.modules)\n"
        "sys.exit(code or (str(heavy) if heavy else 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--token_file" in done.stdout
