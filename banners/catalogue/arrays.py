"""Reading `.npy` files that anybody may have written."""

import math
import mmap
import tokenize
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_HEADER_ERRORS = (
    KeyError,  # another version
    TypeError,
    SyntaxError,
    RecursionError,
    MemoryError,
    OverflowError,
    tokenize.TokenError,
)


def map_array(path: Path) -> npt.NDArray[Any]:
    """The array of an `.npy` file, memory-mapped and read-only.

    Unlike `numpy.load` it takes neither archives nor pickles, and compares the announced size with the file's before
    anything is allocated. Raises `ValueError` for whatever is no such array, `OSError` where it cannot be read.
    """
    with path.open("rb") as file:
        try:
            version = npy.read_magic(file)
            shape, is_fortran, dtype = _HEADERS[version](file)
        except _HEADER_ERRORS as error:
            raise ValueError(f"its header is malformed ({type(error).__name__})") from None
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        start, size = file.tell(), path.stat().st_size
        if start + math.prod(shape) * dtype.itemsize != size:
            raise ValueError(f"its header does not fit its {size} bytes")
    order: Literal["F", "C"] = "F" if is_fortran else "C"
    if 0 in shape:  # nothing to map
        return np.empty(shape, dtype, order)
    mapped = np.memmap(path, dtype, "r", start, shape, order)
    # Else the kernel may map two megabytes for one row that is read.
    with suppress(AttributeError, OSError):  # not on every system
        mapped._mmap.madvise(mmap.MADV_NOHUGEPAGE)  # type: ignore[attr-defined]
    # A plain array over the same mapping: indexing an np.memmap costs ten times as much.
    return np.asarray(mapped)


def release(array: npt.NDArray[Any]) -> None:
    """Give back the memory of a mapped array, or of a slice of its rows, that was read; what is read again comes from
    the file's cache. Of an array that is not mapped, nothing."""
    base: Any = array
    while base is not None:
        if isinstance(base, mmap.mmap):
            first = np.frombuffer(base, np.uint8).__array_interface__["data"][0]
            start = (array.__array_interface__["data"][0] - first) // mmap.PAGESIZE * mmap.PAGESIZE
            with suppress(AttributeError, OSError):  # not on every system
                base.madvise(mmap.MADV_DONTNEED, start, min(len(base) - start, array.nbytes + mmap.PAGESIZE))
            return
        base = getattr(base, "base", None)
