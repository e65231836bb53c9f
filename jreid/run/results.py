"""The results of a run: scores by its protocol, as tables, files and pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jreid.config import Config
from jreid.data.datasets import INFRARED, VISIBLE, Images
from jreid.evaluation import pictures, protocols, table
from jreid.evaluation.official_draw import read_permutations, shipped_draw
from jreid.evaluation.protocols import RankList, Score
from jreid.evaluation.score_settings import TableProgress
from jreid.evaluation.trials import (
    llcm_trial,
    regdb_trial,
    sysu_modes,
    sysu_shots,
    sysu_trial,
)
from jreid.progress import counted_tables
from jreid.run.about import about_run
from jreid.run.workdir import replacing, write_text
from jreid.system import RunImages

Features = dict[str, np.ndarray]  # name -> float32 [n d], L2-normalised rows


def score(
    config: Config,
    features: Features,
    images: Images,
    *,
    reranking: bool,
    progress: TableProgress | None = None,
) -> list[Score]:
    """Scores features by the protocol of the configured data set."""
    evaluation = config.evaluation
    options: dict[str, Any] = {
        "ids": images.ids,
        "reranking": reranking,
        "progress": progress,
    }
    if config.data.dataset == "regdb":
        return protocols.score_regdb(
            features, modality=images.modality, trial=config.data.trial, **options
        )
    if config.data.dataset == "folder":
        return protocols.score_custom(
            features, modality=images.modality, cameras=images.cameras, **options
        )
    options |= {
        "cameras": images.cameras,
        "paths": images.paths,
        "trials": evaluation.trials,
    }
    if config.data.dataset == "llcm":
        return protocols.score_llcm(
            features, modality=images.modality, legacy=evaluation.legacy, **options
        )
    if evaluation.permutations:
        options["permutations"] = read_permutations(evaluation.permutations)
    return protocols.score_sysu(
        features,
        modes=sysu_modes(images.cameras),
        shots=sysu_shots(evaluation.draw, evaluation.permutations),
        draw=evaluation.draw,
        **options,
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
    config: Config, folder: Path, step: int, features: Features, images: Images
) -> list[Score]:
    """Scores the test features and writes tables and pictures into `folder`."""
    tables = _settings(config, images) * len(features)
    with counted_tables(tables) as progress:
        scores = score(
            config,
            features,
            images,
            reranking=config.evaluation.rerank,
            progress=progress,
        )
    what = about_run(config, step)
    write_text(folder / "results.json", table.results_json(scores, what))
    _write_features(folder / "features.npz", features, images)
    with replacing(folder / "cmc.png") as temporary:
        pictures.save_cmc_plot(temporary, scores)
    with replacing(folder / "ranks.png") as temporary:
        pictures.save_rank_sheet(
            temporary,
            example_lists(config, features["fused"], images),
            paths=images.paths,
            ids=images.ids,
            cameras=images.cameras,
            modality=images.modality,
            title=f"{config.name}, step {step}: fused feature, not re-ranked",
            read=images.read,
        )
    return scores


def _settings(config: Config, images: Images) -> int:
    evaluation = config.evaluation
    if config.data.dataset == "sysu_mm01":
        shots = sysu_shots(evaluation.draw, evaluation.permutations)
        return len(sysu_modes(images.cameras)) * len(shots)
    return 2  # both directions


def example_lists(
    config: Config, features: np.ndarray, images: Images
) -> list[RankList]:
    """Rank lists of the first trial; in both directions where the protocol has two."""
    rows, legacy = config.evaluation.sheet_rows, config.evaluation.legacy
    columns: dict[str, Any] = {
        "ids": images.ids,
        "cameras": images.cameras,
        "paths": images.paths,
    }
    if config.data.dataset == "sysu_mm01":
        official = None
        if config.evaluation.draw == "official":
            given = config.evaluation.permutations
            official = read_permutations(given) if given else shipped_draw()
        trials = [sysu_trial(**columns, trial=0, official=official)]
    elif config.data.dataset == "llcm":
        columns["modality"] = images.modality
        trials = [
            llcm_trial(
                **columns,
                trial=0,
                query_modality=modality,
                swapped=legacy and modality == VISIBLE,
            )
            for modality in (INFRARED, VISIBLE)
        ]
    else:
        trials = [regdb_trial(images.modality, m) for m in (VISIBLE, INFRARED)]
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
    with replacing(path) as temporary:
        np.savez(temporary, **columns)


def print_report(scores: list[Score], what: Mapping[str, Any], folder: Path) -> None:
    """The table, and where results and pictures lie; `what` is from `about_run`."""
    print(f"\n{table.format_table(scores, what)}\n")
    for name in ("results.json", "features.npz", "cmc.png", "ranks.png"):
        print(folder / name)
