"""Checkpoints: one file of float16 arrays for each glyph class, and a manifest that says what they are."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.alphabet import GLYPH_CLASSES, GlyphClass
from batch.networks import Architecture, FoldedGenerator, folded_shapes
from pool.durable import write_durably
from pool.errors import GantchaError
from pool.settings import DEFAULT_CHECKPOINTS_DIR

FORMAT = 1
_MANIFEST = "manifest.json"


class CheckpointError(GantchaError):
    """A checkpoint or the manifest is missing, damaged or of another make."""


class Loaded(NamedTuple):
    """A generator as sampling needs it."""

    generator: FoldedGenerator
    """float32"""
    shape_frequencies: npt.NDArray[np.float64]
    """`[shape_count]`, sum 1"""


class Checkpoints:
    """A folder of checkpoints with its manifest."""

    def __init__(self, folder: Path = DEFAULT_CHECKPOINTS_DIR) -> None:
        self.folder = folder

    @property
    def _manifest_path(self) -> Path:
        return self.folder / _MANIFEST

    def exist(self) -> bool:
        """Say whether there is a manifest."""
        return self._manifest_path.exists()

    def manifest(self) -> dict[str, Any]:
        """Read the manifest.

        Raises:
            CheckpointError: it is missing, not JSON, or of another format.
        """
        path = self._manifest_path
        try:
            manifest = json.loads(path.read_bytes())
        except OSError as error:
            raise CheckpointError(
                f"{path} can't be read ({error.strerror}): `python -m batch.train` makes it"
            ) from error
        except ValueError as error:
            raise CheckpointError(f"{path} is not JSON: {error}") from error
        found = manifest.get("format") if isinstance(manifest, dict) else None
        if found != FORMAT:
            raise CheckpointError(f"{path} has format {found}; this version reads format {FORMAT}")
        return dict(manifest)

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest. Raises StorageError when the folder is not writable."""
        write_durably(self._manifest_path, json.dumps(manifest | {"format": FORMAT}, indent=1).encode() + b"\n")

    def write(self, glyph_class: GlyphClass, generator: FoldedGenerator) -> dict[str, Any]:
        """Write the weights of one class and return what the manifest says of the file.

        Raises:
            StorageError: the folder is not writable.
        """
        packed = io.BytesIO()
        np.savez(packed, **{name: array.astype(np.float16) for name, array in generator._asdict().items()})
        path = self.folder / f"{glyph_class.name}.npz"
        write_durably(path, packed.getvalue())
        return {"file": path.name, "bytes": path.stat().st_size, "sha256": _sha256(packed.getvalue())}

    def is_sound(self, entry: dict[str, Any]) -> bool:
        """Say whether the file of a manifest's entry is there and what the entry says."""
        path = self.folder / entry["file"]
        return path.exists() and bool(_sha256(path.read_bytes()) == entry["sha256"])

    def load(self) -> dict[int, Loaded]:
        """Load the generators of all 47 classes, each checked against its digest.

        Raises:
            CheckpointError: names the file that is missing or damaged, with both digests.
        """
        manifest = self.manifest()
        try:
            shapes = folded_shapes(Architecture(**manifest["architecture"]))
            return {c.index: self._load(manifest["classes"][c.name], shapes) for c in GLYPH_CLASSES}
        except KeyError as error:
            raise CheckpointError(
                f"{self._manifest_path} lacks {error}: `python -m batch.train --resume` trains what is missing"
            ) from error
        except TypeError as error:
            raise CheckpointError(f"{self._manifest_path} describes another architecture: {error}") from error

    def _load(self, entry: dict[str, Any], shapes: FoldedGenerator) -> Loaded:
        path = self.folder / entry["file"]
        try:
            packed = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"checkpoint {path} can't be read: {error.strerror}") from error
        if (found := _sha256(packed)) != entry["sha256"]:
            raise CheckpointError(
                f"checkpoint {path} is damaged: sha256 is {found}, the manifest says {entry['sha256']}"
            )
        with np.load(io.BytesIO(packed)) as arrays:
            generator = FoldedGenerator(**{name: arrays[name].astype(np.float32) for name in arrays.files})
        if (found_shapes := FoldedGenerator(*(array.shape for array in generator))) != shapes:  # type: ignore[arg-type] # shapes in place of arrays
            raise CheckpointError(f"checkpoint {path} holds {found_shapes}, the manifest's architecture has {shapes}")
        frequencies = np.array(entry["shape_frequencies"])
        return Loaded(generator, frequencies / frequencies.sum())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
