"""A run's network kept as a traced program and its weights, from which it starts fast.

Restoring a checkpoint builds the network anew, by libraries that take longer to import
than a query takes to answer. What is kept here needs JAX alone. It lies in the cache
folder, belongs to one state of the run's files, and is made anew where it is missing
or damaged.
"""

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jreid import __version__
from jreid.cache_folder import cache_folder
from jreid.data.datasets import MODALITY_NAMES
from jreid.run.workdir import CONFIG, TRAINING_SET, saved_steps
from jreid.shapes import Float, UInt8
from jreid.user_files import loaded_beside

if TYPE_CHECKING:
    from jreid.run.frozen import FrozenRun

_FOLDER, _ABOUT, _WEIGHTS = "programs", "about.json", "weights.npz"
_MOST = 4  # runs that are kept; what was used longest ago goes first


@dataclass
class KeptRun:
    """A run's network for one image at a time; see `frozen.FrozenRun`."""

    about: dict[str, Any]  # `FrozenRun.about`
    _weights: Sequence[Any]
    _stored: dict[str, bytes]  # a program of each modality
    _programs: dict[str, Any]  # those that have been asked for

    def __call__(
        self, pixels: UInt8[np.ndarray, "1 h w 3"], modality: str
    ) -> Float[np.ndarray, "1 d"]:
        """The vector of an image."""
        import jax
        import jax.export

        if modality not in self._programs:
            program = jax.export.deserialize(bytearray(self._stored[modality]))
            self._programs[modality] = jax.jit(program.call)
        return np.asarray(self._programs[modality](self._weights, pixels))


def keep(run: "FrozenRun", key: str) -> None:
    """Keeps a run's network; does nothing where the cache cannot be written."""
    import jax
    import jax.export

    kept_at = _place(key)
    home = kept_at.parent
    leaves, tree = jax.tree.flatten((run.network.params, run.network.stats))
    arrays = [np.asarray(leaf) for leaf in leaves]
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays]
    blank = jax.ShapeDtypeStruct((1, *run.config.size, 3), np.uint8)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=home) as new:
            folder = Path(new) / kept_at.name
            folder.mkdir()
            digests = {}
            for name in MODALITY_NAMES:

                def embed(weights, pixels, name=name):
                    params, stats = jax.tree.unflatten(tree, weights)
                    made = run.network.embedder.embed(params, stats, pixels, name)
                    return made[run.kind]

                program = jax.export.export(jax.jit(embed))(shapes, blank).serialize()
                (folder / f"{name}.bin").write_bytes(program)
                digests[name] = hashlib.sha256(program).hexdigest()
            np.savez(folder / _WEIGHTS, *arrays)
            about = {"sha256": digests, "about": run.about}
            (folder / _ABOUT).write_text(json.dumps(about))
            if kept_at.exists():  # damaged
                os.replace(kept_at, Path(new) / "before")
            os.replace(folder, kept_at)
        _forget_others(home)
    except OSError:
        return


def kept(key: str) -> KeptRun | None:
    """The network kept under this key for this platform, if it is whole."""
    import jax

    from jreid.processes.compilation_cache import keep_compiled_programs

    folder = _place(key)
    try:
        told = json.loads((folder / _ABOUT).read_text())
        about, digests = told["about"], told["sha256"]
        stored = {name: (folder / f"{name}.bin").read_bytes() for name in digests}
        found = {name: hashlib.sha256(x).hexdigest() for name, x in stored.items()}
        if digests != found:
            return None
        path = folder / _WEIGHTS
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = [file[f"arr_{number}"] for number in range(len(file.files))]
        os.utime(folder)
    except Exception:  # what a damaged file raises depends on the damage
        return None
    keep_compiled_programs()
    weights = [jax.device_put(array, jax.devices()[0]) for array in arrays]
    return KeptRun(about, weights, stored, {})


def _place(key: str) -> Path:
    """The folder of a key on this platform, whose programs are its own."""
    import jax

    return cache_folder() / _FOLDER / f"{key}-{jax.default_backend()}"


def key_of(workdir: Path, step: int | None, kind: str, file: Path | None) -> str:
    """Names the state of all files that a run's network depends on.

    Contents of small files, and of the user's `file`, which is loaded, with those
    beside it that it imports as it runs; sizes and times of the checkpoint's, which is
    checked when it is read, and of the code that the network is made by. "" where there
    is no such run or checkpoint.
    """
    steps = saved_steps(workdir / "checkpoints")
    folder = (
        workdir / "checkpoints" / str(max(steps, default=0) if step is None else step)
    )
    told = [__version__, importlib.metadata.version("jax"), kind, str(folder.resolve())]
    try:
        for path in (workdir / CONFIG, workdir / TRAINING_SET):
            told.append(hashlib.sha256(path.read_bytes()).hexdigest())
    except OSError:
        return ""
    if not folder.is_dir():
        return ""
    own = loaded_beside(file) if file else []
    told += sorted(f"{each.path} {each.sha256}" for each in own)
    package = Path(__file__).parents[1]
    for home in (folder, package / "models", package / "training"):
        for path in sorted(path for path in home.rglob("*") if path.suffix != ".pyc"):
            seen = path.stat()
            if path.is_file():
                name = path.relative_to(home)
                told.append(f"{name} {seen.st_size} {seen.st_mtime_ns}")
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]


def _forget_others(home: Path) -> None:
    folders = [path for path in home.iterdir() if not path.name.startswith(".")]
    folders.sort(key=lambda path: path.stat().st_mtime)
    for path in folders[:-_MOST]:
        shutil.rmtree(path, ignore_errors=True)
