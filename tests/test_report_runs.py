"""What the report says of several runs, and of many images."""

import re

import numpy as np
import pytest

from jreid.evaluation.files.feature_table import FeatureTable
from jreid.report import images
from jreid.report.images import map_section
from jreid.report.run_folder import ReportedRun


@pytest.fixture
def run(tmp_path, rng):
    """Makes a run of random vectors of so many people, one image a modality each."""

    def make(name, people, **changed):
        ids, modality = np.repeat(np.arange(people), 2), np.tile([0, 1], people)
        features = rng.normal(size=(2 * people, 8)).astype(np.float32)
        paths = np.array([f"{row}.png" for row in range(2 * people)])
        columns = {"ids": ids, "modality": modality, "cameras": modality + 1}
        table = FeatureTable({"fused": features}, paths=paths, **columns | changed)
        return ReportedRun(name, tmp_path / name, table=table)

    return make


def test_a_map_of_many_images_shows_both_modalities(run, monkeypatch):
    monkeypatch.setattr(images, "MOST_POINTS", 10)
    page = map_section([run("a", 9)], "pca")
    marks = [
        len(re.findall(f"<{mark} .*?<title>", page)) for mark in ("circle", "rect")
    ]
    assert marks == [5, 5] and "10 images, 8 others left out" in page
