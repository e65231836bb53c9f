"""Check of the weights to begin with: whole, and made of the published file."""

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jreid.doctor.finding import Finding, training
from jreid.doctor.permission import no_permission
from jreid.run.published_weights import PUBLISHED, commands
from jreid.run.workdir import saved_steps

NAME = "weights"
DIGITS = 12  # of a SHA-256 that are shown


def check_weights(pretrained: str, kind: int | str) -> Finding:
    """What a config's `pretrained` names.

    Args:
        pretrained: a file or a run's folder; "" for random weights.
        kind: the depth of the ResNet that a missing file would be for, or the
            transformer; see `published_weights`.
    """
    if not pretrained:
        return Finding("ok", NAME, "random, as the config says")
    path = Path(pretrained).expanduser()
    if path.is_dir():
        return _run(path)
    remedy = training("pretrained=")  # random ones
    if kind in PUBLISHED:
        remedy = "\n".join(commands(path, kind))
    try:
        about, digest = _read(path), _sha256(path)
    except FileNotFoundError:
        return Finding("fail", NAME, f"{path} is missing", remedy)
    except PermissionError:
        return no_permission(NAME, path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        return Finding("fail", NAME, f"{path} is not whole: {error}", remedy)
    source, of_source = about.get("source", ""), str(about.get("source_sha256", ""))
    words = f"{path}, SHA-256 {digest[:DIGITS]}, from {source or 'an unknown file'}"
    begins = re.search(r"-([0-9a-f]{8})\.", source)
    if begins and not of_source.startswith(begins[1]):
        words += f", whose SHA-256 {of_source[:8]} should begin with {begins[1]}"
        return Finding("fail", NAME, words, remedy)
    if begins:
        words += f" (SHA-256 {of_source[:8]}, as its name says)"
    return Finding("ok", NAME, words)


def check_run_weights(record: Mapping[str, Any]) -> Finding:
    """Whether a run's weights, by its pretrained.json, are still where they were."""
    path, digest = Path(str(record.get("path"))), str(record.get("sha256"))
    words = f"the run began with {path}, SHA-256 {digest[:DIGITS]}"
    if path.is_dir() or not path.exists():  # another run's, or moved: not needed again
        return Finding("ok", NAME, words)
    if _sha256(path) != digest:
        return Finding("ok", NAME, f"{words}; another file is there now")
    return Finding("ok", NAME, f"{words}, which is there")


def _run(folder: Path) -> Finding:
    steps = saved_steps(folder / "checkpoints")
    if steps:
        return Finding("ok", NAME, f"step {steps[-1]} of the run {folder}")
    words = f"{folder} is a folder without a checkpoint"
    return Finding("fail", NAME, words, f"ls {folder}/checkpoints")


def _read(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as file:
        if damaged := file.testzip():
            raise ValueError(f"its entry {damaged} is damaged")
    with np.load(path, allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
    if not isinstance(about, dict):
        raise ValueError("its entry 'about' is no record")
    return about


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
