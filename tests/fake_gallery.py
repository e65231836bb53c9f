"""A gallery without a network, of drawn people, as the page's tests use it.

A person is a row of bars, bright or dark, coloured in visible light and grey in
infrared: an embedding is the image's brightness, bar by bar.
"""

import dataclasses
import hashlib
import io
import threading

import numpy as np
from PIL import Image

from jreid.data.grey16 import Grey16
from jreid.search.guard import Recognition
from jreid.search.records import Hit
from jreid.serve.app import make_app
from jreid.serve.hosts import Hosts

BARS = 8
SIZE = (64, 32)
THERMAL = 29000, 31500  # hundredths of a kelvin, of which the high byte has few levels


@dataclasses.dataclass(frozen=True)
class Explanation:
    similarity: float = 0.75
    kind: str = "exact"
    statement: str = "All regions count the same."
    query_map: np.ndarray = dataclasses.field(default_factory=lambda: np.ones((4, 2)))
    gallery_map: np.ndarray = dataclasses.field(default_factory=lambda: np.ones((4, 2)))

    def picture(self):
        return encoded(np.full((40, 60, 3), 90, np.uint8))


class FakeEmbedder:
    fingerprint = "0123456789abcdef"
    dim = BARS
    size = SIZE
    grey16 = Grey16(low=THERMAL[0], high=THERMAL[1])

    def vector(self, image):
        pixels = image
        if isinstance(image, bytes):
            pixels = np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
        bright = [part.mean() for part in np.array_split(pixels.max(axis=-1), BARS)]
        centred = np.asarray(bright) - np.mean(bright) + 1e-3
        return centred / np.linalg.norm(centred)


class FakeGallery:
    """Liked images pull the query, disliked ones push it; `goes_on` delays all."""

    def __init__(self, root):
        self.root, self.embedder = root, FakeEmbedder()
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.asked = []
        self.rows = {}
        for path in sorted(root.rglob("*.png")):
            name = str(path.relative_to(root))
            identity, modality, camera = path.stem.split("_")
            key = hashlib.sha256(name.encode()).hexdigest()[:16]
            row = Hit(key, name, 0.0, None, camera, None, None, modality, identity)
            self.rows[key] = row, self.embedder.vector(path.read_bytes())

    def __len__(self):
        return len(self.rows)

    def info(self):
        return {"images": len(self), "cameras": {"1": 6, "2": 6, "3": 6}}

    def entries(self, offset, limit):
        return [row for row, _ in self.rows.values()][offset : offset + limit]

    def entry(self, key):
        return self.rows[key][0]

    def image_path(self, key):
        return self.root / self.rows[key][0].path

    def query(
        self, images, modality, *, k, liked=(), disliked=(), left_out=(), **options
    ):
        assert self.goes_on.wait(60)
        self.asked.append({"images": images, "modality": modality, "k": k, **options})
        query = np.mean([self.embedder.vector(image) for image in images], axis=0)
        for keys, weight in ((liked, 2.0), (disliked, -2.0)):
            for key in keys:
                query = query + weight * self.rows[key][1]
        query = query / np.linalg.norm(query)
        found = [
            dataclasses.replace(
                row, distance=2 - 2 * float(v @ query), probability=float(v @ query > 0)
            )
            for row, v in self.rows.values()
            if row.key not in {*disliked, *left_out}
        ]
        return sorted(found, key=lambda hit: hit.distance)[:k]


def recognise(pixels):
    grey = pixels.ndim == 2 or bool((np.ptp(pixels, axis=-1) < 3).all())
    kind = ("infrared", "near-infrared") if grey else ("visible", "visible")
    return Recognition(*kind, {"grey": float(grey)}, ("tiny",) if grey else ())


def explain(embedder, query, query_modality, gallery_image, gallery_modality):
    return Explanation()


def person(identity, modality, camera):
    """Pixels of a drawn person; two cameras differ by brightness."""
    bright = np.random.default_rng(identity).permutation(BARS) >= BARS // 2
    rows = np.repeat(np.where(bright, 200, 40) + 5 * camera, SIZE[0] // BARS)
    pixels = np.repeat(rows[:, None, None], SIZE[1], axis=1).repeat(3, axis=2)
    if modality == "visible":
        pixels[..., 1] //= 2
    return pixels.astype(np.uint8)


def thermal():
    """16 bits: the lowest value above, the highest below."""
    values = np.repeat(THERMAL, SIZE[0] // 2)[:, None]
    return values.repeat(SIZE[1], axis=1).astype(np.uint16)


def encoded(pixels, kind="PNG"):
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, kind)
    return written.getvalue()


def make_gallery(root, people=6):
    """Each person by two visible cameras and an infrared one."""
    for identity in range(people):
        for camera, modality in ((1, "visible"), (2, "visible"), (3, "infrared")):
            path = root / f"{identity:04d}_{modality}_{camera}.png"
            path.write_bytes(encoded(person(identity, modality, camera)))
    return FakeGallery(root)


def application(gallery, explain=explain, **options):
    """What serves the gallery, recognising and explaining as said above."""
    return make_app(gallery, recognise, explain, hosts=Hosts(), **options)
