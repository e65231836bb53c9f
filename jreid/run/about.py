"""What a run's scores are of: the head of results.json, printed above the table."""

from typing import Any

from jreid.config import Config
from jreid.config_hash import config_hash
from jreid.config_json import to_json
from jreid.evaluation.files.results_file import about_scores, feature_in_words


def about_run(
    config: Config,
    step: int | None,
    tested_on: Any = None,
    content: str = "",
    variant: str = "",
) -> dict[str, Any]:
    """The head of a run's scores.

    Args:
        config: of the run, as it is scored.
        step: of the checkpoint; None for means over several.
        tested_on: the data set of the test images; None: that of the config.
        content: fingerprint of the test images' names and contents, if it is known.
        variant: how it was scored, if not by the run's own protocol.
    """
    more = {"test_content": content, "variant": variant}
    data = tested_on or config.data
    embedding = config.embedding
    return about_scores(
        config.name,
        step=step,
        feature=kind_of_feature(config),
        flip=embedding.flip,
        measure=embedding.measure,
        config_hash=config_hash(config),
        dataset=data.key,
        root=data.root or getattr(data, "tfds", ""),
        split=getattr(data, "split", 0) or None,  # 0 stands for all splits of RegDB
        trained_on=tested_on and config.data.key,
        config=to_json(config),
        **{name: value for name, value in more.items() if value},
    )


def kind_of_feature(config: Config) -> str:
    """Which vectors stand for an image: "features", "embeddings", or both in words."""
    return feature_in_words(config.embedding.features, config.embedding.embeddings)
