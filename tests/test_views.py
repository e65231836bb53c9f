"""The columns of a batch: their modality, what is refused, who repeats whom."""

import pytest

from jreid.data.augmentations import Flip
from jreid.data.views import (
    View,
    check_views,
    families,
    modalities_of,
    modality_of,
)


@pytest.mark.parametrize(
    ("view", "modality"),
    [
        (View("visible"), "visible"),
        (View("infrared"), "infrared"),
        (View("shared"), ""),
        (View("shared", modality="infrared"), "infrared"),
        (View("visible", modality="infrared"), "infrared"),  # translated images
    ],
)
def test_the_modality_is_the_stems_unless_it_is_given(view, modality):
    view.check()
    assert modality_of(view) == modality


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (View("visible", modality="thermal"), "modality is 'thermal'; allowed are"),
        (View("visible", pipe=Flip()), "pipe is Flip.* a tuple of augmentations"),
        (View("visible", pipe=("flip",)), r"pipe is \('flip',\)"),
        (View("all", pipe={"visible": ()}), "pipe has the keys 'visible'; allowed"),
        (
            View("all", pipe={"visible": (), "infrared": (3,)}),
            r"pipe.infrared is \(3,\)",
        ),
        (
            View("visible", pipe={"visible": (), "infrared": ()}),
            "pipe is a dict by modality, but all images of the view are visible",
        ),
    ],
)
def test_a_view_that_cannot_be_is_refused(view, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        view.check()


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({}, "views is empty"),
        (
            {"a": View("visible", same_image_as="b")},
            r"views.a.same_image_as is 'b'; allowed are ''",
        ),
        (
            {"a": View("visible", same_image_as="a"), "b": View("visible")},
            "views.a.same_image_as is 'a'; allowed are '', 'b'",
        ),
        (
            {
                "a": View("visible"),
                "b": View("visible", same_image_as="a"),
                "c": View("visible", same_image_as="b"),
            },
            "views.c.same_image_as is 'b'; allowed are '', 'a'",
        ),
        (
            {"a": View("visible"), "b": View("infrared", same_image_as="a")},
            "views.b.same_image_as is 'a', whose images are visible; those of b are "
            "infrared",
        ),
    ],
)
def test_views_that_do_not_go_together_are_refused(views, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_views(views)


def test_families_and_needed_modalities():
    views = {
        "second": View("visible", same_image_as="first"),
        "first": View("visible"),
        "mixed": View("shared"),
    }
    check_views(views)
    assert families(views) == {"first": ("first", "second"), "mixed": ("mixed",)}
    assert modalities_of(views) == (0,)
    assert modalities_of({"x": View("infrared"), "y": View("visible")}) == (0, 1)
    assert modalities_of({"x": View("shared")}) == ()
