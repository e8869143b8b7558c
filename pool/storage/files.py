"""PNG files on disk: `<folder>/<first two digits of the id>/<id>.png`."""

import fcntl
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from gantcha.errors import StorageError, storage_errors
from pool.storage.atomic import sync_file_system, write_durably

ID = re.compile(r"[0-9a-f]{32}")
PREFIXES = tuple(f"{number:02x}" for number in range(256))
"""First two digits of ids: files are in one folder for each."""
_SUFFIX, _OWNER_FILE = ".png", ".pool"
_LOCAL = frozenset(["bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"])
"""Types of file systems whose reads wait for no other machine and no other program."""
_SMALL = 64 * 1024


def new_id() -> str:
    """Return 128 random bits as 32 lower-case hex digits: safe in URLs and on file systems that ignore case."""
    return secrets.token_hex(16)


def key(file_id: str) -> str:
    """Return the path of a PNG in its folder or bucket.

    Raises:
        ValueError: this is not one of our ids; paths are built from nothing else.
    """
    if not ID.fullmatch(file_id):
        raise ValueError("not a file id")
    return f"{file_id[:2]}/{file_id}{_SUFFIX}"


def check_owner(owner: str, pool_id: str, place: object, setting: str) -> None:
    """Check the owner of a place, empty where nobody claimed it. Raises a StorageError if it is not this pool."""
    if not owner:
        raise StorageError(
            f"{place} is empty, and the database has captchas ready whose pictures are elsewhere: set {setting} to "
            "that place; if they are lost, discard the captchas with `python -m pool.sweep --discard`"
        )
    if owner != pool_id:
        raise StorageError(f"{place} holds the files of another database: set {setting} to another place")


def missing(file_id: str, place: object) -> StorageError:
    """Return the error for a captcha whose picture is gone."""
    return StorageError(f"the picture {file_id} is not in {place}: was a disk or a bucket emptied, or another one set?")


