"""The results of a run: scores by its data set's protocol, as tables and pictures."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jreid.config import Config
from jreid.data.datasets import Images
from jreid.evaluation import table
from jreid.evaluation.cmc_plot import save_cmc_plot
from jreid.evaluation.files.ranks_file import write_ranks
from jreid.evaluation.files.results_file import results_json
from jreid.evaluation.rank_lists import (
    RankList,
    all_rank_lists,
    example_rank_lists,
)
from jreid.evaluation.rank_trials import TableProgress
from jreid.evaluation.score import Score
from jreid.evaluation.score_features import (
    check_reranking,
    score_features,
    score_settings,
)
from jreid.progress import counted_tables
from jreid.run.about import about_run
from jreid.run.rank_sheet import save_rank_sheet
from jreid.whole_files import replacing, write_text

Features = dict[str, Float[np.ndarray, "n d"]]  # by name; the first is the headline


def score(
    config: Config,
    features: Features,
    images: Images,
    *,
    reranking: bool,
    progress: TableProgress | None = None,
) -> list[Score]:
    """Scores features by the protocol of the configured data set."""
    return score_features(
        features,
        images,
        config.data.protocol,
        config.evaluation,
        reranking=reranking,
        measure=config.embedding.measure,
        progress=progress,
    )


def check_scorable(config: Config, images: Any) -> None:
    """A dry run of the scores: what would refuse after the training refuses now.

    Args:
        images: with the lists `test` and, where they are evaluated on, `val`.

    Raises:
        ValueError: a list lacks queries or a gallery, or options do not go together.
    """
    check_reranking(config.embedding.measure, reranking=config.evaluation.rerank)
    lists = {"test": images.test} if len(images.test) else {}
    if config.evaluation.every_epochs:
        lists["validation"] = images.val
    for name, part in lists.items():
        alike = {"fused": np.ones((len(part), 1), np.float32)}
        try:
            score(config, alike, part, reranking=False)
        except ValueError as error:
            raise ValueError(f"the {name} images cannot be scored: {error}") from error


def write_report(
    config: Config,
    folder: Path,
    step: int,
    features: Features,
    images: Images,
    tested_on: Any = None,
    about: Mapping[str, Any] | None = None,
) -> list[Score]:
    """Scores the test features and writes tables and pictures into `folder`.

    With `tested_on`, another data set than the run's, the files have its name, and
    that of the variant if `about`, made by `about_run`, has one.
    """
    data = tested_on or config.data
    about = about or about_run(config, step, tested_on)
    files = report_files(folder, tested_on, about.get("variant", ""))
    settings = data.protocol.settings(images, config.evaluation)
    with counted_tables(len(settings) * len(features)) as progress:
        scores = score_settings(
            features,
            images.ids,
            settings,
            data.protocol,
            reranking=config.evaluation.rerank,
            measure=config.embedding.measure,
            progress=progress,
        )
    write_text(files["results"], results_json(scores, about))
    _write_features(files["features"], config, features, images)
    with replacing(files["cmc"]) as temporary:
        save_cmc_plot(temporary, scores)
    headline, vectors = next(iter(features.items()))
    _write_ranks(files["listed"], config, vectors, images, tested_on)
    with replacing(files["ranks"]) as temporary:
        save_rank_sheet(
            temporary,
            example_lists(config, vectors, images, tested_on),
            paths=images.paths,
            ids=images.ids,
            cameras=images.cameras,
            modality=images.modality,
            title=f"{config.name}, step {step}: {headline} feature, not re-ranked",
            read=images.read,
            grey16=images.grey16,
        )
    return scores


def report_files(
    folder: Path, tested_on: Any = None, variant: str = ""
) -> dict[str, Path]:
    """Where `write_report` writes: results, features, CMC plot, ranks as sheet and CSV.

    Another data set, or another way of scoring than the run's own, has its own names.
    """
    other = f"-{variant}" if variant else ""
    if tested_on is not None:
        splits = (str(split) for split in tested_on.protocol.splits)
        other = "".join(f"-{word}" for word in (tested_on.key, *splits)) + other
    names = {
        "results": "results{}.json",
        "features": "features{}.npz",
        "cmc": "cmc{}.png",
        "ranks": "ranks{}.png",
        "listed": "ranks{}.csv",
    }
    return {key: folder / name.format(other) for key, name in names.items()}


def example_lists(
    config: Config, features: np.ndarray, images: Images, tested_on: Any = None
) -> list[RankList]:
    """Rank lists of the first trial; in both directions where the protocol has two."""
    protocol = (tested_on or config.data).protocol
    trials = protocol.example_trials(images, config.evaluation)
    return [
        ranked
        for trial in trials
        for ranked in example_rank_lists(
            features,
            trial,
            ids=images.ids,
            measure=config.embedding.measure,
            queries=-(-config.evaluation.sheet_rows // len(trials)),
        )
    ]


def _write_ranks(
    path: Path,
    config: Config,
    features: np.ndarray,
    images: Images,
    tested_on: Any = None,
) -> None:
    """The ten first images of every query of the first trial of each direction."""
    protocol = (tested_on or config.data).protocol
    lists = itertools.chain.from_iterable(
        all_rank_lists(features, trial, measure=config.embedding.measure)
        for trial in protocol.example_trials(images, config.evaluation)
    )
    with (
        replacing(path) as temporary,
        # File names may hold bytes that are no UTF-8.
        temporary.open("w", encoding="utf-8", errors="surrogateescape") as file,
    ):
        write_ranks(
            file,
            lists,
            paths=images.paths,
            ids=images.ids,
            cameras=images.cameras,
            modality=images.modality,
        )


def _write_features(
    path: Path, config: Config, features: Features, images: Images
) -> None:
    columns: dict[str, Any] = {
        **features,
        "paths": images.paths,
        "ids": images.ids,
        "cameras": images.cameras,
        "modality": images.modality,
        "measure": np.array(config.embedding.measure),
    }
    with replacing(path) as temporary:
        np.savez(temporary, **columns)


def print_report(
    scores: list[Score],
    about: Mapping[str, Any],
    folder: Path,
    tested_on: Any = None,
) -> None:
    """The table, and where results and pictures lie; `about` is from `about_run`."""
    print(f"\n{table.format_table(scores, about)}\n")
    for path in report_files(folder, tested_on, about.get("variant", "")).values():
        if path.exists():  # of a finished run, some may have been deleted
            print(path)
