"""Scores trained runs, or any model's features: `python -m jreid.evaluate`.

    runs/sysu                               a run, on its test identities
    'runs/regdb-*'                          RegDB's splits, a run each, and their mean
    runs/sysu-seed*                         one config from several seeds: their mean
    runs/sysu --dataset regdb --root RegDB  a run on another data set
    --features features.npz --protocol sysu     features from elsewhere
    --compare runs/a runs/b paper           scores side by side

Scoring features and comparing need NumPy, SciPy and tyro only; JAX is imported for
runs.
"""

import os
import sys

from jreid import stopping

if __name__ == "__main__":
    stopping.end_quietly()  # while all else is imported
    # NumPy asks for huge pages in large arrays; a virtual machine may take 3 s to give
    # 1 GB of them, and takes a fifth of that for small ones.
    os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")

from jreid.command_line import parse  # noqa: E402
from jreid.ending import exit_code  # noqa: E402
from jreid.evaluate_options import OF_GALLERIES, Options, way_of  # noqa: E402

PROGRAM = "python -m jreid.evaluate"


def score_features(options: Options) -> None:
    """Scores features from elsewhere, or a folder of embeddings."""
    from jreid.evaluation.files import evaluate_features as features  # imports SciPy
    from jreid.evaluation.files.embeddings_folder import read_labels
    from jreid.evaluation.protocols.by_key import PROTOCOLS

    if options.labels is not None and options.dataset is not None:
        raise ValueError("--labels and --dataset are given: leave one out")
    if options.dataset is None and options.root is not None:
        raise ValueError("--root of features goes with --dataset")
    protocol, labels = options.protocol, None
    if options.labels is not None:
        listed = read_labels(options.labels)
        labels = lambda *_: listed  # noqa: E731
    elif options.dataset is not None:
        from jreid.data.embedding_labels import DataSetLabels

        if options.root is None:
            raise ValueError(
                f"--dataset {options.dataset} of features needs --root, the folder "
                "whose images were embedded"
            )
        labels = DataSetLabels(options.dataset, options.root)
        protocol = protocol or labels.protocol
    if protocol is None:
        raise ValueError(f"--features needs --protocol, one of {', '.join(PROTOCOLS)}")
    given = features.FeatureOptions(
        protocol,
        options.given("modes", "shots", "split", *OF_GALLERIES),
        kinds=options.kinds,
        reranking=not options.no_rerank,
        labels=labels,
    )
    features.evaluate_features(options.features, given, options.out)


def score_runs(options: Options) -> None:
    """Scores runs, for which the whole of jreid is needed."""
    try:
        from jreid.run.evaluate_runs import evaluate_runs

        evaluate_runs(options)
    except ModuleNotFoundError as error:
        if options.traceback:
            raise
        raise ValueError(
            f"scoring a run needs the whole of jreid, pip install jreid: {error}"
        ) from error


def score(arguments: list[str]) -> None:
    """Scores in the way asked for."""
    options = parse(Options, PROGRAM, arguments, __doc__ or "")
    way = way_of(options)
    if way == "compare":
        from jreid.evaluation import compare

        print(compare.compare([compare.load_entry(name) for name in options.compare]))
    elif way == "features":
        score_features(options)
    else:
        score_runs(options)


def main(arguments: list[str]) -> int:
    """The exit code; an error becomes one line and code 2."""
    smaller = (
        "With --config.evaluation.batch_size= the command of the training scores a "
        "finished run, and fewer images are embedded at once"
    )
    return exit_code(score, arguments, smaller)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
