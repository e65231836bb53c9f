"""The folder of an embedding job: which images and settings it is of, and its lock.

The list is a text file, an image per line; a shard is a run of its lines. A finished
shard is a file under its final name, so a restart does the shards that are missing, and
several processes share a job by taking every n-th shard. Only one shard's lines and
vectors are in memory, however long the list.
"""

import contextlib
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jreid.run.image_list import ImageList, write_list
from jreid.run.workdir import lock
from jreid.whole_files import write_text

JOB, LIST = "job.json", "images.txt"
CONTENT = "content_sha256"  # of the images, in job.json
NEW = (CONTENT, "fingerprint", "data")  # new in 0.3: earlier jobs go on without
READ_WHOLE = 10_000  # images of which a job knows every byte


def content_of(images: ImageList) -> str:
    """SHA-256 of the images, whatever their names: all sizes, and many contents.

    Of up to `READ_WHOLE` images every byte counts, of more that of so many, evenly
    spread over the list: for millions of files, sizes are what can be asked for.

    Raises ValueError if none of the files is there.
    """
    digest, found, first = hashlib.sha256(), False, ""
    every = -(-images.images // READ_WHOLE)
    rows = (row for shard in range(len(images)) for row in images.rows(shard))
    for number, (path, _) in enumerate(rows):
        place = images.root / path
        first = first or str(place)
        try:
            size, content = place.stat().st_size, b""
            if number % every == 0:
                content = hashlib.sha256(place.read_bytes()).digest()
            found = True
        except OSError:
            size, content = -1, b""
        digest.update(f"{size} ".encode() + content)
    if not found:
        raise ValueError(
            f"none of the {images.images} images of {images.file} is there, the first "
            f"would be {first}: the relative paths of a list belong to its own folder"
        )
    return digest.hexdigest()


def keep_list(out: Path, lines: Iterable[str]) -> Path:
    """Writes the list of a folder's images into `out`, and says where.

    Raises ValueError if a job was begun there on another list: names a difference.
    """
    kept = out / LIST
    if not (out / JOB).exists() or not kept.exists():
        write_list(kept, lines)
        return kept
    with open(kept, encoding="utf-8") as before:
        for here, there in itertools.zip_longest(lines, before):
            if here != there:
                here, there = ((x or "nothing").split("\t")[0] for x in (here, there))
                raise ValueError(
                    f"{out} holds a job on other images: {here} here, where {there} is "
                    "there. Give another --out."
                )
    return kept


def open_job(out: Path, images: ImageList, settings: Mapping[str, Any]) -> None:
    """Begins a job in `out`, or finds that the one there is the same.

    Raises:
        ValueError: the job there has other images or settings; names them.
    """
    job = {
        **settings,
        "images": images.images,
        "list_sha256": images.digest,
        CONTENT: content_of(images),
        "shard_size": images.shard_size,
    }
    path = out / JOB
    if not path.exists():
        write_text(path, json.dumps(job, indent=1) + "\n")
        return
    try:
        later = {name: job[name] for name in NEW if name in job}
        there = later | json.loads(path.read_text())
        differ = [
            f"{name}: {job.get(name)} here, {there.get(name)} there"
            for name in sorted(job.keys() | there.keys())
            if job.get(name) != there.get(name)
        ]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); give another --out") from None
    if differ:
        raise ValueError(
            f"{out} holds another job:\n  "
            + "\n  ".join(differ)
            + "\nGive another --out."
        )


@contextlib.contextmanager
def lock_part(out: Path, part: int, parts: int) -> Iterator[None]:
    """Keeps a second process from doing the same part at the same time."""
    with open(out / f".part-{part}-of-{parts}.lock", "w") as file:
        try:
            lock(file)
        except BlockingIOError:
            raise OSError(
                f"part {part}/{parts} of {out} is being done by another process"
            ) from None
        yield
