"""Small pictures of a run's test images, as parts of the page."""

import io

from jreid.data.datasets import MODALITY_NAMES
from jreid.data.image_file import read_rgb
from jreid.report.html import Markup, element, picture
from jreid.report.run_folder import ReportedRun

_SIZE = (64, 128)  # pixels; their aspect ratio is not kept, as for the network
_QUALITY = 75


class Thumbnails:
    """Made when they are asked for, each once; `failed` are those that cannot be."""

    def __init__(self, run: ReportedRun):
        assert run.table is not None and run.table.paths is not None
        self.run, self.columns = run, run.table
        self.paths = [str(path) for path in run.table.paths.tolist()]
        self.failed: set[str] = set()
        self._made: dict[int, bytes] = {}

    def shot(self, row: int, kind: str, *lines: str) -> Markup:
        """An image in the frame of its kind (query, right, wrong), above its text."""
        path = self.paths[row]
        contents = self._contents(row)
        shown = (
            picture(contents, "jpeg", self._text(row), width="56", height="112")
            if contents
            else element("span", "no picture", class_="none")
        )
        told = Markup("<br>".join(element("span", line) for line in lines))
        mark = {"right": "✓ ", "wrong": "✗ ", "query": ""}[kind]
        bold = [element("b", mark)] if mark else []
        return element("div", shown, *bold, told, class_=f"shot {kind}", title=path)

    def _text(self, row: int) -> str:
        assert self.columns.modality is not None and self.columns.cameras is not None
        modality = MODALITY_NAMES[self.columns.modality[row]]
        return (
            f"{modality} image of person {self.columns.ids[row]}, "
            f"camera {self.columns.cameras[row]}"
        )

    def _contents(self, row: int) -> bytes:
        if row not in self._made:
            try:
                self._made[row] = self._encoded(row)
            except (OSError, ValueError, KeyError):
                self.failed.add(self.paths[row])
                self._made[row] = b""
        return self._made[row]

    def _encoded(self, row: int) -> bytes:
        from PIL import Image

        pixels = read_rgb(self.run.read(self.paths[row]), self.run.grey16)
        small = Image.fromarray(pixels).resize(_SIZE, Image.Resampling.BICUBIC)
        file = io.BytesIO()
        small.save(file, "JPEG", quality=_QUALITY)
        return file.getvalue()
