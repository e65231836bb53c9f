"""The REST interface over a gallery on disk: it answers as `Gallery.query` does."""

import base64
import io

import crops
import fake_gallery
import numpy as np
import patient_http
import pytest
from PIL import Image
from served import served

from jreid.search import Gallery, Where
from jreid.search.indexing import index, list_images
from jreid.search.labels import Labels
from jreid.search.records import key_of

QUERY = crops.person("bob", 99)


def labels_of(path):
    """cam2/bob_1.png is of camera 2, its first minute, and of bob's first track."""
    camera, name, number = path[3], *path[5:-4].split("_")
    modality = "infrared" if camera == "3" else "visible"
    time = f"2026-11-27T0{camera}:0{number}:00"
    return Labels(camera, time, f"{name}{int(number) // 2}", modality, name)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    images = crops.make_crops(tmp_path_factory.mktemp("images"))
    place = tmp_path_factory.mktemp("place") / "gallery"
    with Gallery.create(place, crops.embedder(), images) as gallery:
        index(gallery, [*list_images(images)], labels_of)
        yield gallery


@pytest.fixture(scope="module")
def client(gallery):
    app = fake_gallery.application(gallery, explain=None)
    with (
        served(app) as where,
        patient_http.Client(
            base_url=f"http://{where}", headers={"X-Jreid": "1"}
        ) as client,
    ):
        yield client


def png():
    written = io.BytesIO()
    QUERY.save(written, "PNG")
    return written.getvalue()


def ask(client, **form):
    files = {"files": ("crop.png", png())}
    answer = client.post("/api/query", files=files, data={"k": "40", **form})
    assert answer.status_code == 200, answer.text
    return answer.json()


