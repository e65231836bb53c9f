"""Nobody is tested on whom a run was trained on, and its own results stay its own."""

import hashlib
import json
import pathlib
import shutil

import numpy as np
import pytest
import tiny
from PIL import Image

from jreid import embed, evaluate, train
from jreid.config_hash import config_hash
from jreid.data.entries import split_identities
from jreid.evaluation.files.results_file import read_results
from jreid.evaluation.table import format_table
from jreid.run.begin import lines_of_data, lines_of_run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("systems_built_once")]
NAMES = tuple(f"p{number:02}" for number in range(10))
TEST = split_identities(NAMES, 0.5)


def make_people(root: pathlib.Path, names=NAMES, images: int = 2) -> pathlib.Path:
    """visible/NAME/K.jpg and infrared/NAME/K.jpg, the same pixels for the same name."""
    for name in names:
        for modality in ("visible", "infrared"):
            folder = root / modality / name
            folder.mkdir(parents=True, exist_ok=True)
            seed = hashlib.sha256(f"{name} {modality}".encode()).digest()
            rng = np.random.default_rng(list(seed))
            for number in range(images):
                pixels = rng.integers(0, 256, (32, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return root


def config_of(root: pathlib.Path):
    config = tiny.made_tiny(tiny.load("custom"))
    config.data.root, config.steps = str(root), 1
    config.sampling.identities = 2
    config.evaluation.trials = 10  # of no use here, and so as published
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory, systems_built_once):
    """A data set, and a run on it in a folder with a difficult name."""
    base = tmp_path_factory.mktemp("habits")
    root = make_people(base / "data")
    workdir = base / "runs" / "a[1] {x}*"
    assert train.train(config_of(root), workdir) == 0
    return root, workdir


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of both; the run's config still names the first data set."""
    root, workdir = finished
    shutil.copytree(root, tmp_path / "data")
    shutil.copytree(workdir, tmp_path / "run")
    return tmp_path / "data", tmp_path / "run"


def score(capsys, run, *options):
    code = evaluate.main([str(run), *map(str, options)])
    return code, *capsys.readouterr()


def scored_names(file: pathlib.Path) -> set[str]:
    return {pathlib.Path(path).parent.name for path in np.load(file)["paths"]}


def test_a_run_in_a_folder_of_any_name_is_scored(finished, capsys):
    _, workdir = finished
    before = (workdir / "results.json").read_bytes()
    code, out, err = score(capsys, workdir)
    assert code == 0, err
    assert (workdir / "results.json").read_bytes() == before
    assert scored_names(workdir / "features.npz") == TEST


def test_people_who_come_and_go_move_nobody(copied, capsys):
    root, run = copied
    make_people(root, ("ada", "bob", "cy", "dan", "eve"))
    for modality in ("visible", "infrared"):
        shutil.rmtree(root / modality / "p03")
    code, _, err = score(capsys, run, "--root", root)
    assert code == 0, err
    (features,) = run.glob("features-images-*.npz")
    now = {*NAMES, "ada", "bob", "cy", "dan", "eve"} - {"p03"}
    assert scored_names(features) == split_identities(now, 0.5)
    assert scored_names(features) & set(NAMES) <= TEST


def test_a_trained_person_is_never_tested_on(copied, capsys):
    root, run = copied
    (run / "results.json").unlink()
    for name, split in (("p00", "test"), ("p01", "train")):
        assert name in NAMES
        for modality in ("visible", "infrared"):
            target = root / split / modality
            target.mkdir(parents=True, exist_ok=True)
            shutil.move(root / modality / name, target / name)
    trained = sorted(set(NAMES) - TEST)
    for name in trained[:2]:
        for modality in ("visible", "infrared"):
            if (source := root / modality / name).exists():
                shutil.move(source, root / "test" / modality / name)
    shutil.rmtree(root / "visible")
    shutil.rmtree(root / "infrared")
    code, _, err = score(capsys, run, "--root", root)
    assert code == 2 and trained[0] in err and "was trained on" in err
    assert not list(run.glob("results*"))


def test_trained_images_are_found_in_another_data_set(copied, capsys, tmp_path):
    """There they are of a person of another name, who is no one's number."""
    root, run = copied
    tree = tiny.make_tree(tmp_path / "tree")
    options = ("--dataset", "sysu_mm01", "--root", tree, "--trials", 1)
    assert score(capsys, run, *options)[0] == 0
    (trained, *_) = sorted(set(NAMES) - TEST)
    place = tree / "cam3" / "0006" / "0001.jpg"
    shutil.copy(root / "visible" / trained / "0.jpg", place)
    code, _, err = score(capsys, run, *options)
    assert code == 2 and "1 of the 24 test images are images that" in err
    assert str(place) in err


def test_numbers_are_people_of_one_data_set(tmp_path, capsys):
    tree = tiny.make_tree(tmp_path / "tree")
    config = tiny.tiny_config(tree)
    config.steps = 1
    assert train.train(config, tmp_path / "run") == 0
    (tree / "exp" / "train_id.txt").write_text("1,2")
    (tree / "exp" / "test_id.txt").write_text("3,6,7")
    code, _, err = score(capsys, tmp_path / "run")
    assert code == 2 and "1 of the 3 test people" in err and "trained on: 3." in err


@pytest.mark.slow
def test_what_is_not_the_runs_own_protocol_has_its_own_name(copied, capsys, finished):
    _, run = copied
    before = {path.name: path.read_bytes() for path in run.glob("*.*")}
    code, out, _ = score(capsys, run, "--no-rerank")
    assert code == 0 and str(run / "results-no-rerank.json") in out
    assert "re-ranked" not in out
    assert score(capsys, run, "--step", 1)[0] == 0  # the newest is the run's own
    assert {p.name for p in run.glob("results*")} == {
        *("results.json", "results-no-rerank.json")
    }
    assert before == {name: (run / name).read_bytes() for name in before}
    assert score(capsys, run, "--rerank", "--root", finished[0])[0] == 0
    assert not list(run.glob("*images-*"))  # moved, but the same
    about, _ = read_results(run / "results.json")
    other, _ = read_results(run / "results-no-rerank.json")
    assert about["test_content"] == other["test_content"] and "variant" not in about
    assert other["variant"] == "no-rerank"


def test_other_images_are_another_data_set(copied, capsys, tmp_path):
    """Names, identities and counts are alike, the contents are not."""
    root, run = copied
    first = (run / "results.json").read_bytes()
    for path in root.glob("*/*/*.jpg"):
        with Image.open(path) as image:
            turned = image.rotate(180)
        turned.save(path)
    code, out, _ = score(capsys, run, "--root", root)
    (name,) = (path.name for path in run.glob("results-images-*.json"))
    assert code == 0 and name in out
    assert (run / "results.json").read_bytes() == first
    assert evaluate.main(["--compare", str(run), str(run / name)]) == 0
    shown = capsys.readouterr().out
    assert "not tested, their test images differ" in " ".join(shown.split())
    assert "\n  p value" not in shown
    config = config_of(root)
    config.steps = 2
    trained = (run / "training_images.npz").read_bytes()
    with pytest.raises(ValueError, match="of other contents"):
        train.train(config, run)
    assert (run / "training_images.npz").read_bytes() == trained


@pytest.mark.long
def test_a_fraction_of_0_trains_on_everybody_and_embeds(finished, tmp_path, capsys):
    root, _ = finished
    config = config_of(root)
    config.data.test_fraction = 0.0
    run = tmp_path / "run"
    assert train.train(config, run) == 0
    assert "there is nobody to test on" in capsys.readouterr().out
    trained = json.loads((run / "training_set.json").read_text())
    assert trained["names"] == list(NAMES)
    code, _, err = score(capsys, run)
    assert code == 2 and "tests nobody" in err
    words = ["--workdir", run, "--images", root / "visible", "--out", tmp_path / "out"]
    assert embed.main([str(word) for word in words]) == 0
    assert "20 embeddings in 1 shards" in capsys.readouterr().out
    other = make_people(tmp_path / "other", NAMES[:-1])
    words[3] = other / "visible"
    assert embed.main([str(word) for word in words]) == 2
    assert "holds a job on other images" in capsys.readouterr().err


def test_a_finished_run_that_is_started_again_says_so(finished, capsys):
    root, workdir = finished
    config = config_of(root)
    assert train.train(config, workdir) == 0
    out, err = capsys.readouterr()
    assert "finished at step 1: nothing is trained" in err and "embed" not in err
    about, scores = read_results(workdir / "results.json")
    assert format_table(scores, about) in out


def test_the_first_lines_say_what_is_trained_on(finished, tmp_path):
    root, workdir = finished
    config = config_of(root)
    config.loading.cache, config.steps = True, 0
    trained = len(NAMES) - len(TEST)
    lines = list(lines_of_run(config, tmp_path / "new"))
    lines += lines_of_data(config, config.data.read())
    assert lines[0].startswith("jreid ") and config_hash(config) in lines[0]
    assert lines[1] == f"work directory: {tmp_path / 'new'}, new"
    assert lines[2] == "weights: random"
    assert lines[3] == (
        f"data: folder, {root}: train {trained} people, {2 * trained} visible and "
        f"{2 * trained} infrared images; test {len(TEST)} people, {2 * len(TEST)} "
        f"visible and {2 * len(TEST)} infrared images"
    )
    assert lines[4] == "6 steps, of 6 in 3 epochs"
    assert lines[5].startswith("cache: 0.00 GB")
    assert list(lines_of_run(config, workdir))[1].endswith("continues after step 1")


def test_a_moved_data_set_is_asked_for(copied, capsys):
    _, run = copied
    stored = json.loads((run / "config.json").read_text())
    stored["data"]["root"] = "/nowhere"
    (run / "config.json").write_text(json.dumps(stored))
    code, _, err = score(capsys, run)
    assert code == 2 and "/nowhere is missing" in err and "with --root" in err


def test_a_folder_that_cannot_be_written_is_told_before_the_work(copied, capsys):
    root, run = copied
    (root / "file").touch()
    code, _, err = score(capsys, run, "--out", root / "file")
    assert code == 2 and "Give another --out" in err and "embed test images" not in err
