"""Exports a trained run to PyTorch: model.pth and a model.py that needs only torch.

    python tools/export_torch.py --workdir runs/demo OUT_DIR
    python OUT_DIR/model.py QUERY.jpg --modality infrared --gallery A.jpg B.jpg

`model.pth` is a state dict of tensors; `model.py` holds the network, the preprocessing
and `embed(images, modality)`, whose vectors are the fused embedding of jreid.evaluate.
Before anything is written both programs embed the same images and are compared.
"""

import argparse
import ast
import dataclasses
import pprint
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np

try:
    import torch  # pyright: ignore[reportMissingImports]
except ImportError:
    sys.exit('error: torch is not installed: pip install "jreid[torch]"')

from jreid.config import Config
from jreid.models.embedding import Embedding
from jreid.parts import check, from_json
from jreid.run.checkpoint import Checkpoints
from jreid.run.images import grey16_of_run, read_identities
from jreid.run.workdir import read_config, write_text
from jreid.training.build import build_embed, network_maker, stems
from jreid.training.learner import abstract_params_and_stats, data_mesh
from tools.torch_reference import from_config, network, standalone, weights

LIMIT = 1e-4  # allowed difference of the two programs' unit vectors


HEAD = '''"""Person re-identification in PyTorch: {name}, exported from jreid.

    python model.py QUERY.jpg --modality infrared --gallery A.jpg B.jpg

`embed(images, modality)` gives unit vectors, whose products are cosine similarities;
the weights are in model.pth beside this file. Needs torch, and Pillow to read images.
"""

'''


def export(workdir: Path, out: Path, step: int | None = None) -> str:
    """Writes `out`/model.pth and model.py; returns what it did, in a line or two.

    Args:
      workdir: of the run.
      out: created if missing.
      step: of the checkpoint; None is the newest.

    Raises:
      ValueError, OSError: there is no such run or checkpoint, it is damaged, or the
        PyTorch network does not embed as the run does.
    """
    config = from_json(read_config(workdir))
    config.precision = "float32"  # in which an exported network computes
    check(config)
    classes = len(read_identities(workdir))
    make_network = network_maker(config, classes)
    params, stats = abstract_params_and_stats(make_network, data_mesh())
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        step = checkpoints.latest_step() if step is None else step
        state = checkpoints.restore({"params": params, "stats": stats}, step)
    exported = from_config.build_network(config, classes)
    trees = state["params"], state["stats"]
    exported.load_state_dict(weights.to_state_dict(*trees, exported.state_dict()))
    embed = build_embed(config, classes)
    difference = compare(config, embed, trees, exported.eval())
    out.mkdir(parents=True, exist_ok=True)
    _save(out / "model.pth", exported.state_dict())
    arguments = from_config.network_arguments(config, classes)
    arguments["branches"] = [dataclasses.asdict(b) for b in arguments["branches"]]
    grey16 = {"grey16": dataclasses.asdict(grey16_of_run(config, workdir))}
    how = embedding(config) | grey16
    text = source(arguments, how, f"{config.name}, step {step}")
    write_text(out / "model.py", text)
    size = (out / "model.pth").stat().st_size / 1e6
    return (
        f"{out / 'model.pth'}: {size:.1f} MB, step {step} of {workdir}\n"
        f"{out / 'model.py'}: embeds within {difference:.1e} of jreid"
    )


def embedding(config: Config) -> dict[str, Any]:
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


def compare(config, embed, trees, exported: network.TwoStreamNetwork) -> float:
    """Largest difference of the fused embeddings of random images.

    Raises:
      ValueError: it is above LIMIT.
    """
    how = embedding(config)
    options = {"feature": how["feature"], "flip": how["flip"]}
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, how["height"], how["width"], 3), np.uint8)
    pixels = network.normalise(torch.from_numpy(images).permute(0, 3, 1, 2))
    difference = 0.0
    for modality in network.STREAMS:
        ours = np.asarray(embed(*trees, jnp.asarray(images), modality)["fused"])
        with torch.no_grad():
            theirs = network.fused_embedding(exported, pixels, modality, **options)
        difference = max(
            difference, float(np.abs(ours - theirs["fused"].numpy()).max())
        )
    if not difference <= LIMIT:
        raise ValueError(
            f"the exported network's embeddings differ by {difference:.1e} from the "
            f"run's, more than {LIMIT}; nothing was written"
        )
    return difference


def source(arguments: dict[str, Any], how: dict[str, Any], name: str) -> str:
    """The text of model.py: network.py, then standalone.py, with their settings."""
    imports, bodies = [], []
    for module in (network, standalone):
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
    """Its source after docstring and imports; and the imports from outside tools."""
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
    return str(statement.module).startswith("tools.")


def _save(path: Path, state_dict: dict[str, torch.Tensor]) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        temporary = Path(file.name)
    try:
        torch.save(state_dict, temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    """The program; returns its exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--workdir", type=Path, required=True, help="the run's folder")
    parser.add_argument("--step", type=int, help="this checkpoint, not the newest")
    given = parser.parse_args(arguments)
    try:
        print(export(given.workdir, given.out, given.step))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
