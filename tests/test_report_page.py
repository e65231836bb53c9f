"""The report: what it says, that it is safe, and how it looks in a browser."""

import html.parser
import io
import json
import re
import shutil
import subprocess
import sys
import types

import browser
import numpy as np
import own_part
import pytest
import run_folders
from PIL import Image

from jreid import explanation, user_files
from jreid.config_json import to_json
from jreid.evaluation import embedding_map
from jreid.report import __main__ as program
from jreid.report import page as page_module
from jreid.report.charts import Axis, Line, line_chart, round_values
from jreid.report.html import element, escaped
from jreid.report.page import report_page
from jreid.report.run_folder import open_run
from jreid.run import frozen


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("runs")
    return [
        run_folders.make_run_folder(base / name, base / "images", seed, noise)
        for name, seed, noise in (("one", 0, 1.0), ("two<i>", 1, 1.4))
    ]


def explained(run, query, match):
    """A picture wider than a phone."""
    assert run.table.modality[query] != run.table.modality[match]
    file = io.BytesIO()
    Image.new("RGB", (770, 400)).save(file, "PNG")
    return file.getvalue(), "what <holds>"


@pytest.fixture(scope="module")
def page(folders):
    runs = [open_run(folder) for folder in folders]
    return report_page(runs, explain=explained, explained=1)


class Reader(html.parser.HTMLParser):
    """Every element with its attributes, and the headings of the sections."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.headings, self.within = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.within = tag

    def handle_data(self, data):
        if self.within == "h2":
            self.headings.append(data)
        self.within = ""


def test_every_section_is_there_and_nothing_is_loaded_from_elsewhere(page):
    read = Reader(page)
    assert read.headings == [
        *("Scores", "CMC curves", "Training", "Verification", "Distances", "Cameras"),
        *("Map of the embeddings", "Rank lists", "Queries that flipped"),
    ]
    sources = [a[key] for _, a in read.elements for key in ("src", "href") if key in a]
    assert sources and all(s.startswith(("data:", "#")) for s in sources)
    assert "default-src 'none'" in page


def test_names_of_files_and_runs_are_text_not_markup(page):
    """Hostile names are in the page, and no element or attribute is made of them."""
    read = Reader(page)
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;.png" in page
    assert "&lt;b&gt;made up&lt;/b&gt;" in page
    assert not {"script", "b-made", "i"} & {tag for tag, _ in read.elements}
    assert not any(name.startswith("on") for _, a in read.elements for name in a)
    assert element("p", "<&\">'", title='"><x>') == (
        '<p title="&quot;&gt;&lt;x&gt;">&lt;&amp;&quot;&gt;&#x27;</p>'
    )
    assert escaped("caf\udce9") == "caf?"


def test_the_first_lists_of_each_direction_are_explained(page):
    assert page.count("what &lt;holds&gt;") == 2 * 2


def test_scores_are_those_of_the_results(folders, page):
    scores = json.loads((folders[0] / "results.json").read_text())["scores"]
    for score in scores:
        assert f"{100 * score['mean']['mAP']:.2f}" in page
    # The paper's rows are there, and said to be of other images.
    assert "Published rows: not comparable" in page
    assert "66.93" in page and page.count('class="tag">re-ranked') >= 2


def test_flipped_queries_are_counted(folders, page):
    """Against the first hits of a loop over the protocol's direction."""
    rights = []
    for folder in folders:
        run = open_run(folder)
        assert run.table is not None
        (trial,) = run.protocol.example_trials(run.table, run.options)
        unit = run.headline / np.linalg.norm(run.headline, axis=1, keepdims=True)
        right = []
        for query, place in zip(trial.query, trial.query_place, strict=True):
            left = trial.gallery[trial.gallery_place != place]
            nearest = left[(unit[left] @ unit[query]).argmax()]
            right.append(run.table.ids[nearest] == run.table.ids[query])
        rights.append(np.array(right))
    first, second = rights
    assert (first != second).any()
    flips = page[page.index('id="flips"') :]
    part = flips[flips.index("infrared to visible") :]
    cells = re.findall(r'<th scope="row">[^<]*</th><td>(\d+)</td>', part)
    expected = [
        (first & second).sum(),
        (~first & second).sum(),
        (first & ~second).sum(),
        (~first & ~second).sum(),
    ]
    assert [int(cell) for cell in cells] == expected


