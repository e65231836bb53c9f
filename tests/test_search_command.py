"""`python -m jreid.search` from a folder of images to an answer."""

import json
import subprocess
import sys

import crops
import numpy as np
import pytest
from PIL import Image

from jreid.search import Embedder, Gallery
from jreid.search.__main__ import main
from jreid.search.calibration import Calibration
from jreid.search.calibrations import Calibrations
from jreid.serve.pictures import thumbnail

pytestmark = pytest.mark.usefixtures("recognised_once")


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """Runs are named by a number, and are networks that cost nothing."""

    def from_run(workdir, step=None, kind="fused", config=None):
        made = crops.embedder(int(workdir.name))
        made.workdir = workdir
        return made

    monkeypatch.setattr(Embedder, "from_run", from_run)


@pytest.fixture
def images(tmp_path):
    return crops.make_crops(tmp_path / "images")


@pytest.fixture
def query(tmp_path):
    crops.person("bob", 99).save(tmp_path / "query.png")
    return tmp_path / "query.png"


MODEL = ["--model", "model.onnx"]


def run(*words, code=0):
    assert main([str(word) for word in words]) == code


@pytest.fixture
def place(images, tmp_path, capfd):
    place = tmp_path / "gallery"
    words = ["--pattern", crops.PATTERN, "--modality", "visible", "--workdir", "0"]
    run("index", images, "--gallery", place, *words)
    assert f"36 images in {place}: 36 new" in capfd.readouterr().out
    return place


def answered(capfd):
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_a_query_finds_the_person(place, query, tmp_path, capfd):
    words = ["--gallery", place, "-k", 5, "--modality", "visible"]
    run("query", query, *words, "--json")
    hits = answered(capfd)
    assert len(hits) == 5 and hits[0]["identity"] == "bob"
    assert [h["distance"] for h in hits] == sorted(h["distance"] for h in hits)
    picture = tmp_path / "found.png"
    run("query", query, *words, "--picture", picture, "--identity", "bob")
    told, why, best, *_ = capfd.readouterr().out.splitlines()
    assert "query.png: visible, looks visible (bits 8, chroma" in told
    assert why.startswith("no probability: ")
    assert hits[0]["path"] in best and hits[0]["key"] in best
    sheet = np.asarray(Image.open(picture))
    assert (sheet == (0x1A, 0x96, 0x41)).all(axis=-1).any()  # a green frame
    run("query", query, *words, "--picture", picture, "--json")
    out, err = capfd.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == hits
    assert f"picture: {picture}\n" in err


def test_filters_and_feedback(place, query, capfd):
    words = ["--gallery", place, "--modality", "visible", "--json", "-k", 40]
    run("query", query, *words, "--camera", 1, 3)
    hits = answered(capfd)
    assert {hit["camera"] for hit in hits} == {"1", "3"} and len(hits) == 24
    run("query", query, *words, "--gallery_modality", "infrared")
    assert "none of 36 images is of these cameras" in capfd.readouterr().err
    path, key = hits[0]["path"], hits[1]["key"]
    run("query", query, *words, "--unlike", path, key, "--like", hits[-1]["path"])
    found = answered(capfd)
    assert len(found) == 34 and not {path, key} & {h["path"] for h in found}
    run("query", query, *words, "--like", "cam9/none.png", code=2)
    assert "cam9/none.png is no image of" in capfd.readouterr().err


def test_nobody_is_said_of_what_was_looked_at(place, query, capfd, monkeypatch):
    monkeypatch.chdir(query.parent)
    beyond = Calibration("logistic", (0.0, 1.0), (1.0, -1.0), 0.1, 9, 9, ((0.0, 1),))
    curves = {"visible-visible": beyond}
    (query.parent / "0").mkdir()
    Calibrations(crops.embedder().fingerprint, "a test", curves).write("0")
    words = ["--gallery", place, "--modality", "visible", "--false_match_rate", 0.2]
    run("query", query, *words)
    assert "nobody: no image of 36 is within" in capfd.readouterr().out
    run("query", query, *words, "--camera", 2)
    assert "nobody: no image of 12 is within" in capfd.readouterr().out
    run("query", query, *words, "--camera", 9)
    assert "none of 36 images is of these cameras" in capfd.readouterr().out


