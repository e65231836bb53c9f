"""Array shapes in signatures: jaxtyping's, or stand-ins where it is not installed.

Scoring features needs NumPy and SciPy only, so its modules take the types from here.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Int, UInt8, UInt16, UInt64
else:
    try:
        from jaxtyping import Bool, Float, Float32, Int, UInt8, UInt16, UInt64
    except ImportError:

        class _Unchecked:
            """`Float[np.ndarray, "n d"]` means np.ndarray here."""

            def __getitem__(self, array_and_shape):
                return array_and_shape[0]

        Bool = Float = Float32 = Int = UInt8 = UInt16 = UInt64 = _Unchecked()

__all__ = ["Bool", "Float", "Float32", "Int", "UInt8", "UInt16", "UInt64"]
