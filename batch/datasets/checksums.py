"""Checksums of what was written, in the form of `sha256sum`: a file of them for each shard, written after the shard.

Its first line, a comment to `sha256sum`, has the number of bytes of all files of the shard: to resume compares these.
"""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import NamedTuple

from batch.datasets.places import AT_ONCE, Files, Place
from batch.datasets.plan import FOLDER

CHECKSUMS, _SUFFIX = f"{FOLDER}/checksums", ".sha256"


class _Record(NamedTuple):
    size: int
    digests: dict[str, str]
    """by the paths of the files"""


class Checksums:
    """The checksums of a dataset."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def record(self, path: str, files: Files) -> None:
        """Record the checksums of a finished shard."""
        names = {f"{path}/{name}" if name else path: content for name, content in files.items()}
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in names.items()}
        self._write(path, _Record(sum(map(len, files.values())), digests))

    def record_written(self, path: str) -> None:
        """Record the checksum of a file that was written in pieces."""
        size = self._place.sizes(str(PurePosixPath(path).parent))[path]
        self._write(path, _Record(size, {path: self._place.digest(path) or ""}))

    def forget_others(self, whole: set[str]) -> None:
        """Forget what is not in `whole`, so that it counts as not written."""
        self._place.remove({_name(path) for path in self._paths() - whole})

    def whole(self, *, thorough: bool) -> set[str]:
        """Return the paths of what is as large as it was written; if `thorough`, of what has the same bytes."""
        paths = sorted(self._paths())
        with ThreadPoolExecutor(AT_ONCE) as reads:
            records = dict(zip(paths, reads.map(self._read, paths), strict=True))
        if thorough:
            return {path for path, record in records.items() if self._is_sound(record)}
        sizes = self._place.sizes()
        return {path for path, record in records.items() if _is_complete(record, sizes)}

    def _is_sound(self, record: _Record) -> bool:
        return bool(record.digests) and all(self._place.digest(name) == value for name, value in record.digests.items())

    def _paths(self) -> set[str]:
        names = self._place.names(CHECKSUMS)
        return {name.removeprefix(f"{CHECKSUMS}/").removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)}

    def _write(self, path: str, record: _Record) -> None:
        lines = [f"{digest}  {name}\n" for name, digest in record.digests.items()]
        self._place.write(_name(path), "".join([f"# {record.size} bytes\n", *lines]).encode())

    def _read(self, path: str) -> _Record:
        size, digests = 0, {}
        for line in (self._place.read(_name(path)) or b"").decode().splitlines():
            first, _, rest = line.partition(" ")
            if first == "#":
                size = int(rest.split()[0])
            else:
                digests[rest.lstrip()] = first
        return _Record(size, digests)


def _is_complete(record: _Record, sizes: Mapping[str, int]) -> bool:
    return all(name in sizes for name in record.digests) and record.size == sum(sizes[name] for name in record.digests)


def _name(path: str) -> str:
    return f"{CHECKSUMS}/{path}{_SUFFIX}"
