"""Files that exist completely or not at all, and locks that end with their process, even if it is killed.

Every function here raises StorageError when the disk is full or the folder not writable; nothing is left behind.
"""

import ctypes
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gantcha.errors import storage_errors

_UNFINISHED = ".part"  # suffix of a file that is being written, in place of its own
# Only Linux has it; elsewhere `os.sync` syncs all file systems.
_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


@contextmanager
def writing_durably(path: Path) -> Iterator[BinaryIO]:
    """Write to a temporary file in the same folder; at the end fsync it and rename it. Make the folder if needed."""
    unfinished = path.with_suffix(_UNFINISHED)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(unfinished, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise


def write_durably(path: Path, content: bytes) -> None:
    """Write a file as `writing_durably` does."""
    with writing_durably(path) as file:
        file.write(content)


def sync_file_system(folder: Path) -> None:
    """Make all that was written to the folder's file system survive a power cut: one call, however many files."""
    with storage_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if _syncfs is None:
                os.sync()
            elif _syncfs(descriptor):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        finally:
            os.close(descriptor)


@contextmanager
def file_lock(path: Path) -> Iterator[bool]:
    """Lock the file within the `with` statement; yield False if another process holds the lock."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        except BlockingIOError:
            is_ours = False
        yield is_ours
    finally:
        os.close(descriptor)
