"""Cameras, and the map of the embeddings."""

from collections.abc import Sequence

import numpy as np

from jreid.data.datasets import MODALITY_NAMES
from jreid.evaluation.camera_matrix import CameraMatrix, camera_matrix
from jreid.evaluation.embedding_map import Method, embedding_map
from jreid.evaluation.measures import sides
from jreid.evaluation.spread import spread_over_people
from jreid.report.charts import COLOURS, scatter_chart
from jreid.report.html import Markup, element, figure, note, section, table
from jreid.report.run_folder import ReportedRun

MOST_POINTS = 1000
_SHORT = ("VIS", "IR")
_METHODS = {"pca": "principal components", "tsne": "t-SNE"}


def camera_section(runs: Sequence[ReportedRun]) -> Markup:
    """A matrix of R-1 for each run: a row is a camera of queries."""
    panels = []
    for run in runs:
        columns = run.table
        if columns is None or columns.cameras is None or columns.modality is None:
            continue
        matrix = camera_matrix(
            run.headline,
            ids=columns.ids,
            cameras=columns.cameras,
            modality=columns.modality,
            measure=columns.measure,
        )
        panels.append(figure(run.name, _matrix(matrix), class_="plain"))
    if not panels:
        return Markup("")
    return section(
        "cameras",
        "Cameras",
        note(
            "R-1 in percent: the share of a camera's images (rows) whose nearest image "
            "in another camera (columns) shows the same person. All images of the two "
            "cameras, so not the protocol's numbers; small: how many queries have "
            "their person there."
        ),
        element("div", *panels, class_="two"),
    )


def _matrix(matrix: CameraMatrix) -> Markup:
    names = [f"{camera} {_SHORT[modality]}" for camera, modality in matrix.cameras]
    rows = []
    for i, name in enumerate(names):
        cells = []
        for j in range(len(names)):
            value = matrix.rank1[i, j]
            text = "·" if np.isnan(value) else f"{100 * value:.0f}"
            count = "" if np.isnan(value) else f"{matrix.queries[i, j]}"
            share = 0 if np.isnan(value) else value
            cells.append(
                Markup(
                    f'<div style="--share:{share:.2f}" class="heat">{text}'
                    f"<small>{count}</small></div>"
                )
            )
        rows.append([name, *cells])
    return table(["query \\ gallery", *names], rows)


def map_section(runs: Sequence[ReportedRun], method: Method) -> Markup:
    """The embeddings in a plane, a few people coloured."""
    panels = [_map(run, method) for run in runs if run.table is not None]
    if not panels:
        return Markup("")
    about = (
        "Near points are near embeddings; axes and the distances of far points mean "
        "nothing."
        if method == "tsne"
        else "The two directions of largest variance, of many: points that are near "
        "here may be far apart."
    )
    shapes = element(
        "ul",
        *(
            element("li", element("span", class_=f"key mark {kind}"), name)
            for name, kind in zip(MODALITY_NAMES, ("circle", ""), strict=True)
        ),
        element("li", f"coloured: {COLOURS} people; grey: all others"),
        class_="legend",
    )
    return section(
        "map",
        "Map of the embeddings",
        note(f"By {_METHODS[method]}. {about}"),
        shapes,
        element("div", *panels, class_="grid2"),
    )


def _map(run: ReportedRun, method: Method) -> Markup:
    columns = run.table
    assert columns is not None and columns.modality is not None
    rows = spread_over_people(columns.ids, columns.modality, MOST_POINTS)
    kept = rows[np.lexsort([columns.modality[rows], columns.ids[rows]])]
    vectors = sides(run.headline, columns.measure).query[kept]
    ids, modality = columns.ids[kept], columns.modality[kept]
    colours = _coloured(ids, modality)
    points = embedding_map(vectors, method)
    kinds = [f"dot c{colours[i]}" if i in colours else "other" for i in ids.tolist()]
    titles = [
        f"person {person}, {MODALITY_NAMES[m]}"
        for person, m in zip(ids.tolist(), modality.tolist(), strict=True)
    ]
    # Coloured points lie above the others.
    above = np.argsort([kind != "other" for kind in kinds], kind="stable")
    chart = scatter_chart(
        points[above],
        [kinds[i] for i in above],
        [bool(modality[i]) for i in above],
        [titles[i] for i in above],
        f"map of {len(kept)} embeddings",
    )
    left = len(columns.ids) - len(kept)
    of = f"{len(kept)} images" + (f", {left} others left out" if left else "")
    return figure(Markup(element("span", run.name) + element("small", of)), chart)


def _coloured(ids: np.ndarray, modality: np.ndarray) -> dict[int, int]:
    """A colour for a few people who are seen in both modalities, evenly spread."""
    both = np.intersect1d(ids[modality == 0], ids[modality == 1])
    both = both if both.size else np.unique(ids)
    chosen = np.unique(np.linspace(0, len(both) - 1, COLOURS).astype(int))
    return {int(both[i]): colour for colour, i in enumerate(chosen)}
