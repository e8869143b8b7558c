"""PNG files on disk: `<folder>/<first two digits of the id>/<id>.png`."""

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pool.errors import StorageError

ID = re.compile(r"[0-9a-f]{32}")
BUCKETS = tuple(f"{number:02x}" for number in range(256))
_SUFFIX = ".png"
_UNFINISHED = ".part"


def new_id() -> str:
    """Draw 128 random bits as 32 lower-case hex digits: safe in URLs and on file systems that ignore case."""
    return secrets.token_hex(16)


class FileStore:
    """The folder of PNGs.

    Writers hold its lock shared from the first byte to the commit of the row; the sweep holds it exclusively. So a
    file without a row, seen under the exclusive lock, is a stray and not one about to get its row. The kernel drops
    the lock of a killed process.
    """

    def __init__(self, folder: Path) -> None:
        """Raises StorageError when the folder can't be made or written."""
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.close(self._lock_file)
        except OSError as error:
            raise StorageError(f"can't write to the folder {folder}: {error.strerror}") from error

    @contextmanager
    def lock(self, *, exclusive: bool = False) -> Iterator[None]:
        """Hold the folder's lock; each call opens the file anew, since a flock belongs to an open file."""
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def path(self, file_id: str) -> Path:
        """Raises ValueError for anything that is not one of our ids, so that no path is ever built from it."""
        if not ID.fullmatch(file_id):
            raise ValueError("not a file id")
        return self.folder / file_id[:2] / f"{file_id}{_SUFFIX}"

    def write(self, file_id: str, content: bytes) -> None:
        """Write beside, fsync, rename. `sync` the folders before the row is committed.

        Raises:
            StorageError: the disk is full or the folder not writable; nothing is left behind.
        """
        path = self.path(file_id)
        unfinished = path.with_suffix(_UNFINISHED)
        try:
            path.parent.mkdir(exist_ok=True)
            try:
                with open(unfinished, "xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.rename(path)
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise
        except OSError as error:
            cure = ": free some space and run it again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            raise StorageError(f"can't write {path}: {error.strerror}{cure}") from error

    def sync(self, file_ids: Iterable[str]) -> None:
        """Make the renames of these files survive a power cut: one fsync for each folder they are in."""
        for bucket in {file_id[:2] for file_id in file_ids}:
            descriptor = os.open(self.folder / bucket, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def names(self, bucket: str) -> list[str]:
        """File names in one of the `BUCKETS`; a missing folder is an empty one."""
        try:
            return os.listdir(self.folder / bucket)
        except FileNotFoundError:
            return []

    def remove_strays(self, bucket: str, live_ids: set[str]) -> int:
        """Unlink our files in `bucket` that are unfinished or not in `live_ids`; leave foreign names alone.

        The caller holds the lock exclusively.
        """
        removed = 0
        for name in self.names(bucket):
            stem, suffix = os.path.splitext(name)
            if not ID.fullmatch(stem):
                continue
            if suffix == _UNFINISHED or (suffix == _SUFFIX and stem not in live_ids):
                (self.folder / bucket / name).unlink(missing_ok=True)
                removed += 1
        return removed
