"""Writing whole files, and folders that one process at a time works on."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from banners.errors import BadInput


def write_whole(path: Path, data: bytes, times: tuple[float, float] | None = None) -> None:
    """Write a file beside `path` and rename it: a killed process leaves no half file under that name. A link stays one.
    `times` are the access and modification times, in seconds since 1970. Raises `OSError`."""
    path = path.resolve()
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.unlink(missing_ok=True)  # whatever it is, a link too
        beside.write_bytes(data)
        if times is not None:
            os.utime(beside, times)
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold `folder`, made if need be, for this run alone; it is removed at the end if it is empty.

    Raises `BadInput` if another run holds it, and `OSError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as is_free:
        if not is_free:
            raise BadInput(f"another run is writing into {folder}")
        try:
            yield
        finally:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Try to lock a folder; gives whether it worked. The lock ends with its process, however that ends.

    A folder that its holder removed meanwhile counts as held: a lock on a folder without a name keeps nobody out.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        is_ours = False
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat(os.fstat(descriptor), folder.stat())
        yield is_ours
    finally:
        os.close(descriptor)
