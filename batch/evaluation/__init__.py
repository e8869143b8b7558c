"""How near generated glyphs are to real ones, and how well machines read captchas."""

import os
from pathlib import Path

CACHE_DIR = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "gantcha"
"""Folder that keeps trained classifiers; defined here, where no import is slow."""