def test_what_is_missing_is_said(folders, tmp_path):
    folder = tmp_path / "part"
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match="nothing to report"):
        open_run(folder)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        open_run(tmp_path / "none")
    shutil.copy(folders[0] / "metrics.jsonl", folder)
    page = report_page([open_run(folder)])
    assert Reader(page).headings == ["Training"]
    for name in ("results.json", "config.json", "features.npz"):
        assert f"no {name}" in page
    (folder / "features.npz").write_bytes(b"damaged")
    shutil.copy(folders[0] / "results.json", folder)
    page = report_page([open_run(folder)])
    assert Reader(page).headings == ["Scores", "CMC curves", "Training"]
    assert "features.npz" in page


def test_images_that_are_gone_are_said_to_be(folders, tmp_path):
    folder = tmp_path / "moved"
    run_folders.make_run_folder(folder, tmp_path / "images")
    shutil.rmtree(tmp_path / "images")
    page = report_page([open_run(folder)])
    assert "of the images could not be opened" in page and "no picture" in page


def test_calibration_is_drawn_where_the_run_has_one(folders, tmp_path):
    folder = run_folders.make_run_folder(tmp_path / "run", tmp_path / "images")
    curve = {
        "kind": "logistic",
        "distances": [0.0, 4.0],
        "log_odds": [6.0, -6.0],
        "prior": 0.1,
        "same_pairs": 10,
        "different_pairs": 100,
        "lowest": [[0.1, 1]],
    }
    entry = {"source": "<6> people", "curves": {"visible-infrared": curve}}
    (folder / "calibration.json").write_text(json.dumps({"ab12": entry}))
    page = report_page([open_run(folder)])
    assert "network ab12" in page and "&lt;6&gt; people" in page
    assert "left out" not in page
    names = [f"net{number}" for number in range(5)]
    (folder / "calibration.json").write_text(json.dumps(dict.fromkeys(names, entry)))
    page = report_page([open_run(folder)])
    assert re.findall(r"network (net\d)", page) == ["net2", "net3", "net4"]
    assert "of calibration.json that were fitted earlier and are left out: 2." in page
    (folder / "calibration.json").write_text("{")
    assert "calibration.json cannot be read" in report_page([open_run(folder)])


