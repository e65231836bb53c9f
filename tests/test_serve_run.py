"""The page over a trained run: people are found across modalities, and it says why."""

import os
import pathlib

import pytest
from browser import opened
from served import served

from jreid.data.synvi import synvi_root
from jreid.explanation import explain
from jreid.search import Embedder, Gallery
from jreid.search.guard import recognise
from jreid.search.indexing import index
from jreid.search.labels import Labels
from jreid.serve.app import make_app
from jreid.serve.hosts import Hosts

ROOT = pathlib.Path(__file__).parent.parent
RUN = pathlib.Path(os.environ.get("JREID_RUN", ROOT / "runs" / "demo"))
MINUTES = 3  # that the first explanation, which is compiled, may take at most
VISIBLE = ("cam1", "cam2", "cam4", "cam5")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (RUN / "checkpoints").is_dir(),
        reason=f"there is no run in {RUN}: make demo, or name one in JREID_RUN",
    ),
]


@pytest.fixture(scope="module")
def people():
    numbers = (synvi_root() / "exp" / "test_id.txt").read_text().split(",")
    return [f"{int(number):04d}" for number in numbers]


@pytest.fixture(scope="module")
def gallery(people, tmp_path_factory):
    """The visible images of the test people."""
    root = synvi_root()
    paths = [
        path.relative_to(root).as_posix()
        for camera in VISIBLE
        for person in people
        for path in sorted((root / camera / person).glob("*.jpg"))
    ]

    def labels_of(path):
        camera, person, _ = path.split("/")
        return Labels(camera=camera[3:], modality="visible", identity=person)

    place = tmp_path_factory.mktemp("place") / "gallery"
    with Gallery.create(place, Embedder.from_run(RUN), root) as gallery:
        index(gallery, paths, labels_of)
        yield gallery


def found(gallery, people):
    """An infrared crop, and its person, who is first among the visible images."""
    for person in people:
        for path in sorted((synvi_root() / "cam3" / person).glob("*.jpg")):
            if gallery.query(path, "infrared", k=1)[0].identity == person:
                return path, person
    raise AssertionError("the run finds nobody: has it been trained?")


def test_an_infrared_crop_finds_its_person_among_visible_images(gallery, people):
    crop, person = found(gallery, people)
    app = make_app(gallery, recognise, explain, hosts=Hosts())
    with (
        served(app) as where,
        opened(f"http://{where}/", 1400) as (page, wrong),
    ):
        page.wait_for_selector("#main:not([hidden])")
        page.set_input_files("#files", crop)
        page.wait_for_selector("#hits:not([aria-busy]) li[data-key]")
        assert "near-infrared, recognised" in page.inner_text("#pictures")
        verdicts = "all => all.map((one) => one.textContent)"
        before = page.eval_on_selector_all("#hits .verdict", verdicts)
        assert before[0] == f"person {person}"

        page.click("#hits li:nth-child(1) .open")
        told = "#explained:has-text('(cosine), gradient-weighted')"
        page.wait_for_selector(told, timeout=MINUTES * 60_000)
        width = "document.querySelector('#pair img').naturalWidth"
        assert page.evaluate(width) > 2 * page.evaluate(
            "document.querySelector('#pictures img').naturalWidth"
        )
        page.keyboard.press("Escape")

        page.click("#hits li:nth-child(1) [data-part=liked]")
        page.wait_for_selector("#status:has-text('refined by 1')")
        page.wait_for_selector("#hits:not([aria-busy])")
        after = page.eval_on_selector_all("#hits .verdict", verdicts)
        assert after[0] == f"same: {person}"
        numbers = [[text.split()[1] for text in texts] for texts in (before, after)]
        assert numbers[0] != numbers[1]
        assert wrong == []
