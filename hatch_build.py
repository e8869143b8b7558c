"""What a wheel has besides the package `gantcha`: the service, in a folder that is no package.

An editable installation has no copy of it: there the service is the checkout's.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDERS = "batch", "pool", "server", "migrations"
_CHECKPOINTS = "*.onnx", "manifest.json"


class ServiceHook(BuildHookInterface[Any]):
    """Adds `gantcha/_service` to real wheels."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files; hatchling calls this with the version `standard` or `editable`."""
        if version != "standard":
            return
        root = Path(self.root)
        files = [path for folder in _FOLDERS for path in (root / folder).rglob("*.*") if path.suffix != ".pyc"]
        files += [path for pattern in _CHECKPOINTS for path in (root / "checkpoints").glob(pattern)]
        build_data["force_include"] |= {
            str(path): f"gantcha/_service/{path.relative_to(root).as_posix()}"
            for path in sorted(files)  # in any order of the disk, the same wheel
            if path.is_file()
        }
