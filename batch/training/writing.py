"""Checkpoints as a training writes them: each file whole or not at all."""

import json
from typing import Any

from gantcha.glyphs.checkpoints import FORMAT, Checkpoints, sha256_of
from pool.storage.atomic import write_durably


class CheckpointWriter(Checkpoints):
    """A folder of checkpoints that can be written. Its methods raise StorageError when the folder is not writable."""

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest."""
        write_durably(self.manifest_path, json.dumps(manifest | {"format": FORMAT}, indent=1).encode() + b"\n")

    def write(self, name: str, network: bytes) -> dict[str, Any]:
        """Write an `.onnx` file and return its entry for the manifest."""
        path = self.folder / f"{name}.onnx"
        write_durably(path, network)
        return {"file": path.name, "bytes": len(network), "sha256": sha256_of(network)}

    def write_evaluation(self, measured: dict[str, Any]) -> None:
        """Write what was measured of these generators beside the manifest, which drawing depends on."""
        content = {"generators": self.digest()} | measured
        write_durably(self.folder / "evaluation.json", json.dumps(content, indent=1).encode() + b"\n")
