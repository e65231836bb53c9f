"""Visible-infrared person re-identification in JAX and Flax.

Axis letters, the same in every signature:

    b  images                     h w c  height, width, channels (NHWC)
    n  any count                  d      embedding
    m  modalities of a batch      q      query images
    p  identities                 g      gallery images
    k  images per identity and modality
"""

__version__ = "0.2.0"
