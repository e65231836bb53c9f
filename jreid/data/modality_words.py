"""The words by which people's lists and files name a modality."""

MODALITY_WORDS = {
    **dict.fromkeys(("visible", "vis", "rgb", "0"), 0),
    **dict.fromkeys(("infrared", "ir", "nir", "thermal", "1"), 1),
}
"""In lower case, to 0 (visible) or 1 (infrared)."""
