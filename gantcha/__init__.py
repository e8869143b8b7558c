"""Handwritten captchas from Python: `draw` a code, `draw_many`, or take as many labelled `samples` as you like.

    import gantcha

    captcha = gantcha.draw("ab12")
    for captcha in gantcha.draw_many(["Hello", "world"], seed=1):
        ...
    for captcha in gantcha.samples(seed=1, length=(4, 8), mix={"easy": 0.5, "hard": 0.5}):
        ...

`gantcha.pytorch` and `gantcha.tensorflow` give the samples to those libraries.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gantcha.captcha import Captcha
    from gantcha.errors import GantchaError
    from gantcha.stream import draw, draw_many, samples

# Its Linux builds report to their makers otherwise, and keep a device id in the home folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["Captcha", "GantchaError", "__version__", "draw", "draw_many", "samples"]
__version__ = "0.2.0"
_PLACES = {
    "Captcha": "captcha",
    "GantchaError": "errors",
    "draw": "stream",
    "draw_many": "stream",
    "samples": "stream",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use: what only reads the alphabet needs neither OpenCV nor ONNX Runtime."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"gantcha.{_PLACES[name]}"), name)