def test_indexing_again_sees_what_changed(place, images, query, capfd):
    (images / "cam1" / "ada_0.png").unlink()
    run("query", query, "--gallery", place, "-k", 40)
    assert "not there any more: cam1/ada_0.png;" in capfd.readouterr().out
    crops.person("eve", 1).save(images / "cam2" / "eve_1.png")
    (images / "cam2" / "bad_1.png").write_bytes(b"")
    run("index", images, "--gallery", place)
    told = capfd.readouterr().out
    assert "1 new, 35 as they were, 1 removed" in told
    assert "cam2/bad_1.png: the file is empty" in told
    run("index", images / "cam2", "--gallery", place)  # a part of it
    assert "13 as they were" in capfd.readouterr().out
    run("index", images.parent, "--gallery", place, code=2)
    assert "is not in it: give another --gallery" in capfd.readouterr().err
    run("index", images, "--gallery", place, "--kind", "fused")  # as it is
    capfd.readouterr()
    images.rename(images.parent / "moved")
    run("index", images.parent / "moved", "--gallery", place)
    assert "is gone: its images are taken to be in" in capfd.readouterr().out


def test_a_run_that_was_trained_on_searches_with_its_former_step(
    place, images, query, capfd, monkeypatch
):
    def from_run(workdir, step=None, kind="fused", config=None):
        made = crops.embedder(7 if step is None else step)  # 7: the newest
        made.workdir = workdir.absolute()
        return made

    monkeypatch.setattr(Embedder, "from_run", from_run)
    run("index", images, "--gallery", place, "--workdir", "0")
    assert "36 as they were" in capfd.readouterr().out
    words = ["--gallery", place, "--modality", "visible", "-k", 1]
    run("query", query, *words, "--workdir", "./0")
    run("query", query, *words, "--workdir", "0", "--step", 7, code=2)
    assert "give the run 0 with --step 0, or index" in capfd.readouterr().err
    run("query", query, *words, "--workdir", "copy", code=2)
    assert "give the run 0 with --step 0, or index" in capfd.readouterr().err
    run("query", query, *words, "--workdir", "copy", "--step", 0)


def test_a_csv_file_chooses_the_images(images, tmp_path, query, capfd):
    listed = tmp_path / "list.csv"
    listed.write_text(
        "path,camera,time,track,modality\n"
        "cam1/bob_0.png,gate,2026-11-27T08:00:00,1,visible\n"
        "cam1/bob_1.png,gate,2026-11-27T09:00:00,1,visible\n"
        "cam3/bob_0.png,yard,2026-11-27T10:00:00,1,infrared\n"
    )
    place = ["--gallery", tmp_path / "gallery"]
    run("index", images, *place, "--csv", listed, "--workdir", "0")
    capfd.readouterr()
    words = [*place, "--modality", "visible", "--json"]
    run("query", query, *words, "--after", "2026-11-27T09:00:00")
    assert {hit["path"] for hit in answered(capfd)} == {
        "cam1/bob_1.png",
        "cam3/bob_0.png",
    }
    run("query", query, *words, "--after", "2027", code=2)
    assert "error: the time 2027 is a number, and" in capfd.readouterr().err
    run("query", query, *words, "--by_track")
    assert {hit["camera"] for hit in answered(capfd)} == {"gate", "yard"}
    run("info", *place, "--json")
    assert json.loads(capfd.readouterr().out)["cameras"] == {"gate": 2, "yard": 1}


def test_a_folder_of_links_is_searched_and_shown(images, tmp_path, query, capfd):
    """As a data set is put together of files that lie elsewhere."""
    linked = tmp_path / "linked"
    (linked / "cam2").mkdir(parents=True)
    (linked / "cam1").symlink_to(images / "cam1")
    for path in (images / "cam2").iterdir():
        (linked / "cam2" / path.name).symlink_to(path)
    place, picture = tmp_path / "gallery", tmp_path / "found.png"
    run("index", linked, "--gallery", place, "--workdir", "0")
    assert "24 new" in capfd.readouterr().out
    run("query", query, "--gallery", place, "-k", 24, "--picture", picture)
    assert picture.is_file()
    with Gallery.open(place) as gallery:
        small = [thumbnail(gallery.image_path(r.key)) for r in gallery.entries()]
    assert len(small) == 24 and all(small)


