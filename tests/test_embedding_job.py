"""Large embedding jobs: shards, restarts, bad images, memory; with a stub network."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as parquet
import pytest
from stub_network import SIZE, Stub, embed, read

from jreid.data.datasets import MODALITY_NAMES
from jreid.run import embedding_job as jobs
from jreid.run import image_list
from jreid.run.embedding_batches import embed_shards
from jreid.run.embedding_shards import (
    ERRORS,
    finish_job,
    missing_shards,
    shard_path,
    write_shard,
)
from jreid.run.image_list import index_list, list_folder


def write_list(folder, lines):
    path = folder / "list.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def run(out, images, shards=None, network=None, **options):
    out.mkdir(exist_ok=True)
    shards = missing_shards(out, images) if shards is None else shards
    for shard, batches in embed_shards(images, shards, network or Stub()):
        write_shard(out, images, shard, batches, size=SIZE, **options)


def stored(out, images):
    paths = [shard_path(out, s, len(images)) for s in range(len(images))]
    return [row for path in paths for row in parquet.read_table(path).to_pylist()]


MIXED = [f"img{n}.jpg\t{MODALITY_NAMES[n % 3 == 0]}" for n in range(23)]


def test_every_image_has_its_row_in_the_order_of_the_list(tmp_path):
    file = write_list(tmp_path, MIXED)
    images = index_list(file, root=tmp_path, shard_size=10)
    assert (len(images), images.images) == (3, 23)
    assert [images.count(s) for s in range(3)] == [10, 10, 3]
    run(tmp_path / "out", images, dtype="float32")
    rows = stored(tmp_path / "out", images)
    for line, row in zip(MIXED, rows, strict=True):
        path, modality = line.split("\t")
        assert (row["path"], row["modality"]) == (path, modality)
        pixels, _ = read([str(tmp_path / path)])
        np.testing.assert_array_equal(row["embedding"], embed(pixels, modality)[0])
    assert finish_job(tmp_path / "out", images) == 0


def test_bad_images_become_rows_of_the_errors_file(tmp_path):
    lines = [f"{'bad' if n in (2, 3, 11) else 'img'}{n}.jpg" for n in range(12)]
    lines += [f"bad{n}.jpg" for n in range(12, 18)]  # a shard without a good image
    file = write_list(tmp_path, lines)
    images = index_list(file, root=tmp_path, modality="visible", shard_size=6)
    run(tmp_path / "out", images)
    assert finish_job(tmp_path / "out", images) == 9
    errors = parquet.read_table(tmp_path / "out" / ERRORS).to_pylist()
    assert [row["path"] for row in errors] == [line for line in lines if "bad" in line]
    assert {row["reason"] for row in errors} == {"not an image"}
    rows = stored(tmp_path / "out", images)
    assert [row["path"] for row in rows] == [line for line in lines if "img" in line]
    table = parquet.read_table(shard_path(tmp_path / "out", 2, 3))
    assert str(table.schema.field("embedding").type).endswith(f"[{SIZE}]")
    assert len(table) == 0


def test_a_restart_does_what_is_missing_and_parts_share_the_shards(tmp_path):
    file = write_list(tmp_path, MIXED)
    images = index_list(file, root=tmp_path, shard_size=5)
    out = tmp_path / "out"
    run(out, images, [1, 3])
    before = {s: shard_path(out, s, 5).stat().st_mtime_ns for s in (1, 3)}
    assert missing_shards(out, images) == [0, 2, 4]
    assert missing_shards(out, images, 1, 2) == []
    assert finish_job(out, images) is None
    run(out, images)
    after = {s: shard_path(out, s, 5).stat().st_mtime_ns for s in (1, 3)}
    assert after == before
    assert [row["path"] for row in stored(out, images)] == [
        line.split("\t")[0] for line in MIXED
    ]


def test_an_image_mended_after_an_interrupted_try_is_no_error(tmp_path):
    """The try ended between the shard's errors and its embeddings."""
    (tmp_path / "out").mkdir()
    file = write_list(tmp_path, ["bad.jpg", "b.jpg"])
    images = index_list(file, root=tmp_path, modality="visible")
    run(tmp_path / "out", images)
    shard_path(tmp_path / "out", 0, 1).unlink()

    class Mended(Stub):
        def read(self, paths):
            pixels, reasons = read(paths)
            return pixels, [None for _ in reasons]

    run(tmp_path / "out", images, network=Mended())
    assert finish_job(tmp_path / "out", images) == 0
    assert parquet.read_table(tmp_path / "out" / ERRORS).num_rows == 0
    assert [row["path"] for row in stored(tmp_path / "out", images)] == [
        "bad.jpg",
        "b.jpg",
    ]