def _is_local(folder: Path) -> bool:
    """Return whether a folder is on a local file system, as far as `/proc` tells."""
    with suppress(FileNotFoundError):
        mounts = [line.split(" ") for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
        points = {point.encode().decode("unicode_escape"): name for _, point, name, *_ in mounts}  # \040 for a space
        return next(points[str(place)] for place in (folder, *folder.parents) if str(place) in points) in _LOCAL
    return False


def _create(path: Path) -> BinaryIO:
    try:
        return open(path, "xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "xb")


@contextmanager
def _reading(path: object) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        cure = ": fill and serve as the same user, or fill with umask 022" if isinstance(error, PermissionError) else ""
        raise StorageError(f"can't read {path}: {error.strerror}{cure}") from error


class FileStore:
    """The folder of PNGs. A file without a row is an orphan once it is older than any chunk takes to be committed.

    Its methods raise StorageError when the disk is full, or the folder is not writable, not readable or not mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._is_owned = folder, False
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=folder).close()
        self._is_local = _is_local(folder.resolve())

    def belong_to(self, pool_id: str, *, claim: bool) -> None:
        """Check that the folder belongs to this pool; with `claim`, claim it if it belongs to none.

        Raises:
            StorageError: it belongs to another pool, whose files a sweep would treat as orphans; or to none.
        """
        owner, owner_file, mode = "", self.folder / _OWNER_FILE, "a+" if claim else "r+"
        with storage_errors(owner_file), suppress(FileNotFoundError), open(owner_file, mode, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed: two pools may come at once
            file.seek(0)
            if not (owner := file.read()) and claim:
                owner = pool_id
                file.write(owner)
        check_owner(owner, pool_id, self.folder, "CAPTCHA_FILES_DIR")
        self._is_owned = True

    def _check_owner(self) -> None:
        """Raise a StorageError if the disk is unmounted: files written now would be hidden once it is mounted again."""
        if self._is_owned and not (self.folder / _OWNER_FILE).exists():
            raise StorageError(f"{self.folder} is no longer the same folder: is the disk mounted?")

    def path(self, file_id: str) -> Path:
        """Return the path of a PNG. Raises ValueError for anything that is not one of our ids."""
        return self.folder / key(file_id)

    def read(self, file_id: str) -> bytes:
        """Read a PNG. Raises FileNotFoundError where there is none."""
        with _reading(path := self.path(file_id)):
            return path.read_bytes()

    def missing(self, file_id: str) -> StorageError:
        """Return the error for a captcha whose picture is gone."""
        return missing(file_id, self.folder)

    def read_now(self, file_id: str) -> bytes | None:
        """Read as `read` does, but only what takes no longer than starting a thread: a small file on a local disk."""
        if not self._is_local:
            return None
        with _reading(path := f"{self.folder}/{key(file_id)}"):
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                content = os.read(file, _SMALL + 1)
            finally:
                os.close(file)
        return content if len(content) <= _SMALL else None

    def write_all(self, named: Iterable[tuple[str, bytes]]) -> Iterator[str]:
        """Write PNGs; yield each id as soon as its file is written."""
        self._check_owner()
        for file_id, content in named:
            self.write(file_id, content)
            yield file_id

    def write(self, file_id: str, content: bytes) -> None:
        """Write a PNG or nothing. Until its row is committed, after a `sync`, it is an orphan that nothing reads."""
        path = self.path(file_id)
        with storage_errors(path):
            try:
                with _create(path) as file:
                    file.write(content)
            except OSError:
                path.unlink(missing_ok=True)
                raise

    def probe(self) -> None:
        """Try to write."""
        self._check_owner()
        path = self.folder / f".probe-{new_id()}"
        write_durably(path, b"probe")
        with storage_errors(path):
            path.unlink()

    def sync(self) -> None:
        """Make what was written survive a power cut."""
        sync_file_system(self.folder)

    def names(self, prefix: str) -> list[str]:
        """Return the names of files in the folder of one of the `PREFIXES`; a missing folder is an empty one."""
        with storage_errors(self.folder / prefix), suppress(FileNotFoundError):
            return os.listdir(self.folder / prefix)
        return []

    def usage(self) -> tuple[int, int]:
        """Count the files and the bytes they take on disk."""
        files = disk_bytes = 0
        for prefix in PREFIXES:
            with storage_errors(self.folder / prefix), suppress(FileNotFoundError):
                for entry in os.scandir(self.folder / prefix):
                    with suppress(FileNotFoundError):  # gone meanwhile
                        files, disk_bytes = files + 1, disk_bytes + entry.stat().st_blocks * 512
        return files, disk_bytes

    def remove(self, file_ids: Iterable[str]) -> None:
        """Unlink the PNGs of rows that are gone; a missing file is not an error."""
        for path in map(self.path, file_ids):
            with storage_errors(path):
                path.unlink(missing_ok=True)

    def remove_orphans(self, prefix: str, live_ids: AbstractSet[str], age: timedelta) -> int:
        """Unlink our files under `prefix` that are older than `age` and not in `live_ids`; other names stay."""
        orphans = [stem for stem, suffix in map(os.path.splitext, self.names(prefix)) if suffix == _SUFFIX]
        orphans = [stem for stem in orphans if ID.fullmatch(stem) and stem not in live_ids]
        if not orphans:
            return 0
        removed = 0
        newest = self._now() - age.total_seconds()
        for path in map(self.path, orphans):
            with storage_errors(path), suppress(FileNotFoundError):
                if path.stat().st_mtime <= newest:
                    path.unlink()
                    removed += 1
        return removed

    def _now(self) -> float:
        """Read the clock of the file system; on a network file system that is another machine's clock."""
        owner_file = self.folder / _OWNER_FILE
        with storage_errors(owner_file):
            os.utime(owner_file)
            return owner_file.stat().st_mtime
