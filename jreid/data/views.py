"""The columns of a batch: what they show, and what is done to their images."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jreid.data.datasets import MODALITY_NAMES


@dataclass(slots=True)
class View:
    """A column of a batch: images of one modality, or of both mixed."""

    stem: str
    """Which of the network's stems its images enter."""
    pipe: Any = ()
    """Augmentations in order; where a column mixes modalities, they may be a dict of
    such tuples by modality."""
    device: tuple[Any, ...] = ()
    """Augmentations in order on the device, after normalisation."""
    modality: str = ""
    """Of its images, where it is not the stem's name: visible or infrared."""
    same_image_as: str = ""
    """Another view, whose images it shows with augmentations of its own."""

    def check(self) -> None:
        """Raises ValueError for what the view alone shows to be wrong."""
        if self.modality not in ("", *MODALITY_NAMES):
            raise ValueError(
                f"modality is {self.modality!r}; allowed are {_NAMES}, or '' for the "
                "stem's, and mixed where the stem is named otherwise"
            )
        for name, pipe in _pipes(self.pipe):
            if not isinstance(pipe, tuple | list) or not all(map(callable, pipe)):
                raise ValueError(
                    f"{name} is {pipe!r}; allowed is a tuple of augmentations, each "
                    "called with an image and a seed"
                )
        if not isinstance(self.pipe, Mapping):
            return
        if set(self.pipe) != set(MODALITY_NAMES):
            raise ValueError(
                f"pipe has the keys {', '.join(map(repr, self.pipe)) or 'of none'}; "
                f"allowed are {_NAMES}, both of them"
            )
        if modality_of(self):
            raise ValueError(
                "pipe is a dict by modality, but all images of the view are "
                f"{modality_of(self)}; give a tuple"
            )


_NAMES = " and ".join(MODALITY_NAMES)


def modality_of(view: View) -> str:
    """visible, infrared, or "" for a column of both."""
    return view.modality or (view.stem if view.stem in MODALITY_NAMES else "")


def check_views(views: Mapping[str, View]) -> None:
    """Raises ValueError where views do not go together, naming `views.NAME.FIELD`."""
    if not views:
        raise ValueError("views is empty; at least one is needed")
    for name, view in views.items():
        same = view.same_image_as
        first = [n for n, v in views.items() if not v.same_image_as and n != name]
        if same and same not in first:
            raise ValueError(
                f"views.{name}.same_image_as is {same!r}; allowed are "
                f"{', '.join(map(repr, ['', *first]))}: views with images of their own"
            )
        if same and modality_of(view) != modality_of(views[same]):
            raise ValueError(
                f"views.{name}.same_image_as is {same!r}, whose images are "
                f"{modality_of(views[same]) or 'mixed'}; those of {name} are "
                f"{modality_of(view) or 'mixed'}: the modality must be the same"
            )


def families(views: Mapping[str, View]) -> dict[str, tuple[str, ...]]:
    """Each view with images of its own -> itself and the views that repeat them."""
    return {
        name: (name, *(n for n, v in views.items() if v.same_image_as == name))
        for name, view in views.items()
        if not view.same_image_as
    }


def modalities_of(views: Mapping[str, View]) -> tuple[int, ...]:
    """Numbers of the modalities that some view shows alone: identities need these."""
    shown = {modality_of(view) for view in views.values()}
    return tuple(m for m, name in enumerate(MODALITY_NAMES) if name in shown)


def _pipes(pipe: Any) -> Iterator[tuple[str, tuple[Callable, ...]]]:
    if not isinstance(pipe, Mapping):
        yield "pipe", pipe
    else:
        yield from ((f"pipe.{name}", own) for name, own in pipe.items())
