"""Pieces of an HTML page, every text of which is escaped."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

_STYLE = Path(__file__).with_name("style.css")
# What the page may load: nothing but what it holds itself.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Markup(str):
    """HTML, which is not escaped any more."""


Text = str  # escaped where it is put in, unless it is `Markup`


def escaped(text: Text) -> Markup:
    """The text as HTML; `Markup` as it is."""
    if isinstance(text, Markup):
        return text
    # Lone surrogates stand for bytes of file names that are no UTF-8.
    plain = str(text).encode("utf-8", "replace").decode("utf-8")
    return Markup(html.escape(plain))


def element(name: str, *content: Text, **attributes: str) -> Markup:
    """`<name attributes>content</name>`; `class_` is the attribute class."""
    given = _given(attributes)
    inside = "".join(escaped(part) for part in content)
    return Markup(f"<{name}{given}>{inside}</{name}>")


def _given(attributes: Mapping[str, str]) -> str:
    return "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
    )


def picture(contents: bytes, kind: str, text: str, **attributes: str) -> Markup:
    """An image that is part of the page; `text` is read out instead of it."""
    data = base64.b64encode(contents).decode()
    given = _given(attributes)
    return Markup(
        f'<img src="data:image/{kind};base64,{data}" alt="{escaped(text)}"{given}>'
    )


def table(
    header: Sequence[Text],
    rows: Sequence[Sequence[Text]],
    marks: Sequence[str] = (),
) -> Markup:
    """Rows under a header; the first cell of each is its heading.

    Args:
        marks: a class of each row.
    """
    head = element("tr", *(element("th", cell, scope="col") for cell in header))
    lines = []
    for number, (name, *cells) in enumerate(rows):
        line = [element("th", name, scope="row"), *(element("td", c) for c in cells)]
        mark = marks[number] if marks else ""
        lines.append(element("tr", *line, **({"class_": mark} if mark else {})))
    whole = element("table", element("thead", head), element("tbody", *lines))
    return element("div", whole, class_="scroll")


def figure(caption: Text, *content: Text, class_: str = "chart") -> Markup:
    """Content under its caption."""
    return element("figure", element("figcaption", caption), *content, class_=class_)


def section(key: str, title: str, *content: Text) -> Markup:
    """A part of the page with a heading that the list of contents leads to."""
    return element("section", element("h2", title), *content, id=key)


def note(*content: Text) -> Markup:
    """A paragraph of small print."""
    return element("p", *content, class_="note")


def document(title: str, *body: Text) -> str:
    """The whole page."""
    style = _STYLE.read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(escaped(part) for part in body)
        + "\n</body>\n</html>\n"
    )
