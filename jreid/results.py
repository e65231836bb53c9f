"""The results of a run: scores by its protocol, as tables, files and pictures."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jreid.config import Config, as_dict
from jreid.data.datasets import INFRARED, VISIBLE, Images
from jreid.evaluation import pictures, protocols, table
from jreid.evaluation.protocols import RankList, Score
from jreid.evaluation.trials import SYSU_GALLERY_CAMERAS, regdb_trial, sysu_trial
from jreid.progress import Progress
from jreid.system import RunImages
from jreid.workdir import write_text

Features = dict[str, np.ndarray]  # name -> float32 [n d], L2-normalised rows


def score(
    config: Config,
    features: Features,
    images: Images,
    *,
    reranking: bool,
    progress: Callable[[str], None] | None = None,
) -> list[Score]:
    """Scores features by the protocol of the configured data set."""
    if config.data.dataset == "regdb":
        return protocols.score_regdb(
            features,
            ids=images.ids,
            modality=images.modality,
            reranking=reranking,
            progress=progress,
        )
    return protocols.score_sysu(
        features,
        ids=images.ids,
        cameras=images.cameras,
        paths=images.paths,
        modes=_modes(images),
        trials=config.evaluation.trials,
        reranking=reranking,
        progress=progress,
    )


def _modes(images: Images) -> tuple[str, ...]:
    """The search modes that the cameras of a small set in SYSU's layout allow."""
    return tuple(
        mode
        for mode, cameras in SYSU_GALLERY_CAMERAS.items()
        if mode == "all" or np.isin(images.cameras, cameras).any()
    )


def check_scorable(config: Config, images: RunImages) -> None:
    """A dry run of the scores: what would refuse after the training refuses now."""
    lists = {"test": images.test}
    if config.evaluation.every_epochs:
        lists["validation"] = images.val
    for name, part in lists.items():
        alike = {"fused": np.ones((len(part), 1), np.float32)}
        try:
            score(config, alike, part, reranking=False)
        except ValueError as error:
            raise ValueError(f"the {name} images cannot be scored: {error}") from error


def write_report(
    config: Config, workdir: Path, step: int, features: Features, images: Images
) -> list[Score]:
    """Scores the test features and writes tables and pictures into `workdir`."""
    settings = 2 if config.data.dataset == "regdb" else 2 * len(_modes(images))
    tables = settings * len(features)
    with Progress(tables, "score", unit="tables") as bar:
        scores = score(
            config,
            features,
            images,
            reranking=config.evaluation.rerank,
            progress=_counter(bar),
        )
        bar.update(tables, "done")
    what = {
        "step": step,
        "feature": config.evaluation.feature,
        "flip": config.evaluation.flip,
        "config": as_dict(config),
    }
    write_text(workdir / "results.json", table.results_json(scores, what))
    _write_features(workdir / "features.npz", features, images)
    pictures.save_cmc_plot(workdir / "cmc.png", scores)
    pictures.save_rank_sheet(
        workdir / "ranks.png",
        _example_lists(config, features["fused"], images),
        paths=images.paths,
        ids=images.ids,
        cameras=images.cameras,
        modality=images.modality,
        title=f"{config.name}, step {step}: fused feature, not re-ranked",
    )
    return scores


def _counter(bar: Progress) -> Callable[[str], None]:
    """Counts the tables begun, which is what the protocols tell."""
    begun = itertools.count()
    return lambda table: bar.update(next(begun), table)


def _example_lists(
    config: Config, features: np.ndarray, images: Images
) -> list[RankList]:
    """Rank lists of one trial; of RegDB in both directions, as in Figure 5."""
    rows = config.evaluation.sheet_rows
    if config.data.dataset == "regdb":
        trials = [regdb_trial(images.modality, m) for m in (VISIBLE, INFRARED)]
    else:
        trials = [
            sysu_trial(
                ids=images.ids, cameras=images.cameras, paths=images.paths, trial=0
            )
        ]
    return [
        ranked
        for trial in trials
        for ranked in protocols.example_rank_lists(
            features, trial, ids=images.ids, queries=-(-rows // len(trials))
        )
    ]


def _write_features(path: Path, features: Features, images: Images) -> None:
    columns: dict[str, Any] = {
        **features,
        "paths": images.paths,
        "ids": images.ids,
        "cameras": images.cameras,
        "modality": images.modality,
    }
    temporary = path.with_name(".features.npz")
    np.savez(temporary, **columns)
    temporary.replace(path)


def print_report(config: Config, scores: list[Score], workdir: Path) -> None:
    """The table, and where results and pictures lie."""
    root = config.data.root
    name = "SynVI, synthetic: not SYSU-MM01 scores" if root == "synvi" else root
    print(f"\n{config.name} on the test identities of {name}\n")
    print(table.format_table(scores))
    for name in ("results.json", "features.npz", "cmc.png", "ranks.png"):
        print(workdir / name)
