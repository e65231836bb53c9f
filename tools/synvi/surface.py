"""One mesh of what is rendered, with its kind and the fields over it."""

from dataclasses import dataclass

import numpy as np

# What a mesh is; `fabric.materials` has a rule for each.
BODY, SHOES, DRAPE_TOP, DRAPE_BOTTOM, HAIRPIECE, HEADGEAR, HOOD, LUGGAGE = range(8)


@dataclass(frozen=True)
class Surface:
    """A mesh of one kind: vertices [v, 3] metres, faces [f, 3], fields [v, FIELDS].

    `bone` names the bone a worn thing moves with; None where it is already posed.
    """

    kind: int
    vertices: np.ndarray
    faces: np.ndarray
    fields: np.ndarray
    bone: str | None = None
