"""Named arrays out of .npz and MATLAB files, without ever running what they hold."""

import os

import numpy as np

from jreid.evaluation.files.matlab_file import read_matlab

_HDF5 = b"\x89HDF\r\n\x1a\n"  # begins a v7.3 .mat file, after MATLAB's 512 bytes


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray | None]:
    """Every array of an .npz or .mat file by its name, None for anything else in it.

    Raises:
        ValueError: the file is damaged, of another kind, or needs h5py.
        OSError: it cannot be opened.
    """
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    readers = {".npz": _read_npz, ".mat": _read_mat}
    if suffix not in readers:
        raise ValueError("features are read from an .npz or a .mat file")
    with open(path, "rb") as file:  # an OSError that names the file
        start = file.read(512 + len(_HDF5))
    if suffix == ".mat" and _HDF5 in (start[: len(_HDF5)], start[512:]):
        readers[".mat"] = _read_hdf5
    try:
        return readers[suffix](path)
    except _NeedsPackageError:
        raise
    except Exception as error:  # the readers raise anything on damaged bytes
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"the file is damaged, or of another kind: {reason}"
        ) from error


class _NeedsPackageError(ValueError):
    pass


def _read_npz(path) -> dict[str, np.ndarray | None]:
    with open(path, "rb") as file:
        arrays = np.load(file, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array without a name; use np.savez")
        return {name: _npz_member(arrays, name) for name in arrays.files}


def _npz_member(file, name):
    try:
        return np.asarray(file[name])
    except ValueError as error:
        if "allow_pickle" in str(error):  # Python objects, which are never loaded
            return None
        raise


def _read_mat(path) -> dict[str, np.ndarray | None]:
    """v4 to v7; SciPy gives char matrices as words and cell arrays as objects."""
    arrays = read_matlab(path)
    return {k: _mat_array(v) for k, v in arrays.items() if not k.startswith("__")}


def _mat_array(value):
    if not isinstance(value, np.ndarray) or value.dtype.kind == "V":
        return None  # a sparse matrix, a struct
    if value.dtype.kind != "O":
        return value
    cells = [np.asarray(cell) for cell in value.ravel()]
    if not all(cell.dtype.kind == "U" and cell.size <= 1 for cell in cells):
        return None
    return np.array([str(cell.ravel()[0]) if cell.size else "" for cell in cells])


def _read_hdf5(path) -> dict[str, np.ndarray | None]:
    """v7.3: HDF5 in which MATLAB writes every matrix transposed."""
    try:
        import h5py
    except ImportError:
        raise _NeedsPackageError(
            "it is a MATLAB v7.3 file, which h5py reads: pip install h5py, or save it "
            "in MATLAB with -v7"
        ) from None
    arrays = {}
    with h5py.File(path, "r") as file:
        for name in map(str, file):
            # A link could lead into another file.
            link = file.get(name, getlink=True)
            plain = isinstance(link, h5py.HardLink) and not name.startswith("#")
            if plain:
                arrays[name] = _hdf5_array(file, file[name])
    return arrays


def _hdf5_array(file, item):
    import h5py

    if not isinstance(item, h5py.Dataset):
        return None  # a struct, a sparse matrix
    kind = item.attrs.get("MATLAB_class", b"")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if "MATLAB_empty" in item.attrs:
        return np.zeros(np.asarray(item).ravel().astype(int))
    if kind == "cell":
        cells = [_hdf5_array(file, file[cell]) for cell in np.asarray(item).ravel()]
        if not all(cell is not None and cell.size <= 1 for cell in cells):
            return None
        words = [str(cell.ravel()[0]) if cell.size else "" for cell in cells]
        return np.array(words, str)
    if h5py.check_string_dtype(item.dtype) is not None:
        return np.array(item.asstr()[()], str)
    values = np.asarray(item)
    if kind == "char":
        codes = np.atleast_2d(values.T)
        return np.array(["".join(map(chr, row)).rstrip() for row in codes], str)
    if values.dtype.kind not in "iufb":
        return None
    return values.T if kind else values
