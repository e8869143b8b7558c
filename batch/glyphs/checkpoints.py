"""Checkpoints: files of float16 arrays, one for each glyph class and one for the legibility filter, and a manifest."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from batch.alphabet import GLYPH_CLASSES
from batch.glyphs.architecture import FILTER_SHAPES, Architecture, FilterWeights, GeneratorWeights, weight_shapes
from pool.errors import GantchaError
from pool.storage.atomic import write_durably

FORMAT = 1
_MANIFEST = "manifest.json"
_Arrays = TypeVar("_Arrays", GeneratorWeights, FilterWeights)


class CheckpointError(GantchaError):
    """A checkpoint or the manifest is missing, damaged or of another format."""


class Loaded(NamedTuple):
    """A generator as sampling needs it."""

    generator: GeneratorWeights
    """float32"""
    style_frequencies: npt.NDArray[np.float64]
    """`[style_count]`, sum 1"""
    latent_scale: float
    """Standard deviation of the latents; 1 in training."""


class Checkpoints:
    """A folder of checkpoints with its manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def _manifest_path(self) -> Path:
        return self.folder / _MANIFEST

    def exist(self) -> bool:
        """Say whether the manifest exists."""
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
            raise CheckpointError(
                f"{path} has format {found}, and this version reads {FORMAT}: take its own checkpoints or train anew"
            )
        return dict(manifest)

    def digest(self) -> str:
        """Give the sha256 of the manifest, which has those of the files. Raises CheckpointError as `manifest` does."""
        self.manifest()
        return _sha256(self._manifest_path.read_bytes())

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest. Raises StorageError when the folder is not writable."""
        write_durably(self._manifest_path, json.dumps(manifest | {"format": FORMAT}, indent=1).encode() + b"\n")

    def write(self, name: str, arrays: GeneratorWeights | FilterWeights) -> dict[str, Any]:
        """Write the weights of one network and return the file's entry for the manifest.

        Raises:
            StorageError: the folder is not writable.
        """
        packed = io.BytesIO()
        np.savez(packed, **{field: array.astype(np.float16) for field, array in arrays._asdict().items()})
        path = self.folder / f"{name}.npz"
        write_durably(path, packed.getvalue())
        return {"file": path.name, "bytes": path.stat().st_size, "sha256": _sha256(packed.getvalue())}

    def is_sound(self, entry: dict[str, Any]) -> bool:
        """Say whether the file of a manifest's entry exists and has the digest of the entry."""
        path = self.folder / entry["file"]
        return path.exists() and bool(_sha256(path.read_bytes()) == entry["sha256"])

    def load(self) -> tuple[dict[int, Loaded], FilterWeights]:
        """Load the generators of all 47 classes and the legibility filter, each checked against its digest.

        Raises:
            CheckpointError: names the file that is missing or damaged, with both digests.
        """
        manifest = self.manifest()
        try:
            shapes = weight_shapes(Architecture(**manifest["architecture"]))
            entries = {c.index: manifest["classes"][c.name] for c in GLYPH_CLASSES}
            filter_entry = manifest["reader"]
        except KeyError as error:
            raise CheckpointError(
                f"{self._manifest_path} lacks {error}: `python -m batch.train --resume` trains what is missing"
            ) from error
        except TypeError as error:
            raise CheckpointError(f"{self._manifest_path} describes another architecture: {error}") from error
        frequencies = {index: np.array(entry["shape_frequencies"]) for index, entry in entries.items()}
        return {
            index: Loaded(
                self._load(entry, GeneratorWeights, shapes),
                frequencies[index] / frequencies[index].sum(),
                entry["latent_spread"],
            )
            for index, entry in entries.items()
        }, self._load(filter_entry, FilterWeights, FILTER_SHAPES)

    def _load(self, entry: dict[str, Any], make: type[_Arrays], shapes: dict[str, tuple[int, ...]]) -> _Arrays:
        path = self.folder / entry["file"]
        try:
            packed = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"checkpoint {path} can't be read: {error.strerror}") from error
        if (found := _sha256(packed)) != entry["sha256"]:
            raise CheckpointError(
                f"checkpoint {path} is damaged: sha256 is {found}, the manifest says {entry['sha256']}"
            )
        with np.load(io.BytesIO(packed)) as stored:
            arrays = {name: stored[name].astype(np.float32) for name in stored.files}
        if (found_shapes := {name: array.shape for name, array in arrays.items()}) != shapes:
            raise CheckpointError(f"checkpoint {path} holds {found_shapes}, but must hold {shapes}")
        return make(**arrays)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
