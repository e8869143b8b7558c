"""What a wheel has besides the package `gantcha`: the service, in a folder that is no package.

An editable installation has no copy of it: there the service is the checkout's.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PARTS = "batch", "pool", "server", "migrations", "checkpoints"


class ServiceHook(BuildHookInterface[Any]):
    """Adds `gantcha/_service` to real wheels."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the folders; hatchling calls this with the version `standard` or `editable`."""
        if version == "standard":
            build_data["force_include"] |= {str(Path(self.root) / part): f"gantcha/_service/{part}" for part in _PARTS}
