"""Modules and networks run as one program, where each operation would be one."""

import functools

from flax import nnx


@nnx.jit
def run(module, *arguments, **options):
    """The module's output."""
    return module(*arguments, **options)


@functools.partial(nnx.jit, static_argnames=("stems", "method"))
def _run(network, images, stems, method="__call__", **given):
    return getattr(network, method)(images, dict(stems), **given)


def call(network, images, stems, **given):
    """A two-stream network's outputs in training."""
    return _run(network, images, tuple(stems.items()), **given)


def embed(network, images, stems):
    """A two-stream network's features and embeddings in a test."""
    return _run(network, images, tuple(stems.items()), method="embed")