def test_a_shard_that_fails_leaves_no_file(tmp_path):
    images = index_list(write_list(tmp_path, MIXED), root=tmp_path)
    out = tmp_path / "out"

    class Lost(Stub):
        def embed(self, pixels, modality):
            raise RuntimeError("device lost")

    with pytest.raises(RuntimeError, match="device lost"):
        run(out, images, network=Lost())
    assert list(out.iterdir()) == []


def test_another_job_in_the_same_folder_is_refused(tmp_path):
    for line in MIXED:
        (tmp_path / line.split("\t")[0]).write_bytes(b"image")
    file = write_list(tmp_path, MIXED)
    images = index_list(file, root=tmp_path)
    jobs.open_job(tmp_path, images, {"step": 7})
    jobs.open_job(tmp_path, images, {"step": 7})
    with pytest.raises(ValueError, match="step: 8 here, 7 there"):
        jobs.open_job(tmp_path, images, {"step": 8})
    write_list(tmp_path, MIXED[1:])
    with pytest.raises(ValueError, match="images: 22 here, 23 there"):
        jobs.open_job(tmp_path, index_list(file, root=tmp_path), {"step": 7})
    write_list(tmp_path, MIXED)
    (tmp_path / "img7.jpg").write_bytes(b"other")  # of the same size
    with pytest.raises(ValueError, match="content_sha256"):
        jobs.open_job(tmp_path, images, {"step": 7})
    (tmp_path / "img7.jpg").unlink()
    with pytest.raises(ValueError, match="content_sha256"):
        jobs.open_job(tmp_path, images, {"step": 7})
    (tmp_path / "img7.jpg").write_bytes(b"image")
    jobs.open_job(tmp_path, images, {"step": 7})
    before = json.loads((tmp_path / jobs.JOB).read_text())
    del before["content_sha256"]  # begun by an earlier version
    (tmp_path / jobs.JOB).write_text(json.dumps(before))
    jobs.open_job(tmp_path, images, {"step": 7})
    jobs.open_job(tmp_path, images, {"step": 7, "fingerprint": "a"})
    before |= {"fingerprint": "a"}
    (tmp_path / jobs.JOB).write_text(json.dumps(before))
    with pytest.raises(ValueError, match="fingerprint: b here, a there"):
        jobs.open_job(tmp_path, images, {"step": 7, "fingerprint": "b"})
    (tmp_path / jobs.JOB).write_text("[")
    with pytest.raises(ValueError, match="damaged"):
        jobs.open_job(tmp_path, images, {"step": 7})


def test_a_list_none_of_whose_images_is_there_is_refused(tmp_path):
    (tmp_path / "lists").mkdir()
    images = index_list(write_list(tmp_path / "lists", MIXED), root=tmp_path)
    with pytest.raises(ValueError, match=r"none of the 23 images .*own folder"):
        jobs.open_job(tmp_path, images, {})
    assert not (tmp_path / jobs.JOB).exists()


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_a_job_on_a_folder_refuses_another_list(tmp_path, change):
    lines = ["a.jpg\tvisible\n", "b.jpg\tvisible\n"]
    kept = jobs.keep_list(tmp_path, lines[:1])
    assert jobs.keep_list(tmp_path, lines) == kept  # the job has not begun
    assert kept.read_text() == "".join(lines)
    (tmp_path / jobs.JOB).write_text("{}")
    assert jobs.keep_list(tmp_path, lines) == kept
    others = {
        "added": [*lines, "c.jpg\tvisible\n"],
        "removed": lines[:1],
        "renamed": [lines[0], "c.jpg\tvisible\n"],
    }
    with pytest.raises(ValueError, match="on other images: .* here, where .*--out"):
        jobs.keep_list(tmp_path, others[change])
    assert kept.read_text() == "".join(lines)


