"""Folders that one process at a time works on."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Try to lock a folder; whether it worked. The lock dies with its process, however that ends.

    A folder that its holder removed meanwhile counts as held: a lock on what has no name keeps nobody out.
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
