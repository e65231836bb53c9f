"""Classifiers of the modalities' own, on one embedding (MAC, MACE, MPANet, SAAI)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class ModalityClassifier:
    """A linear classifier without bias for each modality; each row meets its own."""

    init: Literal["normal", "uniform"] = "normal"
    """normal: weights ~ N(0, 0.001); uniform: torch's default, within +-1 / sqrt(d)."""

    def make(self, features, classes, rngs, dtype):
        """The module, from vectors [r d] and modalities [r] to logits [r classes]."""
        from jreid.models.modules import modality_heads

        return modality_heads.ModalityClassifier(
            features, classes, self.init, rngs=rngs
        )
