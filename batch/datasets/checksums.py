"""Checksums of what was written, in the form of `sha256sum`: a file of them for each shard, written after the shard."""

import hashlib

from batch.datasets.formats import ANNOTATIONS
from batch.datasets.places import Files, Place
from batch.datasets.plan import FOLDER

CHECKSUMS, _SUFFIX = f"{FOLDER}/checksums", ".sha256"


class Checksums:
    """The checksums of a dataset."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def record(self, path: str, files: Files) -> None:
        """Record the checksums of a finished shard, without those of files that are deleted later."""
        lines = [
            f"{hashlib.sha256(content).hexdigest()}  {path}{'/' * bool(name)}{name}\n"
            for name, content in files.items()
            if name != ANNOTATIONS
        ]
        self._place.write(_record(path), "".join(lines).encode())

    def record_written(self, path: str) -> None:
        """Record the checksum of a file that was written in pieces."""
        self._place.write(_record(path), f"{self._place.digest(path)}  {path}\n".encode())

    def forget_others(self, whole: set[str]) -> None:
        """Forget what is not in `whole`, so that it counts as not written."""
        self._place.remove({_record(path) for path in self.whole(thorough=False) - whole})

    def whole(self, *, thorough: bool) -> set[str]:
        """Return the paths of what was written as a whole; if `thorough`, of what is still as it was written."""
        records = self._place.names(CHECKSUMS)
        paths = {name.removeprefix(f"{CHECKSUMS}/").removesuffix(_SUFFIX) for name in records}
        return {path for path in paths if self._is_sound(path)} if thorough else paths

    def _is_sound(self, path: str) -> bool:
        lines = (self._place.read(_record(path)) or b"").decode().splitlines()
        stored = (line.split("  ", 1) for line in lines)
        return bool(lines) and all(self._place.digest(name) == digest for digest, name in stored)


def _record(path: str) -> str:
    return f"{CHECKSUMS}/{path}{_SUFFIX}"
