"""A program as StableHLO with a symbolic batch, for `jax.export.deserialize` alone."""

import jax
import jax.export  # not imported by jax itself

from jreid.export.embedding import Embed
from jreid.export.program import Program

PLATFORMS = ("cpu", "cuda", "tpu")


def serialised(program: Program) -> bytes:
    """The file's contents: `(images uint8 [b h w 3], modality int32 []) -> [b d]`."""

    def embed(images, modality):
        return program(images, modality)[0]

    given = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in program.inputs]
    exported = jax.export.export(jax.jit(embed), platforms=PLATFORMS)(*given)
    return bytes(exported.serialize())


def loaded(contents: bytes) -> Embed:
    """The function that is in a file."""
    return jax.jit(jax.export.deserialize(bytearray(contents)).call)