CHOICES = {
    "all": ({}, {}),
    "camera": ({"cameras": ["1", "3"]}, {"where": Where(cameras=("1", "3"))}),
    "after": (
        {"after": "2026-11-27T02:01"},
        {"where": Where(after="2026-11-27T02:01")},
    ),
    "before": (
        {"before": "2026-11-27T02:01"},
        {"where": Where(before="2026-11-27T02:01")},
    ),
    "modality": ({"search": "infrared"}, {"where": Where(modality="infrared")}),
    "track": ({"by_track": "true"}, {"by_track": True}),
    "reranked": ({"rerank": "20"}, {"rerank": 20}),
    "few": ({"k": "3"}, {"k": 3}),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_answer_is_the_gallerys(client, gallery, name):
    form, options = CHOICES[name]
    hits = gallery.query(np.asarray(QUERY), "visible", **{"k": 40, **options})
    found = ask(client, **form)["hits"]
    assert [hit["key"] for hit in found] == [hit.key for hit in hits]
    names = ("path", "camera", "time", "track", "modality", "identity", "distance")
    for one, hit in zip(found, hits, strict=True):
        assert {n: one[n] for n in names} == {n: getattr(hit, n) for n in names}


def test_marks_move_the_query(client, gallery):
    before = ask(client)["hits"]
    liked, disliked = before[3]["key"], before[0]["key"]
    hits = gallery.query(
        np.asarray(QUERY), "visible", 40, liked=(liked,), disliked=(disliked,)
    )
    after = ask(client, liked=[liked], disliked=[disliked])
    assert [hit["key"] for hit in after["hits"]] == [hit.key for hit in hits]
    assert [hit["key"] for hit in before] != [hit.key for hit in hits]
    assert after["identity"] == before[3]["identity"]


def test_an_image_of_the_gallery_is_searched_with_and_left_out(client, gallery):
    entry = gallery.entries(0, 40)[7]
    answer = client.post(
        "/api/query", data={"keys": entry.key, "k": "5"}, files={"x": b""}
    ).json()
    hits = gallery.query(gallery.image_path(entry.key), entry.modality, 6)
    assert hits[0].key == entry.key
    assert [hit["key"] for hit in answer["hits"]] == [hit.key for hit in hits[1:]]
    assert answer["identity"] == entry.identity


def test_a_track_is_found_by_one_of_its_images(client, gallery):
    track = ["cam1/bob_0.png", "cam1/bob_1.png"]
    key = key_of(track[0])
    words = {"keys": key, "k": "40", "by_track": "true"}
    answer = client.post("/api/query", data=words, files={"x": b""}).json()
    paths = [hit["path"] for hit in answer["hits"]]
    assert track[1] in paths and track[0] not in paths
    tracks = {(hit["camera"], hit["track"]) for hit in answer["hits"]}
    assert len(tracks) == len(paths) == 24  # two of each person in each camera


def test_several_pictures_are_fused(client, gallery):
    other = crops.person("ada", 99)
    written = io.BytesIO()
    other.save(written, "PNG")
    files = [("files", ("a", png())), ("files", ("b", written.getvalue()))]
    answer = client.post("/api/query", files=files, data={"k": "40"}).json()
    both = [np.asarray(QUERY), np.asarray(other)]
    hits = gallery.query(both, "visible", 40)
    assert [hit["key"] for hit in answer["hits"]] == [hit.key for hit in hits]
    assert len(answer["query"]) == 2


@pytest.mark.parametrize(
    "form, status, told",
    [
        ({"after": "yesterday"}, 422, "ISO 8601"),
        ({"before": "20261128"}, 422, "the time 20261128 is a number, and the gallery"),
        ({"modality": "thermal"}, 422, "modality"),
        ({"search": "both"}, 422, "search"),
        ({"k": "0"}, 422, "k: "),
        ({"k": "many"}, 422, "k: "),
        ({"rerank": "-1"}, 422, "rerank"),
        ({"liked": "0123456789abcdef"}, 404, "no image of this key"),
        ({"keys": "not hexadecimal"}, 404, "no image of this key"),
        ({"keys": "ab" * 9}, 404, "no image of this key"),
        ({"liked": "0123456789abcde"}, 404, "no image of this key"),
        ({"disliked": "ab " * 8}, 404, "no image of this key"),
    ],
)
def test_a_wrong_value_is_one_line(client, form, status, told):
    files = {"files": ("crop.png", png())}
    answer = client.post("/api/query", files=files, data=form)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert told in answer.json()["error"]


def test_without_a_picture_nothing_is_searched(client):
    answer = client.post("/api/query", files={"x": b""})
    assert (answer.status_code, "no picture" in answer.text) == (422, True)


def test_the_gallery_is_shown_in_parts(client, gallery):
    info = client.get("/api/info").json()
    assert (info["images"], info["cameras"]) == (36, ["1", "2", "3"])
    assert (info["dimensions"], info["model"]) == (crops.DIM, "0" * 16)
    assert (info["times"], info["explains"]) == ("dates", False)
    pages = [
        client.get("/api/images", params={"offset": n, "limit": 10}).json()
        for n in (0, 10, 20, 30, 40)
    ]
    paths = [one["path"] for page in pages for one in page["images"]]
    assert paths == [record.path for record in gallery.entries(0, 100)]
    assert {page["total"] for page in pages} == {36}


def test_images_are_served_as_they_are_and_small(client, gallery):
    key = gallery.entries(0, 1)[0].key
    whole = client.get(f"/api/images/{key}")
    assert whole.content == gallery.image_path(key).read_bytes()
    assert whole.headers["content-type"] == "image/png"
    small = client.get(f"/api/images/{key}/thumbnail")
    assert small.headers["content-type"] == "image/jpeg"
    assert small.content[:3] == b"\xff\xd8\xff"


def test_16_bits_are_shown_as_the_run_reads_them(tmp_path):
    """In the gallery and of an upload: black above, white below."""
    contents = fake_gallery.encoded(fake_gallery.thermal())
    (tmp_path / "0000_infrared_3.png").write_bytes(contents)
    gallery = fake_gallery.FakeGallery(tmp_path)
    app = fake_gallery.application(gallery, explain=None)
    (key,) = gallery.rows
    with served(app) as where:
        url = f"http://{where}/api"
        thumbnail = patient_http.get(f"{url}/images/{key}/thumbnail").content
        files = [("files", ("a", contents)), ("files", ("b", png()))]
        answer = patient_http.post(
            f"{url}/query", files=files, headers={"X-Jreid": "1"}
        )
    thermal, visible = (seen["picture"] for seen in answer.json()["query"])
    assert visible is None  # a browser shows it
    for jpeg in (thumbnail, base64.b64decode(thermal)):
        pixels = np.asarray(Image.open(io.BytesIO(jpeg))).astype(int)
        assert pixels.shape == (*fake_gallery.SIZE, 3)
        assert pixels[:24].max() < 8 and pixels[-24:].min() > 247