def test_a_column_that_is_there_decides(images, tmp_path, query, capfd):
    name, listed = "cam1/ada_0.png", tmp_path / "list.csv"
    words = ["--gallery", tmp_path / "gallery", "--workdir", "0"]

    def known(text):
        listed.write_text(text)
        run("index", images, *words, "--csv", listed)
        capfd.readouterr()
        run("query", query, *words, "--modality", "visible", "--json", "-k", 1)
        (hit,) = answered(capfd)
        names = ("camera", "time", "track", "identity", "modality")
        return [hit[one] for one in names]

    columns = "path,camera,time,track,identity,modality\n"
    whole = ["7", "12", "3", "Ann", "infrared"]
    assert known(f"{columns}{name},7,12,3,Ann,ir\n") == whole
    assert known(f"path\n{name}\n") == whole
    assert known(f"path,identity\n{name},\n") == ["7", "12", "3", None, "infrared"]
    assert known(f"{columns}{name},7,12,3,Ann,\n") == [*whole[:4], "visible"]
    crops.person("eve", 1).save(images / name)
    assert known(f"path,identity\n{name},\n") == ["7", None, None, None, "visible"]
    assert known(f"{columns}{name},7,12,3,Ann,ir\n") == whole
    crops.person("eve", 2).save(images / name)
    assert known(f"path\n{name}\n") == ["7", None, None, None, "visible"]


def test_remove_and_info(place, images, capfd):
    (images / "cam3" / "bob_0.png").unlink()
    run("remove", "cam3/bob_0.png", "--gallery", place)
    assert capfd.readouterr().out == "1 images removed, 35 are left\n"
    run("remove", "cam1", images / "cam2" / "ada_0.png", "--gallery", place)
    told = capfd.readouterr().out
    assert told == (
        f"13 images removed, 22 are left\ntheir files are still in {images}: the next "
        "`index` of it embeds them again; delete or move them too\n"
    )
    run("remove", "cam1", "--gallery", place, code=2)
    assert "holds none of these" in capfd.readouterr().err
    run("info", "--gallery", place)
    told = capfd.readouterr().out
    assert "images      22\n" in told and "cameras     2 11, 3 11\n" in told


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "no verb is given; allowed are index, query, remove"),
        (["find"], "there is no verb 'find'; allowed are index, query, remove"),
        (["query", "query.png", "--gallery", "none"], "there is no gallery in none"),
        (["index", "none", "--gallery", "g"], "none is no folder"),
        (["index", "images", "--gallery", "g"], "--workdir RUN"),
        (
            ["index", "images", "--gallery", "query.png", "--workdir", "0"],
            "query.png cannot be the folder of a gallery (File exists)",
        ),
        (["remove", "--gallery", "gallery"], "no path: give images or folders"),
        (["remove", "", "--gallery", "gallery"], "a path is empty: give images"),
        (
            ["query", "query.png", "--gallery", "gallery", "--picture", "no/x.png"],
            "no is no folder: make it first",
        ),
        (
            ["index", "images", "--gallery", "images", "--workdir", "0"],
            "no gallery and",
        ),
        (
            ["index", "images", "--gallery", "gallery", "--kind", "v1"],
            "--kind is 'v1', and gallery is there and has 'fused'",
        ),
        (
            ["index", "images", "--gallery", "gallery", *MODEL, "--config", "x.py"],
            "--model and --config are given",
        ),
        (
            ["index", "images", "--gallery", "g", *MODEL, "--step", "1"],
            "--model and --step are given: an exported file is one network",
        ),
        (
            ["index", "images", "--gallery", "g", *MODEL, "--kind=v1", "--dim=8"],
            "--model and --kind and --dim are given",
        ),
        (
            ["query", "query.png", "--gallery", "gallery", *MODEL, "--step", "1"],
            "--model and --step are given",
        ),
        (["query", "query.png", "--gallery", "gallery", "-k", "0"], "k is 0"),
        (
            ["query", "query.png", "--gallery", "gallery", "--like", "ab" * 9],
            "abababababababab is no image of",
        ),
        (["query", "none.png", "--gallery", "gallery"], "none.png cannot be read"),
        (["query", "query.png", "--gallery", "gallery", "--after", "x"], "time is 'x'"),
        (["query", "query.png", "--gallery", "gallery", "--workdir", "1"], "another"),
        (["index", "images", "--gallery", "ftp://x/.db"], "names the collection"),
        (["info", "--gallery", "http://localhost:1/no-name"], "names the collection"),
    ],
)
def test_refusals_are_one_line(words, message, place, query, capfd, monkeypatch):
    monkeypatch.chdir(query.parent)
    if words[:1] == ["query"]:
        words = [*words, "--modality", "visible"]
    run(*words, code=2)
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ") and message in line


def test_help_waits_for_nothing():
    for words in ([], ["index"], ["query"], ["remove"], ["info"]):
        code = (
            "import sys; from jreid.search.__main__ import main\n"
            f"assert main([*{words}, '--help']) == 0\n"
            "assert not {'jax', 'numpy', 'faiss'} & set(sys.modules)"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert "--gallery" in done.stdout or "index" in done.stdout
