"""Compiled programs are kept in a folder of ours, or not, but never with an error."""

import os
import pathlib
import subprocess
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

from jreid.run import kept

CODE = """
import jax, jax.numpy as jnp
from jreid.processes.compilation_cache import BYTES, keep_compiled_programs
keep_compiled_programs()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((4, 4))).block_until_ready()
print(jax.config.jax_compilation_cache_dir, jax.config.jax_compilation_cache_max_size)
"""


def run(**environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    command = [sys.executable, "-W", "error", "-c", CODE]
    done = subprocess.run(
        command, env=kept | environment, check=True, capture_output=True, text=True
    )
    assert not done.stderr, done.stderr
    return done.stdout.split()


def test_programs_are_kept_in_the_cache_folder(tmp_path):
    folder, size = run(JREID_CACHE=str(tmp_path))
    assert folder == str(tmp_path / "compiled") and int(size) == 2 * 1024**3
    assert any((tmp_path / "compiled").iterdir())


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert run(JREID_CACHE=str(tmp_path / "file"))[0] == "None"


def test_the_users_own_folder_stays(tmp_path):
    own = str(tmp_path / "own")
    assert run(JAX_COMPILATION_CACHE_DIR=own, JREID_CACHE=str(tmp_path))[0] == own


def linear_run():
    """A run whose vector is the image's sum in each channel times the weights."""

    def embed(params, stats, pixels, name):
        sums = jnp.float32(pixels).sum((1, 2)) + stats["shift"]
        return {"fused": sums @ params["w"] * (1 if name == "visible" else 2)}

    network = types.SimpleNamespace(
        params={"w": np.arange(1200, dtype=np.float32).reshape(3, 400)},
        stats={"shift": np.float32(1)},
        embedder=types.SimpleNamespace(embed=embed),
    )
    config = types.SimpleNamespace(size=(4, 2))
    about = {"step": 7}
    return types.SimpleNamespace(
        network=network, config=config, kind="fused", about=about
    )


def emptied(path):
    path.write_bytes(b"")


def halved(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def altered(path):
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 0x55
    path.write_bytes(contents)


@pytest.mark.parametrize("damage", [pathlib.Path.unlink, emptied, halved, altered])
def test_a_kept_network_that_is_damaged_is_made_anew(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("JREID_CACHE", str(tmp_path))
    run = linear_run()
    kept.keep(run, "key")  # type: ignore[arg-type]
    files = sorted((tmp_path / "programs" / "key-cpu").iterdir())
    names = ["about.json", "infrared.bin", "visible.bin", "weights.npz"]
    assert [path.name for path in files] == names
    pixels = np.arange(24, dtype=np.uint8).reshape(1, 4, 2, 3)
    for path in files:
        damage(path)
        assert kept.kept("key") is None, path.name
        kept.keep(run, "key")  # type: ignore[arg-type]
        again = kept.kept("key")
        assert again is not None and again.about == {"step": 7}, path.name
        sums = pixels.sum((1, 2)) + 1
        expected = sums @ np.arange(1200).reshape(3, 400)
        np.testing.assert_array_equal(again(pixels, "visible"), expected)
        np.testing.assert_array_equal(again(pixels, "infrared"), 2 * expected)
    assert [path.name for path in (tmp_path / "programs").iterdir()] == ["key-cpu"]
