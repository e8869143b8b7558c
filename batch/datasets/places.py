"""Where a dataset is written: a folder, or an S3-compatible bucket. Paths within it are relative, with slashes."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from gantcha.errors import storage_errors
from pool.storage.atomic import file_lock, sync_file_system, write_durably, writing_durably

Files = Mapping[str, bytes]
"""Contents by name within a folder, or under "" where there is one file and no folder."""
AT_ONCE = 32
"""Files that are read or written at a time where the place is far away."""


class Folder:
    """A folder of this machine. Files exist completely or not at all.

    The methods, and those of `Bucket`, raise StorageError when files can't be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._existed = path.exists()

    def __str__(self) -> str:
        """Name the folder in messages."""
        return self.name

    def names(self, under: str = "") -> set[str]:
        """Return the paths of all files under a folder."""
        return set(self.sizes(under))

    def sizes(self, under: str = "") -> dict[str, int]:
        """Return the bytes of all files under a folder, by their paths."""
        with storage_errors(self._path):
            found = (path for path in (self._path / under).rglob("*") if path.is_file())
            return {path.relative_to(self._path).as_posix(): path.stat().st_size for path in found}

    def read(self, path: str) -> bytes | None:
        """Read a file; None if there is none."""
        with storage_errors(self._path / path, "read"):
            try:
                return (self._path / path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def digest(self, path: str) -> str | None:
        """Return the sha256 of a file, however large; None if there is none."""
        with storage_errors(self._path / path, "read"):
            try:
                with open(self._path / path, "rb") as file:
                    return hashlib.file_digest(file, "sha256").hexdigest()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, path: str, content: bytes) -> None:
        """Write a file, in place of one that is there."""
        write_durably(self._path / path, content)

    def write_folder(self, path: str, files: Files) -> None:
        """Write a folder, in place of one that is there."""
        whole = self._path / path
        unfinished = whole.with_name(f".{whole.name}.part")
        with storage_errors(whole):
            for left_over in (unfinished, whole):
                if left_over.exists():
                    shutil.rmtree(left_over)
            unfinished.mkdir(parents=True)
            try:
                for name, content in files.items():
                    (unfinished / name).write_bytes(content)
                sync_file_system(unfinished)
                unfinished.rename(whole)
            except OSError:
                shutil.rmtree(unfinished, ignore_errors=True)
                self.remove({path})  # and the folders above it, if it would have been the first there
                raise

    def writing(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """Open a file to write it in pieces."""
        return writing_durably(self._path / path)

    def remove(self, paths: set[str]) -> None:
        """Remove files and the folders that are empty then."""
        emptied = {parent for path in paths for parent in (self._path / path).parents if parent != self._path.parent}
        with storage_errors(self._path):
            for path in paths:
                (self._path / path).unlink(missing_ok=True)
            for folder in sorted(emptied, key=lambda folder: -len(folder.parts)):
                inside = self._path in folder.parents or (folder == self._path and not self._existed)
                if inside and folder.exists() and not any(folder.iterdir()):
                    folder.rmdir()

    def locked(self, path: str) -> AbstractContextManager[bool]:
        """Keep other writers out within the `with` statement; yields False if another one is at work."""
        return file_lock(self._path / path)


class Bucket:
    """A bucket, or a prefix of one. Credentials, region and endpoint come from the usual AWS_ variables."""

    def __init__(self, url: str) -> None:
        """Takes `s3://bucket/prefix`. Raises StorageError when the AWS_ variables are invalid."""
        import obstore  # noqa: PLC0415 - a folder needs none of it

        from pool.storage import objects  # noqa: PLC0415

        self.name = url.rstrip("/")
        self._obstore, self._errors, self._store = obstore, objects.bucket_errors, objects.connect(url)

    def __str__(self) -> str:
        """Name the bucket in messages."""
        return self.name

    def names(self, under: str = "") -> set[str]:
        """See `Folder`."""
        return set(self.sizes(under))

    def sizes(self, under: str = "") -> dict[str, int]:
        """See `Folder`."""
        with self._errors(self.name, under or "a list of its files"):
            pages = self._obstore.list(self._store, under or None)
            return {entry["path"]: entry["size"] for page in pages for entry in page}

    def read(self, path: str) -> bytes | None:
        """See `Folder`."""
        try:
            with self._errors(self.name, path):
                return bytes(self._obstore.get(self._store, path).bytes())
        except FileNotFoundError:
            return None

    def digest(self, path: str) -> str | None:
        """See `Folder`."""
        digest = hashlib.sha256()
        try:
            with self._errors(self.name, path):
                for part in self._obstore.get(self._store, path).stream():
                    digest.update(part)
        except FileNotFoundError:
            return None
        return digest.hexdigest()

    def write(self, path: str, content: bytes) -> None:
        """See `Folder`."""
        with self._errors(self.name, path):
            self._obstore.put(self._store, path, content)

    def write_folder(self, path: str, files: Files) -> None:
        """See `Folder`. Other files that are under this path stay."""
        with ThreadPoolExecutor(AT_ONCE) as uploads:
            list(uploads.map(lambda name: self.write(f"{path}/{name}", files[name]), files))

    @contextmanager
    def writing(self, path: str) -> Iterator[Any]:
        """See `Folder`. An interrupted upload leaves nothing that can be read."""
        with self._errors(self.name, path):
            writer = self._obstore.open_writer(self._store, path)
            yield writer
            writer.close()

    def remove(self, paths: set[str]) -> None:
        """See `Folder`."""
        if paths:
            with self._errors(self.name, min(paths)):
                self._obstore.delete(self._store, sorted(paths))

    def locked(self, path: str) -> AbstractContextManager[bool]:  # noqa: ARG002 - two writers write the same bytes
        """See `Folder`: a bucket has no locks."""
        return nullcontext(True)


Place = Folder | Bucket
"""Where a dataset is written."""


def open_place(name: str) -> Place:
    """Return the place of a name: `s3://bucket/prefix`, or a folder. Raises StorageError as `Bucket` does."""
    return Bucket(name) if name.startswith("s3://") else Folder(Path(name))
