"""Checkpoints: an `.onnx` file for each glyph class and one for the legibility filter, and their manifest."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gantcha.alphabet import GlyphClasses
from gantcha.errors import GantchaError
from gantcha.glyphs.network import Network
from gantcha.trained import MANIFEST, classes_of

FORMAT = 2
_DRAWN_WITH = "sha256", "style_frequencies", "latent_scale"  # of the entry of a network


class CheckpointError(GantchaError):
    """A checkpoint or the manifest is missing, damaged or of another format."""


class Loaded(NamedTuple):
    """All that drawing glyphs needs."""

    classes: GlyphClasses
    """`drawn` are those that have a generator"""
    generators: dict[int, Network]
    """generators by label; input `latent` `[N, latent_size]` and `style` `[N]`, output `[N, 28, 28]`"""
    filter: Network
    """input `glyphs` `[N, 28, 28]`, output the probability of each class `[N, C]`"""
    latent_size: int
    style_frequencies: npt.NDArray[np.float64]
    """`[C, style_count]`, sum 1 for each class that has a generator"""
    latent_scales: npt.NDArray[np.float32]
    """`[C]`, standard deviation of the latents; 1 in training"""


class Checkpoints:
    """A folder of checkpoints with its manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def manifest_path(self) -> Path:
        """Path of the manifest."""
        return self.folder / MANIFEST

    def exist(self) -> bool:
        """Return whether the manifest exists."""
        return self.manifest_path.exists()

    def manifest(self) -> dict[str, Any]:
        """Read the manifest.

        Raises:
            CheckpointError: it is missing, not JSON, or of another format.
        """
        path = self.manifest_path
        try:
            manifest = json.loads(path.read_bytes())
        except OSError as error:
            reason = f"can't be read ({error.strerror})"
            raise CheckpointError(f"{path} {reason}: `python -m gantcha train` makes it") from error
        except ValueError as error:
            raise CheckpointError(f"{path} is not JSON: {error}") from error
        found = manifest.get("format") if isinstance(manifest, dict) else None
        if found != FORMAT:
            raise CheckpointError(
                f"{path} has format {found}, this version reads {FORMAT}: use the checkpoints that come with it, or "
                "train again with `python -m gantcha train`"
            )
        return dict(manifest)

    def digest(self) -> str:
        """Return the sha256 of all that drawing depends on, whatever else the manifest says.

        Raises:
            CheckpointError: as `manifest` does.
        """
        manifest = self.manifest()
        entries = [manifest.get("legibility_filter", {}), *manifest.get("classes", {}).values()]
        parts = [[entry.get(name) for name in _DRAWN_WITH] for entry in entries]
        classes = classes_of(manifest).symbols, sorted(manifest.get("classes", {}))
        return sha256_of(json.dumps([manifest.get("architecture"), classes, parts]).encode())

    def is_sound(self, entry: dict[str, Any]) -> bool:
        """Return whether the file of a manifest's entry exists and has the digest of the entry."""
        path = self.folder / entry["file"]
        return path.exists() and bool(sha256_of(path.read_bytes()) == entry["sha256"])

    def load(self) -> Loaded:
        """Load the generators and the legibility filter, each checked against its digest.

        Classes that are not trained yet are left out.

        Raises:
            CheckpointError: names the file that is missing or damaged, with both digests, or no class is trained yet.
        """
        manifest = self.manifest()
        try:
            classes, architecture = classes_of(manifest), manifest["architecture"]
            if not classes.drawn:
                raise CheckpointError(
                    f"no class is finished in {self.folder}; .training/*.png there shows how far it is"
                )
            frequencies = np.zeros((len(classes), architecture["style_count"]))
            scales = np.ones(len(classes), np.float32)
            for c in classes.drawn:
                entry = manifest["classes"][c.name]
                frequencies[c.index], scales[c.index] = entry["style_frequencies"], entry["latent_scale"]
            return Loaded(
                classes,
                {c.index: self._load(manifest["classes"][c.name]) for c in classes.drawn},
                self._load(manifest["legibility_filter"]),
                architecture["latent_size"],
                frequencies / frequencies.sum(1, keepdims=True).clip(np.finfo(float).tiny),
                scales,
            )
        except KeyError as error:
            raise CheckpointError(
                f"{self.manifest_path} lacks {error}: `python -m gantcha train --resume` trains what is missing"
            ) from error

    def _load(self, entry: dict[str, Any]) -> Network:
        path = self.folder / entry["file"]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"checkpoint {path} can't be read: {error.strerror}") from error
        if (found := sha256_of(content)) != entry["sha256"]:
            raise CheckpointError(
                f"checkpoint {path} is damaged: sha256 is {found}, the manifest says {entry['sha256']}"
            )
        return Network(path)


def sha256_of(content: bytes) -> str:
    """Return the digest of a file in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
