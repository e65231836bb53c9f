"""The page in a real browser: a crop is dropped, explained and marked."""

import base64
import dataclasses

import fake_gallery
import pytest
from browser import opened
from served import served

from jreid.serve.limits import Limits

TOKEN = "correct-horse-battery"
CROP = fake_gallery.encoded(fake_gallery.person(2, "infrared", 3))

DROP = """([name, type, contents]) => {
    const bytes = Uint8Array.from(atob(contents), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type }));
    const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
    document.getElementById("drop").dispatchEvent(new DragEvent("drop", options));
}"""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    return fake_gallery.make_gallery(tmp_path_factory.mktemp("gallery"))


def drop(page, contents=CROP, name="crop.png"):
    page.evaluate(DROP, [name, "image/png", base64.b64encode(contents).decode()])


def order(page):
    page.wait_for_selector("#hits li[data-key]")
    page.wait_for_selector("#hits:not([aria-busy])")
    return page.eval_on_selector_all("#hits li", "all => all.map(x => x.dataset.key)")


@pytest.mark.slow
@pytest.mark.parametrize("width, scheme", [(360, "dark"), (1400, "light")])
def test_a_crop_is_dropped_explained_and_marked(gallery, width, scheme):
    with (
        served(fake_gallery.application(gallery)) as where,
        opened(f"http://{where}/", width, scheme) as (page, wrong),
    ):
        page.wait_for_selector("#main:not([hidden])")
        drop(page)
        first = order(page)
        assert gallery.entry(first[0]).identity == "0002"
        assert "near-infrared, recognised" in page.inner_text("#pictures")
        assert page.inner_text("#hits li:first-child .verdict") == "person 0002"

        page.click("#hits li:first-child .open")
        page.wait_for_selector("#explained:has-text('Similarity 0.750')")
        assert page.eval_on_selector("#pair img", "image => image.naturalWidth") == 60
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.dataset.part") == "open"

        page.click("#hits li:first-child [data-part=disliked]")
        page.wait_for_selector("#status:has-text('refined by 1')")
        second = order(page)
        assert second != first and second[0] != first[0]
        right = next(k for k in second if gallery.entry(k).identity == "0002")
        page.click(f"[data-key='{right}'] [data-part=liked]")
        page.wait_for_selector("#status:has-text('refined by 2')")
        frames = page.eval_on_selector_all(
            "#hits li", "all => all.map(x => x.className)"
        )
        told = [
            "right" if gallery.entry(k).identity == "0002" else "wrong"
            for k in order(page)
        ]
        assert frames == told

        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert wrong == []


@pytest.mark.slow
def test_the_keyboard_is_enough(gallery):
    with (
        served(fake_gallery.application(gallery)) as where,
        opened(f"http://{where}/", 1400) as (page, wrong),
    ):
        page.wait_for_selector("#main:not([hidden])")
        page.focus("#pick")
        page.keyboard.press("Enter")
        page.wait_for_selector("#shelf button:focus")
        picked = page.evaluate("document.activeElement.title")
        page.keyboard.press("Enter")
        shown = order(page)
        assert picked not in [gallery.entry(key).path for key in shown]
        assert page.get_attribute("#hits li:first-child", "class") == "right"

        page.focus("#hits li:first-child .open")
        page.keyboard.press("ArrowRight")
        focused = page.evaluate("document.activeElement.closest('li').dataset.key")
        assert focused == shown[1]
        page.keyboard.press("n")
        page.wait_for_selector("#status:has-text('refined by 1')")
        refined = order(page)
        assert shown[1] not in refined  # the one that was marked as another
        kept = page.evaluate("document.activeElement.closest('li')?.dataset.key")
        assert kept == refined[1]
        assert wrong == []


