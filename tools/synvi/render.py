"""From a dressed person and a camera to an image: rays, light, sensor."""

import numpy as np
from embreex import rtcore, rtcore_scene  # pyright: ignore[reportMissingImports]
from embreex.mesh_construction import (  # pyright: ignore[reportMissingImports]
    TriangleMesh,
)
from scipy import ndimage

from synvi.fabric import materials
from synvi.gait import stride
from synvi.outfit import Outfit
from synvi.scene import occluder
from synvi.view import View

RAYS = 2  # per pixel and axis: borders of garments come out smooth


class Subject:
    """A person ready to be photographed: body prepared, outfit sewn."""

    def __init__(self, body, person):
        self.body, self.person = body, person
        self.rest = body.rest(person.shape)
        self.outfit = Outfit(body, person, self.rest)
        self.identity = self.outfit.clothe(body.identity(person.shape))

    def photograph(self, camera, place, rng, height, width, *, turn, occluded):
        """One image, uint8 [height, width, 3]; infrared ones have equal channels.

        `place` is the camera's `Place`; `rng` decides pose, view, light and noise;
        `turn` is the standard deviation, in degrees, from the side that the camera
        usually sees, `occluded` the probability that something stands in front.
        """
        turns = stride(self.person.gait, rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1))
        posed = self.body.pose(self.identity, self.rest, turns)
        mesh = _Mesh(self.outfit.surfaces(posed), camera.yaw + rng.normal(0, turn))
        view, light = View(camera, mesh.vertices, rng), Light(camera, rng)
        picture = _backdrop(view.rays(height, width), place, light, mesh, rng)
        picture = picture.reshape(height, width, 3).repeat(RAYS, 0).repeat(RAYS, 1)
        fine = picture.reshape(-1, 3)
        rays = view.rays(height * RAYS, width * RAYS)
        _draw_person(fine, rays, mesh, self.person, light, rng)
        picture = fine.reshape(height, RAYS, width, RAYS, 3).mean((1, 3))
        if rng.random() < occluded:
            mask, front = occluder(rng, height, width)
            if camera.infrared:
                front = front.mean(-1, keepdims=True)
            picture += mask[..., None] * (front - picture)
        return _sense(picture, camera, rng)


class Light:
    """Day or lamp light for visible cameras, a lamp beside the lens for infrared."""

    def __init__(self, camera, rng):
        self.camera = camera
        toward = np.array((rng.normal(0, 0.6), -0.7, 0.9))
        self.toward = toward / np.linalg.norm(toward)
        self.strength = rng.uniform(0.75, 1.15)
        self.tint = rng.normal(1, 0.035, 3)
        self.spot = rng.uniform(1.0, 2.8)

    def on(self, normals, rays, beyond):
        """Irradiance [n, 3] or [n, 1] of points seen by `rays`.

        `normals` [n, 3] unit; `beyond` [n] metres behind the person, or 0.
        """
        facing = np.abs((normals * rays.directions).sum(1))
        if self.camera.infrared:
            reach = 1 + beyond / self.camera.distance
            spot = np.exp(-self.spot * rays.radius**2)
            lit = 1.15 * (0.3 + 0.7 * facing) * spot / reach**1.6
            return (self.strength * lit)[:, None]
        sky = 0.5 + 0.5 * normals[:, 2]
        direct = (normals @ self.toward).clip(0)
        diffuse = 0.45 + 0.3 * sky + 0.25 * facing
        sunlit = 0.35 + 0.15 * sky + 0.75 * direct
        lit = diffuse + self.camera.daylight * (sunlit - diffuse)
        return self.strength * lit[:, None] * self.tint


class _Mesh:
    """All surfaces as one, turned by `yaw` degrees and standing on the ground."""

    def __init__(self, surfaces, yaw):
        starts = np.cumsum([0] + [len(s.vertices) for s in surfaces[:-1]])
        vertices = np.concatenate([s.vertices for s in surfaces])
        faces = [s.faces + i for s, i in zip(surfaces, starts, strict=True)]
        self.faces = np.concatenate(faces)
        self.fields = np.concatenate([s.fields for s in surfaces])
        kinds = [np.full(len(s.faces), s.kind) for s in surfaces]
        self.kinds = np.concatenate(kinds)  # per face
        c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
        vertices = vertices @ np.array(((c, s, 0), (-s, c, 0), (0, 0, 1)))
        vertices[:, 2] -= vertices[:, 2].min()
        self.vertices = vertices
        a, b, c = (vertices[self.faces[:, i]] for i in range(3))
        across = np.repeat(np.cross(b - a, c - a), 3, 0)
        sums = [np.bincount(self.faces.ravel(), n, len(vertices)) for n in across.T]
        self.normals = _unit(np.stack(sums, 1))


