"""A trained run as a PyTorch program: model.pth and a model.py that needs only torch.

`model.pth` is a state dict of tensors; `model.py` holds the network, the preprocessing
and `embed(images, modality)`, whose vectors are the fused embedding of jreid.evaluate.
Before anything is written both programs embed the same images and are compared.
"""

import ast
import dataclasses
import pprint
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from jreid.config import Config
from jreid.data.datasets import MODALITY_NAMES
from jreid.export.embedding import Network, largest_difference
from jreid.export.torch_network import (
    from_config,
    head,
    network,
    resnet,
    standalone,
    weights,
)
from jreid.models.embedding import Embedding
from jreid.run.frozen import FrozenRun
from jreid.training.build import stems
from jreid.whole_files import replacing, write_text

HEAD = '''"""Person re-identification in PyTorch: {name}, exported from jreid.

    python model.py QUERY.jpg --modality infrared --gallery A.jpg B.jpg

`embed(images, modality)` gives unit vectors, whose products are cosine similarities;
the weights are in model.pth beside this file. Needs torch, and Pillow to read images.
"""

'''


MODULES = (resnet, head, network, standalone)  # each after what it imports


def export(run: FrozenRun, ours: Network, out: Path) -> float:
    """Writes `out`/model.pth and model.py; returns the largest difference to jreid's.

    Args:
      run: in float32.
      ours: its network.
      out: a folder, created if missing.

    Raises:
      ValueError, OSError: the run embeds in a way that the exported module has not, or
        the PyTorch network does not embed as the run does.
    """
    config = run.config
    how = embedding(config, run.kind)
    exported = from_config.build_network(config, run.network.classes)
    state = weights.to_state_dict(ours.params, ours.stats, exported.state_dict())
    exported.load_state_dict(state)
    difference = largest_difference(ours, _embed(exported.eval(), how))
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "model.pth") as temporary:
        torch.save(exported.state_dict(), temporary)
    arguments = from_config.network_arguments(config, run.network.classes)
    arguments["branches"] = [dataclasses.asdict(b) for b in arguments["branches"]]
    how |= {"grey16": dataclasses.asdict(run.grey16)}
    text = source(arguments, how, f"{config.name}, step {run.network.step}")
    write_text(out / "model.py", text)
    return difference


def embedding(config: Config, kind: str) -> dict[str, Any]:
    """How the run embeds images.

    Raises:
      ValueError: in a way that the exported module has not.
    """
    part = config.embedding
    known = Embedding(
        features=part.features, embeddings=part.embeddings, flip=part.flip
    )
    if part != known or (part.features and part.embeddings):
        raise ValueError(
            f"config.embedding is {part!r}; an exported network gives features or "
            "embeddings of all branches, each of length 1, compared by their cosine"
        )
    if kind != "fused":
        raise ValueError(
            f"the kind is {kind!r}; an exported PyTorch network gives the fused vectors"
        )
    if any(stem != modality for modality, stem in stems(config.views).items()):
        raise ValueError(
            f"config.views have the stems {stems(config.views)}; an exported network "
            "has one of each modality's name"
        )
    return {
        "height": config.size[0],
        "width": config.size[1],
        "resize": config.resize,
        "feature": "features" if part.features else "embeddings",
        "flip": part.flip,
    }


def _embed(exported: network.TwoStreamNetwork, how: dict[str, Any]):
    options = {"feature": how["feature"], "flip": how["flip"]}

    def embed(images, modality):
        pixels = network.normalise(torch.from_numpy(images).permute(0, 3, 1, 2))
        name = MODALITY_NAMES[int(modality)]
        with torch.no_grad():
            made = network.fused_embedding(exported, pixels, name, **options)
        return np.asarray(made["fused"])

    return embed


def source(arguments: dict[str, Any], how: dict[str, Any], name: str) -> str:
    """The text of model.py: the modules one after the other, with their settings."""
    imports, bodies = [], []
    for module in MODULES:
        body, needed = _body_and_imports(module)
        bodies.append(body)
        imports += needed
    # A name is whatever a config says: it must not end the docstring.
    head = HEAD.format(name=re.sub(r"[^\w .,:-]", "_", name))
    text = "\n\n".join([head + _import_lines(imports), *bodies])
    for constant, value in (("NETWORK", arguments), ("EMBEDDING", how)):
        literal = pprint.pformat(value, width=80, sort_dicts=False)
        empty = f"{constant}: dict[str, Any] = {{}}\n"
        assert text.count(empty) == 1
        text = text.replace(empty, f"{constant}: dict[str, Any] = {literal}\n")
    return text


def _body_and_imports(
    module: ModuleType,
) -> tuple[str, list[ast.Import | ast.ImportFrom]]:
    """Its source after docstring and imports; and the imports from outside jreid."""
    assert module.__file__ is not None
    text = Path(module.__file__).read_text()
    statements = ast.parse(text).body
    imports = [s for s in statements if isinstance(s, ast.Import | ast.ImportFrom)]
    needed = [s for s in imports if not (isinstance(s, ast.ImportFrom) and _is_own(s))]
    lines = text.splitlines(keepends=True)
    return "".join(lines[imports[-1].end_lineno :]).strip("\n") + "\n", needed


def _import_lines(statements: Sequence[ast.Import | ast.ImportFrom]) -> str:
    """One line for each module, torch's after the standard library's."""
    names: dict[str, set[str]] = {}
    lines = {ast.unparse(s) for s in statements if isinstance(s, ast.Import)}
    for statement in statements:
        if isinstance(statement, ast.ImportFrom):
            imported = {alias.name for alias in statement.names}
            names.setdefault(str(statement.module), set()).update(imported)
    lines |= {f"from {m} import {', '.join(sorted(n))}" for m, n in names.items()}

    def place(line: str) -> tuple[bool, bool, str]:
        return line.split()[1].startswith("torch"), line.startswith("from"), line

    return "\n".join(sorted(lines, key=place)) + "\n"


def _is_own(statement: ast.ImportFrom) -> bool:
    return str(statement.module).startswith("jreid.")
