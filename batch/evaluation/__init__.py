"""How near generated glyphs are to real ones, and how well machines read captchas."""

import os
from pathlib import Path

CACHE_DIR = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "gantcha"
"""Of the reference classifier; here, where no import is slow."""
