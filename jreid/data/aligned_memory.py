"""Memory that TensorFlow reads in place, without a copy."""

import numpy as np
import tensorflow as tf

from jreid.shapes import UInt8

ALIGNMENT = 64  # bytes; TensorFlow reads memory that is not its own only if aligned


def aligned_empty(shape: tuple[int, ...]) -> UInt8[np.ndarray, "..."]:
    """An uninitialised uint8 array that TensorFlow can use without a copy."""
    size = int(np.prod(shape))
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].reshape(shape)


def tensor_without_copy(array: np.ndarray) -> tf.Tensor:
    """A tensor in the memory of `array`; tf.constant would hold it twice."""
    if array.ctypes.data % ALIGNMENT or not array.flags.c_contiguous:
        aligned = aligned_empty(array.shape)
        aligned[...] = array
        array = aligned
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