def test_two_processes_cannot_do_the_same_part(tmp_path):
    with (
        jobs.lock_part(tmp_path, 0, 2),
        jobs.lock_part(tmp_path, 1, 2),
        pytest.raises(OSError, match="part 0/2 .* another process"),
        jobs.lock_part(tmp_path, 0, 2),
    ):
        pass


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "lists no image"),
        (["a.jpg\tvisible", "b.jpg"], "line 2: the modality is ''"),
        (["a.jpg\tblue"], "line 1: the modality is 'blue'"),
        (["\tvisible"], "line 1: .* has no path"),
    ],
)
def test_bad_lists_are_refused_before_any_work(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        index_list(write_list(tmp_path, lines), root=tmp_path)


def test_a_picture_given_for_a_list_is_refused(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xff\xd8\xff\xe0" * 100)
    with pytest.raises(ValueError, match="line 1: not UTF-8 text"):
        index_list(tmp_path / "list.txt", root=tmp_path, modality="visible")


def test_a_folder_is_listed_in_order_with_the_modality_of_its_folders(tmp_path):
    for name in ("visible/b.jpg", "visible/a.png", "Infrared/x/c.jpeg", "d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "visible" / "notes.txt").touch()
    (tmp_path / "visible" / "up").symlink_to(tmp_path)
    assert list(list_folder(tmp_path)) == [
        "d.jpg\t\n",
        "Infrared/x/c.jpeg\tinfrared\n",
        "visible/a.png\tvisible\n",
        "visible/b.jpg\tvisible\n",
    ]
    image_list.write_list(tmp_path / "list.txt", list_folder(tmp_path, "visible"))
    images = index_list(tmp_path / "list.txt", root=tmp_path)
    assert images.rows(0)[0] == ("d.jpg", "visible")


def test_the_folder_itself_may_name_the_modality(tmp_path):
    (tmp_path / "people" / "visible" / "ada").mkdir(parents=True)
    for name in ("0.jpg", ".1.jpg", "2.jfif", "3.tif"):
        (tmp_path / "people" / "visible" / "ada" / name).touch()
    lines = ["ada/0.jpg\tvisible\n", "ada/2.jfif\tvisible\n"]
    assert list(list_folder(tmp_path / "people" / "visible")) == lines


def test_folders_and_files_linked_to_themselves_end_nothing(tmp_path):
    (tmp_path / "visible").mkdir()
    (tmp_path / "visible" / "a.jpg").touch()
    (tmp_path / "visible" / "loop").symlink_to("loop")
    (tmp_path / "visible" / "up").symlink_to("..")
    (tmp_path / "visible" / "gone").symlink_to("nowhere")
    assert list(list_folder(tmp_path)) == ["visible/a.jpg\tvisible\n"]


def test_other_words_for_a_modality_are_read(tmp_path):
    file = write_list(tmp_path, ["a.jpg\tRGB", "b.jpg\tIR", "c.jpg\tthermal"])
    rows = index_list(file, root=tmp_path).rows(0)
    assert [modality for _, modality in rows] == ["visible", "infrared", "infrared"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    """As Windows' editors write it; a job's digest is of the file as it is."""
    plain, marked = tmp_path / "plain.txt", tmp_path / "marked.txt"
    text = "a.jpg\tvisible\r\nb.jpg\tinfrared\r\nc.jpg\tvisible\r\n"
    plain.write_bytes(text.encode())
    marked.write_bytes(b"\xef\xbb\xbf" + text.encode())
    lists = [index_list(x, root=tmp_path, shard_size=2) for x in (plain, marked)]
    for shard in range(2):
        assert lists[0].rows(shard) == lists[1].rows(shard)
    assert lists[1].rows(0)[0] == ("a.jpg", "visible")
    assert lists[1].digest == hashlib.sha256(marked.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", [b"a\tb.jpg", b"a\nb.jpg", b"a\r.jpg", b"\xff.jpg"])
def test_a_name_that_no_list_can_hold_is_refused(tmp_path, name):
    (tmp_path / "visible").mkdir()
    (tmp_path / "visible" / os.fsdecode(name)).touch()
    with pytest.raises(ValueError, match=f"visible/.*in {tmp_path} .* rename the file"):
        image_list.write_list(tmp_path / "list.txt", list_folder(tmp_path))
    assert os.listdir(tmp_path) == ["visible"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(image_list.os, "scandir", refuse)
    with pytest.raises(ValueError, match=f"{tmp_path} cannot be listed: .*denied"):
        image_list.write_list(tmp_path / "list.txt", list_folder(tmp_path))


def test_a_full_disk_is_told_with_the_shard_that_it_cut(tmp_path, monkeypatch):
    images = index_list(write_list(tmp_path, MIXED), root=tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet, "write_table", full)
    shard = shard_path(tmp_path / "out", 0, 1)
    with pytest.raises(OSError, match=f"cannot write {shard}: .*No space left"):
        run(tmp_path / "out", images)
    assert os.listdir(tmp_path / "out") == []


MEMORY = """
import resource, sys, tempfile
from pathlib import Path
from stub_network import Stub
from test_embedding_job import index_list, run

out = Path(sys.argv[1])
with open(out / "list.txt", "w") as file:
    for n in range(int(sys.argv[2])):
        file.write("folder/of/a/camera/with/a/long/name/image.jpg\\tvisible\\n")
images = index_list(out / "list.txt", root=out, shard_size=5000)
run(out, images, network=Stub(batch_size=1000))
print(images.images, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.long
def test_memory_does_not_grow_with_the_list(tmp_path):
    peak = {}
    for count in (50_000, 1_000_000):
        out = tmp_path / str(count)
        out.mkdir()
        command = [sys.executable, "-c", MEMORY, str(out), str(count)]
        shown = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout.split()
        assert int(shown[0]) == count
        peak[count] = int(shown[1])
    assert peak[1_000_000] < peak[50_000] + 20_000, json.dumps(peak)  # kB


def test_of_a_long_list_some_contents_and_all_sizes_count(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "READ_WHOLE", 8)  # of 23 images every third
    for line in MIXED:
        (tmp_path / line.split("\t")[0]).write_bytes(b"image")
    images = index_list(write_list(tmp_path, MIXED), root=tmp_path, shard_size=5)
    before, differ = jobs.content_of(images), []
    for number in range(23):
        path = tmp_path / f"img{number}.jpg"
        path.write_bytes(b"other")  # of the same size
        if jobs.content_of(images) != before:
            differ.append(number)
        path.write_bytes(b"another")
        assert jobs.content_of(images) != before
        path.write_bytes(b"image")
    assert differ == list(range(0, 23, 3))
    assert jobs.content_of(images) == before


def test_an_image_of_one_grey_level_is_told_with_its_batch(tmp_path):
    class Pale(Stub):
        def nearly_empty(self, paths):
            return [path for path in paths if path.endswith("7.jpg")]

    images = index_list(write_list(tmp_path, MIXED), root=tmp_path, shard_size=10)
    shards = embed_shards(images, range(3), Pale())
    pale = [path for _, batches in shards for batch in batches for path in batch.pale]
    assert sorted(pale) == [str(tmp_path / f"img{n}.jpg") for n in (17, 7)]
