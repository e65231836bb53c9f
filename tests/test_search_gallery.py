"""Galleries: what is found is what comparing everything finds, and they stay whole."""

import datetime
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import types

import crops
import numpy as np
import pytest

from jreid.search import Gallery, Where
from jreid.search.calibration import Calibration
from jreid.search.calibrations import Calibrations, pair_of
from jreid.search.indexing import index, list_images
from jreid.search.labels import Labels, pattern_labels
from jreid.search.ranking import first_of_tracks
from jreid.search.records import Record, TimeKindError, content_of, key_of

pytestmark = pytest.mark.usefixtures("recognised_once")


def labels_of(path: str) -> Labels:
    found = pattern_labels(crops.PATTERN)(path)
    assert found is not None
    camera = str(found.camera)
    number = int(path[-5])
    return Labels(
        camera=camera,
        time=f"2026-11-27T0{camera}:0{number}:00",
        track=f"{found.identity}{number // 2}",
        modality="infrared" if camera == "3" else "visible",
        identity=found.identity,
    )


def indexed(place, images, embedder=None):
    embedder = embedder or crops.embedder()
    try:
        gallery = Gallery.open(place, embedder)
    except FileNotFoundError:
        gallery = Gallery.create(place, embedder, images)
    return gallery, index(gallery, [*list_images(images)], labels_of)


@pytest.fixture
def images(tmp_path):
    return crops.make_crops(tmp_path / "images")


@pytest.fixture(params=["gallery", "gallery.db"])
def place(tmp_path, request, monkeypatch):
    """A folder, and a file of Milvus Lite."""
    monkeypatch.setenv("JREID_CACHE", str(tmp_path / "cache"))
    if request.param.endswith(".db"):
        pytest.importorskip("milvus_lite")
    return str(tmp_path / request.param)


in_a_folder = pytest.mark.parametrize("place", ["gallery"], indirect=True)


@pytest.fixture
def gallery(place, images):
    with indexed(place, images)[0] as gallery:
        yield gallery


def naive(gallery, query, chosen=lambda record: True):
    """Paths and distances of all images, by comparing them one by one."""
    embedder = gallery.embedder
    own = embedder(query, "visible")[0].astype(float)
    found = []
    for record in gallery.entries(0, 1000):
        if chosen(record):
            path = gallery.images / record.path
            vector = embedder(path, record.modality)[0].astype(np.float16)
            found.append((2 - 2 * float(own @ vector.astype(float)), record.path))
    return [path for _, path in sorted(found)], [one for one, _ in sorted(found)]


