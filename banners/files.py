"""Writing files, and folders that one process at a time works on."""

import csv
import fcntl
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from banners.errors import BadInput


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside `path` and rename it: a killed process leaves no half file under that name. A link stays one.
    Raises `OSError`."""
    path = path.resolve()
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.unlink(missing_ok=True)  # whatever it is, a link too
        beside.write_bytes(data)
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def check_writable(path: Path) -> None:
    """Raise `BadInput` where a file cannot be written: trying is the only reliable test."""
    try:
        is_new = not os.path.lexists(path)
        path.open("ab").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror or error}") from None


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold `folder`, made if need be, for this run alone; it is removed at the end if it is empty. The lock ends with
    its process, however that ends.

    Raises `BadInput` if another run holds it, and `OSError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        is_ours = False
        # A folder that its holder removed meanwhile counts as held: a lock on one without a name keeps nobody out.
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat(os.fstat(descriptor), folder.stat())
        if not is_ours:
            raise BadInput(f"another run is writing into {folder}")
        try:
            yield
        finally:
            with suppress(OSError):
                folder.rmdir()
    finally:
        os.close(descriptor)


def csv_text(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return table.getvalue()
