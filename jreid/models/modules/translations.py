"""Images in the other modality: there, back, and those that shall stay as they are."""

from collections.abc import Callable, Mapping

from jaxtyping import Array, Float

from jreid.data.rows import joined
from jreid.models.modules.image_statistics import image_statistics

OTHER = {"visible": "infrared", "infrared": "visible"}
Images = Float[Array, "b h w 3"]
Generators = Mapping[str, Callable[[Images], Images]]
"""By the modality that they make; images in [-1, 1]."""


def by_modality(
    images: Mapping[str, Float[Array, "_ h w 3"]], stems: Mapping[str, str]
) -> dict[str, Float[Array, "_ h w 3"]]:
    """Normalised images of all views as those of both modalities, in [-1, 1].

    A view's stem is the modality of its images.
    """
    return {
        m: signed(joined([images[v] for v, stem in stems.items() if stem == m]))
        for m in OTHER
    }


def translations(
    generators: Generators, real: Mapping[str, Images]
) -> dict[str, Images]:
    """What a cycle's terms stand on, of images of both modalities in [-1, 1].

    Of each modality the real ones, those made of the other's ("made_visible"), its own
    as made by its own generator ("same_visible"), and its own brought back from the
    other modality ("cycle_visible").
    """
    images = dict(real)
    for modality, other in OTHER.items():
        make = generators[modality]
        images[f"made_{modality}"] = make(real[other])
        images[f"same_{modality}"] = make(real[modality])
    for modality, other in OTHER.items():
        images[f"cycle_{modality}"] = generators[modality](images[f"made_{other}"])
    return images


def there_and_back(
    generators: Generators, images: Float[Array, "b h w 3"], modality: str
) -> dict[str, Float[Array, "b h w 3"]]:
    """Images in the other modality, and brought back from there; normalised."""
    there = generators[OTHER[modality]](signed(images))
    back = generators[modality](there)
    return {"translated": normalised(there), "cycle": normalised(back)}


def signed(images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """From normalised images to grey levels in [-1, 1]."""
    mean, std = image_statistics(images.ndim, images.dtype)
    return 2 * (images * std + mean) - 1


def normalised(images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """The inverse of `signed`."""
    mean, std = image_statistics(images.ndim, images.dtype)
    return ((images + 1) / 2 - mean) / std
