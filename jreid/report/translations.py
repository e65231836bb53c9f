"""Real images and what a run's generators make of them."""

from collections.abc import Sequence

from jreid.report.html import Markup, element, note, picture, section
from jreid.report.run_folder import ReportedRun
from jreid.run.workdir import TRANSLATIONS


def translation_section(runs: Sequence[ReportedRun]) -> Markup:
    """The picture of each run that has one."""
    blocks = []
    for run in runs:
        if (path := run.folder / TRANSLATIONS).is_file():
            told = f"images of {run.name}, translated and brought back"
            blocks += [
                element("h3", run.name),
                picture(path.read_bytes(), "png", told),
            ]
    if not blocks:
        return Markup("")
    return section(
        "translations",
        "Translations",
        note(
            "Test images, what the generators make of them in the other modality, and "
            "that brought back. A generator that has collapsed still gives a score."
        ),
        *blocks,
    )