def _unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)


def _cast(mesh, rays):
    """First hits of all rays: which rays, faces, barycentric weights [n, 3]."""
    scene = rtcore_scene.EmbreeScene(rtcore.EmbreeDevice())
    TriangleMesh(scene, mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32))
    directions = rays.directions.astype(np.float32)
    origins = np.tile(rays.origin.astype(np.float32), (len(directions), 1))
    found = scene.run(origins, directions, output=1)
    hit = np.flatnonzero(found["primID"] >= 0)
    u, v = found["u"][hit], found["v"][hit]
    return hit, found["primID"][hit], np.stack([1 - u - v, u, v], 1)


def _draw_person(picture, rays, mesh, person, light, rng):
    """Write the radiance of the person into `picture` [rays, 3]."""
    hit, face, weights = _cast(mesh, rays)
    corners = mesh.faces[face]
    fields = np.einsum("nk,nkd->nd", weights, mesh.fields[corners])
    normals = np.einsum("nk,nkd->nd", weights, mesh.normals[corners])
    normals = _unit(normals + _wrinkles(fields, rng))
    seen = type(rays)(rays.origin, rays.directions[hit], rays.radius[hit])
    normals[(normals * seen.directions).sum(1) > 0] *= -1  # cloth has two sides
    chosen = materials(person, mesh.kinds[face], fields)
    if light.camera.infrared:
        colour = np.repeat(person.infrared[chosen][:, None], 3, 1)
    else:
        colour = person.visible[chosen]
    picture[hit] = colour * light.on(normals, seen, 0.0)


def _wrinkles(fields, rng):
    """Small tilts of the normals [n, 3], as folds of cloth make."""
    waves, phase = rng.normal(0, 28, (3, 3)), rng.uniform(0, 2 * np.pi, 3)
    return 0.16 * np.sin(fields[:, :3] @ waves + phase)


def _backdrop(rays, place, light, mesh, rng):
    """Ground with the person's soft shadow, and the wall behind, [rays, 3]."""
    camera, directions = light.camera, rays.directions
    ground = -rays.origin[2] / np.minimum(directions[:, 2], -1e-6)
    wall = (camera.wall - rays.origin[1]) / directions[:, 1]
    on_wall = wall < ground
    points = rays.origin + np.minimum(wall, ground)[:, None] * directions
    x, y, z = points.T
    x = x + rng.uniform(-20, 20)  # people stand at different places before the wall
    colour = np.where(on_wall[:, None], place.wall(x, z), place.ground(x, y))
    feet = mesh.vertices[mesh.vertices[:, 2] < 0.06, :2]
    feet = feet.min(0), feet.mean(0), feet.max(0)
    away = [((points[:, :2] - foot) ** 2).sum(1) for foot in feet]
    shadow = np.where(on_wall, 1, 1 - 0.6 * np.exp(-np.minimum.reduce(away) / 0.03))
    normals = np.where(on_wall[:, None], (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))
    if camera.infrared:
        colour = np.repeat(1.1 * colour.mean(1, keepdims=True), 3, 1)
    return colour * light.on(normals, rays, y.clip(0)) * shadow[:, None]


def _sense(picture, camera, rng):
    """Lens blur, exposure, noise and rounding: uint8 [h, w, 3]."""
    blur = rng.uniform(0.3, 0.9) * len(picture) / 128
    picture = ndimage.gaussian_filter(picture, (blur, blur, 0))
    gamma = rng.uniform(0.75, 0.95)
    picture = picture.clip(0, 1.2) ** gamma * rng.uniform(0.9, 1.05)
    noise = rng.uniform(0.004, 0.016)
    if camera.infrared:
        grain = rng.normal(0, noise * 1.3, picture.shape[:2])[..., None]
        picture = picture * 0.9 + rng.uniform(0.0, 0.06) + grain
    else:
        picture = picture + rng.normal(0, noise, picture.shape)
    return np.uint8(np.round(picture.clip(0, 1) * 255))
