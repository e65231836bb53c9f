"""The embedded data set SynVI: extracted once into a cache folder, then only found."""

import hashlib
import pathlib
import shutil
import tarfile
import tempfile

from jreid.cache_folder import cache_folder

_CONTENTS = ".contents"  # a file beside the images that tells whether all are there
_ARCHIVE = pathlib.Path(__file__).with_name("synvi.tar.xz")


def synvi_root() -> pathlib.Path:
    """The folder of SynVI, in SYSU-MM01's layout, ready for `read_sysu_mm01`.

    Synthetic visible and near-infrared pedestrians (CC0 1.0; tools/make_synvi.py),
    128 x 64 pixels: 200 training, 20 validation and 40 test identities, 3 images in
    each visible camera (1, 2, 4, 5) and 4 in each infrared one (3, 6).

    The cache folder is `$JREID_CACHE`, or `~/.cache/jreid`; the data set's folder is
    named by the archive's content, so a new version never meets old files.
    The archive is extracted beside its final place and then renamed, so several
    processes may call this at once and nobody sees a part of it. A folder that lacks
    files is extracted anew.

    Raises:
        PermissionError, OSError: the cache cannot be written (says where, and what
            to do).
    """
    cache, root = cache_folder(), synvi_folder()
    if _is_whole(root):
        return root
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _extract(cache, root)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"SynVI cannot be extracted ({error.strerror}). Free some space there, or "
            "set the environment variable JREID_CACHE to a folder that can be written",
            str(cache),
        ) from error
    return root


def synvi_folder() -> pathlib.Path:
    """Where `synvi_root` has it, or will; it may not be there yet."""
    digest = hashlib.sha256(_ARCHIVE.read_bytes()).hexdigest()[:16]
    return cache_folder() / f"synvi-{digest}"


def _is_whole(root: pathlib.Path) -> bool:
    """Whether all files are there with their sizes: a cleaner may have taken some."""
    try:
        return (root / _CONTENTS).read_text() == _contents(root)
    except OSError:
        return False


def _contents(root: pathlib.Path) -> str:
    """How many files there are below `root`, and of how many bytes in all."""
    found = [path for path in root.rglob("*") if path.name != _CONTENTS]
    sizes = [path.stat().st_size for path in found if path.is_file()]
    return f"{len(sizes)} files, {sum(sizes)} bytes\n"


def _extract(cache: pathlib.Path, root: pathlib.Path) -> None:
    """Extract to a temporary folder of `cache`, then move it to `root` in one go."""
    work = pathlib.Path(tempfile.mkdtemp(prefix=".synvi-", dir=cache))
    try:
        with tarfile.open(_ARCHIVE) as archive:
            archive.extractall(work, filter="data")
        (work / "synvi" / _CONTENTS).write_text(_contents(work / "synvi"))
        if root.exists() and not _is_whole(root):
            root.rename(work / "damaged")
        try:
            (work / "synvi").rename(root)
        except OSError:
            if not _is_whole(root):  # else another process was first: as good as ours
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