QUERY = crops.person("bob", 99)
CHOICES = {
    "all": (Where(), lambda r: True),
    "camera": (Where(cameras=("2", "3")), lambda r: r.camera in "23"),
    "after": (
        Where(after="2026-11-27T02:01:00"),
        lambda r: r.time >= "2026-11-27T02:01:00",
    ),
    "before": (
        Where(before="2026-11-27T03:01:00+01:00"),
        lambda r: r.time < "2026-11-27T02:01:00",
    ),
    "modality": (Where(modality="infrared"), lambda r: r.modality == "infrared"),
    "track": (Where(tracks=("ada1", "bob0")), lambda r: r.track in ("ada1", "bob0")),
    "nothing": (Where(cameras=("9",)), lambda r: False),
    "several": (
        Where(cameras=("1", "3"), modality="visible", tracks=("bob0",)),
        lambda r: r.camera == "1" and r.track == "bob0",
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_nearest_are_those_of_a_loop(gallery, name):
    where, chosen = CHOICES[name]
    hits = gallery.query(QUERY, "visible", k=7, where=where)
    paths, distances = naive(gallery, QUERY, chosen)
    assert [hit.path for hit in hits] == paths[:7]
    np.testing.assert_allclose([h.distance for h in hits], distances[:7], atol=1e-6)


def ask_between(gallery, **limits):
    hits = gallery.query(QUERY, "visible", k=40, where=Where(**limits))
    return sorted(hit.path for hit in hits)


def test_a_limit_is_of_the_kind_of_the_gallerys_times(gallery, images):
    """A compact date or a year passes for a number, which is no date."""
    assert gallery.store.time_kinds() == {"dates"}
    for limits in (
        {"after": "20261127"},
        {"before": "2027"},
        {"after": 2026.0},
        {"after": "2026-11-27", "before": "20261128"},
    ):
        with pytest.raises(TimeKindError, match="a number, and .* dates: give ISO"):
            ask_between(gallery, **limits)
    moment = datetime.datetime(2026, 11, 27, 3)
    assert len(ask_between(gallery, after=moment, before="2026-11-28")) == 12
    paths = [*list_images(images)]
    index(gallery, paths, lambda path: Labels(time=""))
    assert gallery.store.time_kinds() == set()
    assert (
        ask_between(gallery, after="2027") == ask_between(gallery, after=moment) == []
    )
    times = {path: str(number / 2) for number, path in enumerate(paths)}
    index(gallery, paths, lambda path: Labels(time=times[path]))
    assert gallery.store.time_kinds() == {"numbers"}
    assert ask_between(gallery, after="1", before=2.5) == sorted(paths[2:5])
    with pytest.raises(TimeKindError, match="a date, and .* numbers.*: give a number"):
        ask_between(gallery, before=moment)
    times[paths[0]] = "2026-11-27"
    index(gallery, paths, lambda path: Labels(time=times[path]))
    assert gallery.entry(key_of(paths[0])).time == "2026-11-27T00:00:00"
    assert gallery.store.time_kinds() == {"dates", "numbers"}
    for limit in ("1", "2026-11-27"):
        with pytest.raises(TimeKindError, match="index them again"):
            ask_between(gallery, after=limit)


def test_a_hit_tells_what_is_known(gallery):
    hit = gallery.query(QUERY, "visible", k=1)[0]
    assert hit.identity == "bob" and hit.key == key_of(hit.path)
    assert hit.path == f"cam{hit.camera}/bob_{hit.time[-4]}.png"
    assert gallery.image_path(hit.key).read_bytes()
    with pytest.raises(KeyError):
        gallery.image_path("0" * 16)


def test_paths_that_no_indexing_wrote_are_no_files(gallery, images):
    for path in ("../other.png", "cam1/../../other.png", "/etc/passwd"):
        vector = gallery.store.vectors([gallery.entries(0, 1)[0].key])
        record = Record(path, "0" * 32, "visible")
        gallery.store.put([record], vector.astype(np.float32))
        with pytest.raises(ValueError, match="leads out of the indexed folder"):
            gallery.image_path(record.key)


@pytest.mark.parametrize("key", ["ab" * 9, "ab" * 7, "ab " * 8, "AB" * 8, "'] or ['"])
def test_what_has_not_the_form_of_a_key_is_none(gallery, key):
    with pytest.raises(KeyError):
        gallery.entry(key)
    with pytest.raises(KeyError):
        gallery.query(QUERY, "visible", liked=[key])


def test_tracks_are_grouped(gallery):
    hits = gallery.query(QUERY, "visible", k=10, by_track=True)
    paths, _ = naive(gallery, QUERY)
    first, expected = set(), []
    for path in paths:
        labels = labels_of(path)
        if (labels.camera, labels.track) not in first:
            first.add((labels.camera, labels.track))
            expected.append(path)
    assert [hit.path for hit in hits] == expected[:10]


def test_what_is_left_out_is_not_the_first_of_its_track(place, images):
    """Of a track of three the nearest other one is found."""
    embedder = crops.embedder()
    with Gallery.create(place, embedder, images) as gallery:
        track = Labels(track="1", camera="1", modality="visible")
        paths = [f"cam1/bob_{number}.png" for number in range(3)]
        index(gallery, paths, lambda path: track)
        pixels = [images / path for path in paths]
        own, *others = embedder(pixels, "visible").astype(float)
        expected = paths[1 + int(np.argmax([own @ other for other in others]))]
        options = {"left_out": [key_of(paths[0])], "by_track": True}
        hits = gallery.query(pixels[0], "visible", k=1, **options)
    assert [hit.path for hit in hits] == [expected]


def test_several_images_are_the_mean_of_their_similarities(gallery):
    several = [crops.person("bob", n) for n in (90, 91, 92)]
    hits = gallery.query(several, "visible", k=36)
    vectors = gallery.embedder(several, "visible")
    kept = gallery.store.vectors([hit.key for hit in hits]).astype(float)
    mean = (kept @ vectors.T.astype(float)).mean(axis=1)
    assert (np.diff(mean) <= 1e-7).all() and len(hits) == 36


def test_feedback_moves_the_query(gallery):
    before = gallery.query(QUERY, "visible", k=36)
    places = {hit.key: place for place, hit in enumerate(before)}
    ada = [hit.key for hit in before if hit.identity == "ada"]
    wrong = before[0].key
    after = gallery.query(QUERY, "visible", k=36, liked=ada[-2:], disliked=[wrong])
    moved = {hit.key: place for place, hit in enumerate(after)}
    assert wrong not in moved and len(after) == 35
    assert sum(moved[key] for key in ada) < sum(places[key] for key in ada)
    with pytest.raises(KeyError):
        gallery.query(QUERY, "visible", liked=["no key"])


def test_reranking_is_the_evaluations(gallery):
    from jreid.evaluation.rerank.blocks import rerank

    plain = gallery.query(QUERY, "visible", k=36)
    hits = gallery.query(QUERY, "visible", k=36, rerank=20)
    vectors = gallery.store.vectors([hit.key for hit in plain[:20]]).astype("f4")
    own = gallery.embedder(QUERY, "visible")
    order = np.argsort(rerank(own, vectors)[0], kind="stable")
    assert hits[:20] == [plain[place] for place in order]
    assert hits[20:] == plain[20:]


def test_probabilities_are_those_of_the_runs_curves(place, images, tmp_path, rng):
    embedder = crops.embedder()
    embedder.workdir = tmp_path / "run"
    embedder.workdir.mkdir()
    same = rng.random(500) < 0.3
    distances = np.where(same, 0.4, 1.6) + rng.normal(0, 0.2, 500)
    curve = Calibration.fit(distances, same)
    made = Calibrations(embedder.fingerprint, "a test", {"visible-visible": curve})
    with indexed(place, images, embedder)[0] as gallery:
        assert "calibrate" in gallery.why_no_probability
        assert gallery.query(QUERY, "visible", k=1)[0].probability is None
        with pytest.raises(ValueError, match="not calibrated: python -m"):
            gallery.query(QUERY, "visible", false_match_rate=0.1)
    made.write(embedder.workdir)
    visible = Where(modality="visible")
    with Gallery.open(place, embedder) as gallery:
        hits = gallery.query(QUERY, "visible", k=36)
        assert gallery.why_no_probability == ""
        for hit in hits:
            if hit.modality == "infrared":
                assert hit.probability is None
            else:
                p = curve.probability(hit.distance)[0]
                assert hit.probability == pytest.approx(p, rel=1e-6)
        limit = curve.threshold(0.05)
        near = gallery.query(QUERY, "visible", 36, where=visible, false_match_rate=0.05)
        assert near == [h for h in hits if h.probability and h.distance <= limit]
        moved = gallery.query(QUERY, "visible", 36, liked=[near[0].key])
        assert {h.key: h.probability for h in moved} == {
            h.key: h.probability and pytest.approx(h.probability) for h in hits
        }
        prior = gallery.query(QUERY, "visible", 1, prior=0.5)[0]
        p = curve.with_prior(0.5).probability(prior.distance)[0]
        assert prior.probability == pytest.approx(p, rel=1e-6)
        stranger = 255 - np.asarray(QUERY)
        options = {"where": visible, "false_match_rate": 0.05}
        assert gallery.query(stranger, "visible", 36, **options) == []


def curve_of(limit):
    """Whose threshold of a false-match rate of 0.01 is the limit."""
    return Calibration("logistic", (0.0, 1.0), (1.0, -1.0), 0.1, 10, 100, ((limit, 1),))


# Visible images are the nearest and none of them lies within; infrared ones do.
LIMITS = {"visible-visible": 0.01, "visible-infrared": 1.2, "infrared-infrared": 0.4}
TWO = [QUERY, crops.person("bob", 98)]
RATED = {
    "one picture": (QUERY, "visible", {}),
    "of the other kind": (QUERY, "infrared", {}),
    "filtered": (QUERY, "visible", {"where": Where(cameras=("1", "3"))}),
    "of one modality": (QUERY, "visible", {"where": Where(modality="infrared")}),
    "several": (TWO, ["visible", "infrared"], {}),
    "re-ranked": (QUERY, "visible", {"rerank": 20}),
    "all re-ranked": (TWO, ["visible", "infrared"], {"rerank": 36}),
    "by track": (QUERY, "visible", {"by_track": True}),
    "by track, re-ranked": (QUERY, "visible", {"by_track": True, "rerank": 20}),
    "left out": (QUERY, "visible", {"left_out": [key_of("cam3/bob_1.png")]}),
    "moved": (
        QUERY,
        "visible",
        {"liked": [key_of("cam3/ada_0.png")], "disliked": [key_of("cam3/bob_0.png")]},
    ),
    "moved, by track": (
        TWO,
        "infrared",
        {"liked": [key_of("cam1/ada_0.png")], "by_track": True, "rerank": 9},
    ),
}


@pytest.mark.parametrize("name", RATED)
def test_a_rate_leaves_out_what_is_beyond_and_nothing_else(gallery, name):
    pictures, modality, options = RATED[name]
    curves = {pair: curve_of(limit) for pair, limit in LIMITS.items()}
    gallery._calibrations = Calibrations("one", "a test", curves), ""
    several = pictures if isinstance(pictures, list) else [pictures]
    given = [modality] * len(several) if isinstance(modality, str) else modality
    own = gallery.embedder(several, given).astype(float)

    def is_within(hit):
        kept = gallery.store.vectors([hit.key])[0].astype(float)
        limits = [LIMITS[pair_of(one, hit.modality)] for one in given]
        return np.mean([2 - 2 * float(q @ kept) for q in own] - np.array(limits)) <= 0

    whole = gallery.query(pictures, modality, 36, **{**options, "by_track": False})
    expected = [hit for hit in whole if is_within(hit)]
    if options.get("by_track"):
        tracks = [(hit.camera, hit.track) for hit in expected]
        expected = [expected[tracks.index(one)] for one in dict.fromkeys(tracks)]
    assert 2 < len(expected) < len(whole)
    for k in (1, 3, 36):
        hits = gallery.query(pictures, modality, k, false_match_rate=0.01, **options)
        assert [(hit.key, hit.probability) for hit in hits] == [
            (hit.key, hit.probability) for hit in expected[:k]
        ]
        np.testing.assert_allclose(
            [hit.distance for hit in hits], [hit.distance for hit in expected[:k]]
        )


def test_all_that_lies_within_ranks_by_the_moved_query(gallery, monkeypatch):
    """Also where more do than are looked at at first."""
    monkeypatch.setattr("jreid.search.within._AT_FIRST", 2)
    test_a_rate_leaves_out_what_is_beyond_and_nothing_else(gallery, "moved")


def test_images_that_are_looked_at_are_counted(gallery):
    assert [gallery.store.count(where) for where, _ in CHOICES.values()] == [
        sum(map(chosen, gallery.entries())) for _, chosen in CHOICES.values()
    ]


def test_a_second_run_embeds_what_is_new_or_changed(gallery, images):
    count = types.SimpleNamespace(images=0)
    network = gallery.embedder.network

    def counting(pixels, modality):
        count.images += int(pixels.any(axis=(1, 2, 3)).sum())
        return network(pixels, modality)

    gallery.embedder.network = counting
    again = index(gallery, [*list_images(images)], labels_of)
    assert (again.unchanged, again.added, count.images) == (36, 0, 0)
    crops.person("eve", 1).save(images / "cam1" / "eve_1.png")
    crops.person("eve", 2).save(images / "cam1" / "bob_0.png")
    (images / "cam2" / "dan_2.png").unlink()
    (images / "cam2" / "ada_0.png").write_bytes(b"no image")
    done = index(gallery, [*list_images(images)], labels_of)
    assert (done.added, done.changed, done.removed) == (1, 1, 2)
    assert [path for path, _ in done.unreadable] == ["cam2/ada_0.png"]
    assert count.images == 2 and len(gallery) == 35
    hit = gallery.query(crops.person("eve", 2), "visible", k=1)[0]
    assert (hit.path, hit.distance < 1e-3) == ("cam1/bob_0.png", True)


def test_names_that_change_make_no_copies(gallery, images):
    (images / "cam1" / "ada_0.png").rename(images / "cam1" / "eve_0.png")
    (images / "cam2" / "bob_0.png").rename(images / "cam2" / "bob_9.png")
    (images / "cam2" / "dan_2.png").rename(images / "cam2" / "bob_0.png")
    (images / "cam2" / "bob_9.png").rename(images / "cam2" / "dan_2.png")
    done = index(gallery, [*list_images(images)], labels_of)
    assert (done.added, done.changed, done.removed) == (1, 2, 1)
    assert [told for told in done.doubtful if told[1].startswith("duplicate")] == []
    copy = images / "cam3" / "eve_0.png"
    copy.write_bytes((images / "cam1" / "eve_0.png").read_bytes())
    done = index(gallery, [*list_images(images)], labels_of)
    same = "duplicate: the same file as cam1/eve_0.png"
    assert ("cam3/eve_0.png", same) in done.doubtful


def test_other_labels_need_no_network(gallery, images):
    gallery.embedder.network = None
    done = index(gallery, [*list_images(images)], lambda path: Labels(camera="7"))
    assert done.described == 36
    assert {record.camera for record in gallery.entries()} == {"7"}
    assert {record.identity for record in gallery.entries()} == {*crops.PEOPLE}


def stored(place):
    return b"".join(
        path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()
    )


@in_a_folder
def test_what_is_removed_is_gone(gallery, tmp_path):
    place, gone = tmp_path / "gallery", "cam2/ada_1.png"
    vectors = gallery.store.vectors([key_of(gone), key_of("cam3/dan_2.png")])
    assert all(vector.tobytes() in stored(place) for vector in vectors)
    assert gone.encode() in stored(place)
    size = (place / "vectors.f16").stat().st_size
    assert gallery.remove([gone, "not there.png"]) == 1
    assert [v.tobytes() in stored(place) for v in vectors] == [False, True]
    assert gone.encode() not in stored(place)
    assert (place / "vectors.f16").stat().st_size == size - 2 * crops.DIM
    hits = gallery.query(QUERY, "visible", k=40)
    paths, distances = naive(gallery, QUERY)
    assert [hit.path for hit in hits] == paths and gone not in paths
    np.testing.assert_allclose([hit.distance for hit in hits], distances, atol=1e-6)
    assert gallery.remove(["cam1"]) == 12 and len(gallery) == 23


@in_a_folder
@pytest.mark.parametrize("path", ["", " "])
def test_an_empty_path_removes_nothing(gallery, path):
    with pytest.raises(ValueError, match="a path is empty: .* `.` is all of them"):
        gallery.remove(["cam1", path])
    assert len(gallery) == 36
    assert gallery.remove(["."]) == 36


def test_a_gallery_that_is_open_sees_what_others_write(gallery, place, images):
    assert len(gallery.query(QUERY, "visible", k=40)) == 36
    with Gallery.open(place) as other:
        other.remove(["cam1", "cam2/ada_1.png"])
    hits = gallery.query(QUERY, "visible", k=40)
    assert [hit.path for hit in hits] == naive(gallery, QUERY)[0]
    assert len(hits) == 23


def test_another_network_is_refused(gallery, place):
    with pytest.raises(ValueError, match="another network.*index the images again"):
        Gallery.open(place, crops.embedder(1))


def test_a_gallery_that_is_there_is_not_made_anew(gallery, place, images):
    for seed in (0, 1):
        with pytest.raises(FileExistsError, match="already: open it .Gallery.open"):
            Gallery.create(place, crops.embedder(seed), images)
    with Gallery.open(place, crops.embedder()) as again:
        assert len(again) == 36


def test_two_writers_are_refused(gallery, place, images):
    code = "import sys; from jreid.search import Gallery\n"
    code += "print(Gallery.open(sys.argv[1]).remove(['cam1']))"
    command = [sys.executable, "-c", code, place]
    with gallery.store.writing():
        done = subprocess.run(command, capture_output=True, text=True)
    assert re.search(f"{place} is (being written by|open in) another", done.stderr)
    assert len(gallery) == 36
    gallery.close()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == ["12"]


@in_a_folder
def test_a_removal_that_was_killed_is_completed(gallery, place, tmp_path):
    """After its first transaction, the vectors are there and nobody's."""
    kept = {r.key: gallery.store.vectors([r.key])[0] for r in gallery.entries()}
    gone = [
        key_of("cam1/ada_0.png"),
        key_of("cam2/cyd_1.png"),
        key_of("cam3/dan_2.png"),
    ]
    with sqlite3.connect(tmp_path / "gallery" / "images.sqlite") as database:
        for key in gone:
            number = int.from_bytes(bytes.fromhex(key), signed=True)
            database.execute(
                "INSERT INTO holes SELECT row FROM images WHERE key = ?", [number]
            )
            database.execute("DELETE FROM images WHERE key = ?", [number])
        database.execute("UPDATE settings SET value = 99 WHERE name = 'generation'")
    database.close()
    assert kept[gone[0]].tobytes() in stored(tmp_path / "gallery")
    paths, _ = naive(gallery, QUERY)
    assert [hit.path for hit in gallery.query(QUERY, "visible", k=36)] == paths
    assert len(paths) == 33
    with gallery.store.writing():
        pass
    assert kept[gone[0]].tobytes() not in stored(tmp_path / "gallery")
    for record in gallery.entries():
        vector = gallery.store.vectors([record.key])[0]
        np.testing.assert_array_equal(vector, kept[record.key])
    assert [hit.path for hit in gallery.query(QUERY, "visible", k=36)] == paths


STEPS = ["file.write", "catalogue.write", "file.move", "catalogue.move", "file.cut"]


@in_a_folder
@pytest.mark.parametrize("step", [*STEPS, "catalogue.forget_holes"])
def test_a_change_that_fails_leaves_each_vector_with_its_picture(
    gallery, place, images, monkeypatch, step
):
    """As by a kill, a full disk or a locked database, at each step of it."""
    known = {
        content_of(path.read_bytes()): path.read_bytes()
        for path in images.rglob("*.png")
    }
    for name in ("cam1/ada_0.png", "cam2/dan_2.png"):
        crops.person("eve", len(known)).save(images / name)
        contents = (images / name).read_bytes()
        known[content_of(contents)] = contents
    part, method = step.split(".")

    def fails(*_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(getattr(gallery.store, f"_{part}"), method, fails)
        with pytest.raises(OSError, match="no space left"):
            index(gallery, [*list_images(images)], labels_of)
    gallery.close()
    for again in (False, True):
        with Gallery.open(place, crops.embedder()) as opened:
            if again:
                index(opened, [*list_images(images)], labels_of)
            records = opened.entries()
            assert len(records) == 36
            kept = opened.store.vectors([record.key for record in records])
            for record, vector in zip(records, kept, strict=True):
                own = opened.embedder(known[record.content], record.modality)[0]
                np.testing.assert_allclose(vector, own, atol=1e-3)
            if again:
                whole, _ = naive(opened, QUERY)
                hits = opened.query(QUERY, "visible", k=40)
                assert [hit.path for hit in hits] == whole
                assert opened.info()["bytes"]["vectors.f16"] == 36 * crops.DIM * 2


def test_info_says_what_there_is(gallery, images):
    told = json.loads(json.dumps(gallery.info()))
    assert told["images"] == 36 and told["dim"] == crops.DIM
    assert told["cameras"] == {"1": 12, "2": 12, "3": 12}
    assert told["modalities"] == {"visible": 24, "infrared": 12}
    assert told["folder"] == str(images)
    assert sum(told["bytes"].values()) > 36 * crops.DIM * 2


def test_no_gallery_and_other_folders_are_refused(images, tmp_path):
    with pytest.raises(FileNotFoundError, match="no gallery.*jreid.search index"):
        Gallery.open(tmp_path / "none", crops.embedder())
    with pytest.raises(FileExistsError, match="cam1|cam2|cam3"):
        Gallery.create(images, crops.embedder(), images)


@in_a_folder
def test_a_file_that_lacks_vectors_is_damaged(gallery, place, tmp_path):
    with open(tmp_path / "gallery" / "vectors.f16", "r+b") as file:
        file.truncate(100)
    with pytest.raises(ValueError, match="damaged: it holds 3 vectors of 36"):
        gallery.query(QUERY, "visible")


@in_a_folder
def test_a_begun_gallery_is_made_anew(place, images, tmp_path):
    """As a process leaves it that is killed before it has made the catalogue."""
    (tmp_path / "gallery" / ".new-x").mkdir(parents=True)
    (tmp_path / "gallery" / "vectors.f16").touch()
    with indexed(place, images)[0] as gallery:
        assert len(gallery) == 36


def test_feedback_is_rocchios(gallery):
    """vector + 0.75 mean(liked) - 0.25 mean(disliked), one image after the other."""
    whole = gallery.query(QUERY, "visible", k=36)
    keys = [hit.key for hit in whole]
    kept = dict(zip(keys, gallery.store.vectors(keys).astype(float), strict=True))
    liked, disliked = [keys[20], keys[35]], [keys[2], keys[9], keys[30]]
    moved = gallery.embedder(QUERY, "visible")[0].astype(float)
    moved = moved + 0.75 * sum(kept[key] for key in liked) / 2
    moved = moved - 0.25 * sum(kept[key] for key in disliked) / 3
    moved /= np.linalg.norm(moved)
    expected = sorted(
        (2 - 2 * float(moved @ kept[key]), key) for key in keys if key not in disliked
    )
    hits = gallery.query(QUERY, "visible", k=36, liked=liked, disliked=disliked)
    assert [hit.key for hit in hits] == [key for _, key in expected]
    np.testing.assert_allclose(
        [hit.distance for hit in hits], [far for far, _ in expected], atol=1e-5
    )


@pytest.mark.parametrize("k", [1, 3, 20])
def test_the_first_of_each_track_is_that_of_a_loop(rng, k):
    """The nearest 500 are of one track, and every fifth of the rest is of none."""
    found, seen, expected = [], set(), []
    for number in range(900):
        track = "a" if number < 500 else str(rng.integers(0, 4))
        camera = "1" if number < 500 else str(rng.integers(1, 4))
        track = None if number >= 500 and number % 5 == 0 else track
        record = Record(f"{number}.png", "0" * 32, "visible", camera, track=track)
        found.append((record, number / 1000))
        name = (camera, track) if track else record.path
        if name not in seen:
            seen.add(name)
            expected.append(found[-1])
    assert first_of_tracks(lambda count: found[:count], k) == expected[:k]
    assert first_of_tracks(lambda count: found[:count], 999) == expected


def test_a_folder_is_not_the_beginning_of_a_name(gallery, images):
    others = ["cam10/ada_0.png", "cam1.png"]
    for name in others:
        (images / name).parent.mkdir(exist_ok=True)
        shutil.copy(images / "cam1" / "ada_0.png", images / name)
    index(gallery, others, lambda path: Labels(modality="visible"))
    assert gallery.remove(["cam1"]) == 12
    assert {*others} <= {record.path for record in gallery.entries()}


def test_equal_distances_are_ordered_by_key(gallery, images):
    names = [f"cam1/eve_{number}.png" for number in range(9)]
    for name in names:
        QUERY.save(images / name)
    index(gallery, names, lambda path: Labels(modality="visible"))
    keys = sorted(map(key_of, names))
    for k in (4, 9):
        assert [hit.key for hit in gallery.query(QUERY, "visible", k=k)] == keys[:k]


def test_nobody_is_found_where_nothing_is_looked_at(gallery):
    curves = {pair: curve_of(1.0) for pair in LIMITS}
    gallery._calibrations = Calibrations("one", "a test", curves), ""
    ask = {"where": Where(cameras=("9",)), "false_match_rate": 0.01}
    liked = {"liked": [key_of("cam1/ada_0.png")]}
    for options in ({}, {"rerank": 5}, {"by_track": True}, liked):
        assert gallery.query(QUERY, "visible", **ask, **options) == []


def test_many_images_are_looked_up_in_parts(gallery, monkeypatch):
    monkeypatch.setattr("jreid.search.catalogue._KEYS_AT_ONCE", 5)
    hits = gallery.query(QUERY, "visible", k=36)
    assert [hit.path for hit in hits] == naive(gallery, QUERY)[0]


def test_a_filter_sees_what_others_write(gallery, place):
    ask = {"modality": "visible", "k": 40, "where": Where(cameras=("1",))}
    assert len(gallery.query(QUERY, **ask)) == 12
    with Gallery.open(place) as other:
        other.remove(["cam1/ada_0.png"])
    expected, _ = naive(gallery, QUERY, lambda record: record.camera == "1")
    assert [hit.path for hit in gallery.query(QUERY, **ask)] == expected