@pytest.mark.slow
def test_of_16_bits_the_query_is_shown_as_the_run_reads_it(gallery):
    """Browsers show the high byte: 113 and 123 here."""
    levels = """image => {
        const canvas = document.createElement("canvas");
        const drawn = canvas.getContext("2d", { willReadFrequently: true });
        drawn.drawImage(image, 0, 0);
        return [4, 60].map((y) => drawn.getImageData(16, y, 1, 1).data[0]);
    }"""
    with (
        served(fake_gallery.application(gallery, explain=None)) as address,
        opened(f"http://{address}/", 1400) as (page, wrong),
    ):
        page.wait_for_selector("#main:not([hidden])")
        drop(page, fake_gallery.encoded(fake_gallery.thermal()))
        order(page)
        page.click("#hits li:first-child .open")
        for where in ("#pictures", "#pair"):
            shown = f"{where} .picture:not(.loading) img"
            page.wait_for_selector(shown)
            dark, bright = page.eval_on_selector(shown, levels)
            assert dark < 8 and bright > 247, where
        assert wrong == []


@pytest.mark.slow
def test_nobody_is_said_by_the_likeliest_image(gallery, monkeypatch):
    """It need not be the first: two modalities' curves differ, and marks move hits."""
    ranked, given = gallery.query, []

    def query(*asked, **options):
        hits = ranked(*asked, **options)
        return [
            dataclasses.replace(hit, probability=one)
            for hit, one in zip(hits, given, strict=False)
        ]

    monkeypatch.setattr(gallery, "query", query)
    told = {
        (0.1, 0.4, 0.2): "the likeliest image has 40 %.",
        (0.1, 1.0, None): "",
        (None, 0.3, 0.2): "the likeliest image has 30 %.",
        (None, None): "",
        (0.9, 0.1): "",
        (): "No image of the gallery matches these filters.",
    }
    with (
        served(fake_gallery.application(gallery)) as where,
        opened(f"http://{where}/", 1400) as (page, wrong),
    ):
        page.wait_for_selector("#main:not([hidden])")
        for probabilities, text in told.items():
            given[:] = probabilities
            drop(page)
            page.wait_for_selector(f"#status:has-text('{len(given)} of ')")
            shown = "" if page.is_hidden("#nobody") else page.inner_text("#nobody")
            assert shown.endswith(text) and bool(shown) == bool(text), probabilities
            page.click("#clear")
        assert wrong == []


@pytest.mark.slow
def test_errors_are_said_and_the_token_is_asked_for(gallery):
    limits = Limits(file_bytes=5000, request_bytes=9000)
    app = fake_gallery.application(
        gallery, token=TOKEN, limits=limits, explain=None, unexplained="no maps here"
    )
    with served(app) as where, opened(f"http://{where}/", 360) as (page, wrong):
        page.fill("#token", "wrong")
        page.click("#token-form button")
        page.wait_for_selector("#token-error:has-text('wrong')")
        page.fill("#token", TOKEN)
        page.click("#token-form button")
        page.wait_for_selector("#main:not([hidden])")
        assert TOKEN not in page.url

        drop(page, b"<svg/>", "picture.png")
        page.wait_for_selector("#failure:not([hidden])")
        assert "no picture" in page.inner_text("#failure")
        page.click("#clear")
        drop(page, bytes(6000), "large.png")
        assert "large.png: 0.0 MB" in page.inner_text("#failure")

        drop(page)
        order(page)
        page.click("#hits li:first-child .open")
        assert page.inner_text("#explained") == "no maps here"
        with page.expect_popup() as popup:
            page.click("#full")
        assert popup.value.url.startswith(f"blob:http://{where}/")
        # The browser itself tells of refused requests in its console.
        assert [w for w in wrong if "the server responded with" not in w] == []


@pytest.mark.slow
def test_the_token_in_the_address_is_taken_out_of_it(gallery):
    with (
        served(fake_gallery.application(gallery, token=TOKEN)) as where,
        opened(f"http://{where}/#token={TOKEN}", 1400) as (page, wrong),
    ):
        page.wait_for_selector("#main:not([hidden])")
        assert page.url == f"http://{where}/"
        assert wrong == []
