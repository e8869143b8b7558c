"""The server for ASGI servers: `uvicorn gantcha.asgi:application --http gantcha.asgi:BoundedProtocol --ws none`."""

from importlib import import_module
from typing import Any

from gantcha.home import enter

_PLACES = {"application": "server.app", "BoundedProtocol": "server.protocol"}


def __getattr__(name: str) -> Any:
    """Import a name on first use. Raises ForeignModuleError where this process has a `server` or `pool` of its own."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    enter()
    return getattr(import_module(_PLACES[name]), name)
