"""Writing files, and folders that one process at a time works on."""

import csv
import fcntl
import io
import os
import time
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
def alone_in(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Lock `folder` for this run. It is created if needed, and removed at the end if it is empty. The lock ends with
    its process, even a killed one.

    Raises `BadInput` if another run holds it for more than `patience` seconds, and `OSError`.
    """
    end = time.monotonic() + patience
    while (descriptor := _lock(folder)) is None:
        if time.monotonic() >= end:
            raise BadInput(f"another run is writing into {folder}")
        time.sleep(0.2)
    try:
        yield
    finally:
        with suppress(OSError):
            folder.rmdir()
        os.close(descriptor)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the lock of `folder`; None if another run has it. Its holder may remove the folder at any
    moment, which counts as held: a lock on a removed folder would not exclude other runs."""
    with suppress(FileExistsError):  # `exist_ok` would raise it for a folder removed in between
        folder.mkdir(parents=True)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
    os.close(descriptor)
    return None


def csv_text(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return table.getvalue()