def test_the_program_writes_the_page_without_tensorflow_and_jax(folders, tmp_path):
    code = (
        "import sys\nfrom jreid.report.__main__ import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(*sorted({'jax', 'tensorflow', 'matplotlib', 'flax'} & set(sys.modules)))"
    )
    out = tmp_path / "report.html"
    words = [*map(str, folders), "--out", str(out), "--map", "pca"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [str(out), ""]
    assert "Queries that flipped" in out.read_text(encoding="utf-8")


def test_a_run_of_a_file_of_ones_own_is_given_the_file(folders, tmp_path, monkeypatch):
    run = shutil.copytree(folders[0], tmp_path / "run")
    stored = to_json(own_part.load_from(tmp_path))
    (run / "config.json").write_text(json.dumps(stored))
    monkeypatch.setattr(user_files, "_loaded", {})  # as in a new process
    words = [str(run), "--out", str(tmp_path / "report.html"), "--map=pca"]
    pages = []
    for more in ([], ["--config", str(tmp_path / "own.py")]):
        assert program.main([*words, *more]) == 0
        pages.append((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "give that file again, --config own.py" in pages[0]
    for lacking in ("give that file again", "all test images are ranked"):
        assert lacking in pages[0] and lacking not in pages[1]


def test_a_wrong_command_line_is_one_line(folders, tmp_path, capsys):
    for words, told in (
        ([str(tmp_path / "none")], "is no folder: give the folder of a run"),
        ([str(folders[0]), "--explain=-1"], "--explain is -1"),
        ([str(folders[0]), "--out", str(tmp_path / "a/b")], "make it first"),
        ([str(folders[0])] * 2, "each of them once"),
    ):
        assert program.main([*words, "--map", "pca"]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and told in error and error.count("\n") == 1


def test_axes_are_marked_at_round_values_and_gaps_stay_gaps():
    assert round_values(0, 10) == [0, 2, 4, 6, 8, 10]
    np.testing.assert_allclose(round_values(0.12, 0.31), [0.15, 0.2, 0.25, 0.3])
    assert Axis("", 1e-3, 100, logarithmic=True).ticks() == [
        1e-3,
        0.01,
        0.1,
        1,
        10,
        100,
    ]
    line = Line("a", [0, 1, 2, 3], [0.0, float("nan"), 1.0, 1.0])
    chart = line_chart([line], Axis("", 0, 3), Axis("", 0, 1), "text")
    assert chart.count("<polyline") == chart.count("<circle") == 1
    assert "nan" not in chart


def test_a_perfect_run_has_axes(tmp_path):
    folder = run_folders.make_run_folder(tmp_path / "run", tmp_path / "i", noise=0.0)
    scores = json.loads((folder / "results.json").read_text())["scores"]
    assert {value for score in scores for value in score["cmc"]} == {1.0}
    page = report_page([open_run(folder)])
    curves = page[page.index('id="cmc"') :]
    marks = re.findall(r'text-anchor="end">(\d+)<', curves[: curves.index("</svg>")])
    assert (marks[0], marks[-1]) == ("90", "100")


ONE_PAIR = ((1, 1), (1, 3), (2, 3))  # a person in both modalities, another in one


@pytest.mark.parametrize(
    "kept",  # people and cameras, of each the first image; 3 is infrared
    [
        ONE_PAIR,
        ((1, 1), (2, 1)),
        ((1, 1), (1, 2)),
        ((1, 1), (2, 3)),
        ((1, 1), (1, 3)),
        ((1, 1),),
    ],
)
def test_a_run_of_few_images_has_a_report(tmp_path, kept):
    folder = run_folders.make_run_folder(tmp_path / "run", tmp_path / "images")
    with np.load(folder / "features.npz") as file:
        columns = dict(file)
    rows = [
        np.flatnonzero((columns["ids"] == person) & (columns["cameras"] == camera))[0]
        for person, camera in kept
    ]
    few = {name: values[rows] for name, values in columns.items()}
    np.savez(folder / "features.npz", **few)
    page = report_page([open_run(folder)])
    assert "nan" not in page
    assert (kept == ONE_PAIR) == ("Verification" in Reader(page).headings)
    if kept == ONE_PAIR:
        rates = page[page.index('id="verification"') :]
        assert re.findall(r'text-anchor="middle">([\d.]+)<', rates)[:2] == ["10", "100"]


@pytest.mark.slow
@pytest.mark.parametrize("width, scheme", [(360, "light"), (1400, "dark")])
def test_a_browser_shows_it_without_errors_requests_or_scrolling(
    folders, tmp_path, page, width, scheme
):
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    with browser.opened(path.as_uri(), width, scheme) as (shown, wrong):
        assert shown.evaluate("document.documentElement.scrollWidth") == width
        broken = "[...document.images].filter(i => !i.naturalWidth).length"
        assert shown.evaluate(broken) == 0 < shown.evaluate("document.images.length")
        assert shown.locator("nav a").count() == 9
        shown.locator("nav a", has_text="Flipped").click()
        assert shown.locator("#flips").is_visible()
        assert not [w for w in wrong if not w.startswith("a request to data:")]


def test_options_of_the_page_are_passed_on(folders, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(
        page_module, "report_page", lambda *_, **w: told.append(w) or ""
    )
    monkeypatch.setattr(embedding_map, "best_method", lambda: "tsne")
    words = [str(folders[0]), "--out", str(tmp_path / "report.html")]
    for more in (["--map=pca"], ["--map=auto", "--explain=3"]):
        assert program.main([*words, *more]) == 0
    assert [(w["map_by"], w["explained"]) for w in told] == [("pca", 0), ("tsne", 3)]
    assert told[0]["explain"] is None and told[1]["explain"] is not None


def test_a_query_is_explained_by_its_runs_network(folders, monkeypatch):
    opened, given = [], []
    found = types.SimpleNamespace(picture=lambda: b"png", statement="why")
    monkeypatch.setattr(frozen, "open_run", lambda folder: opened.append(folder) or 7)
    monkeypatch.setattr(explanation, "explain", lambda *g: given.append(g) or found)
    runs = [open_run(folder, read=str.encode) for folder in folders]
    explain = program._explainer()
    table = runs[1].table
    assert table is not None and table.paths is not None
    paths = table.paths
    rows = [int(np.argmax(table.modality == m)) for m in (1, 0)]
    for run in (runs[0], runs[0], runs[1]):
        assert explain(run, *rows) == (b"png", "why")
    query, match = (str(paths[row]).encode() for row in rows)
    assert given[-1] == (7, query, "infrared", match, "visible")
    assert opened == [run.folder for run in runs]


def test_a_run_is_ranked_by_its_own_options(folders):
    assert open_run(folders[0]).options.trials == 2
