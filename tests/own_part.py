"""A user's file with a part of its own, and a config that has it."""

from jreid.config_files import load

OWN = '''
"""A loss of one's own."""

from __future__ import annotations

from dataclasses import dataclass, field

from jreid.configs.systems import paper
from jreid.data.sysu_mm01 import SysuMM01


@dataclass(slots=True)
class Margin:
    inner: float = 1.0


@dataclass(slots=True)
class Repulsion:
    weight: float = 1.0
    on: str = "features.v2"
    alpha: float = 0.1
    shares: tuple[tuple[str, float], ...] = ()
    pair: tuple[int, float] | None = None
    scales: dict[str, float] = field(default_factory=dict)
    margins: tuple[Margin, ...] = (Margin(), Margin(2.0))
    note: str = field(default="", metadata={"may_differ": True})

    def check(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; allowed is 0 to 1")

    def __call__(self, outputs, batch, rng=None): ...


def get_config():
    config = paper.base(SysuMM01())
    config.objective["repulsion"] = Repulsion(on="features.v1")
    return config
'''


def load_from(folder):
    """The config of the file, which is written into the folder."""
    (folder / "own.py").write_text(OWN)
    return load(str(folder / "own.py"))
