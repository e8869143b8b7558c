"""Which characters the generators in a folder draw, as its manifest says."""

import json
from pathlib import Path
from typing import Any

from gantcha.alphabet import BYMERGE, GlyphClasses
from gantcha.characters import to_characters

MANIFEST = "manifest.json"


def classes_of(manifest: dict[str, Any]) -> GlyphClasses:
    """Return the classes that a manifest is for; those of EMNIST where it names no symbols."""
    return GlyphClasses(manifest.get("symbols", BYMERGE.symbols), manifest.get("classes", {}))


def drawn_characters(checkpoints_dir: Path) -> str:
    """Return the characters that the finished generators in a folder draw, in the order of their manifest.

    Where none is finished, all that it is for: what draws tells of that.
    """
    classes = _classes_in(checkpoints_dir)
    return classes.characters or GlyphClasses(classes.symbols).characters


def untrained(characters: str, checkpoints_dir: Path) -> str:
    """Say which of these characters have no finished generator, and how they are trained; empty if none."""
    classes = _classes_in(checkpoints_dir)
    wanted = set(to_characters(characters)) - set(classes.characters)
    lacking = [c for c in classes if c.character in wanted]
    if not lacking:
        return ""
    named = "".join(dict.fromkeys(c.character for c in lacking))
    return (
        f"{named!r} is not trained yet: `python -m gantcha train --resume --classes "
        f"{','.join(c.name for c in lacking)}`, with the other options as before, trains it"
    )


def _classes_in(checkpoints_dir: Path) -> GlyphClasses:
    """Read the classes; a server that does not draw may have no manifest, and what draws tells of a damaged one."""
    try:
        return classes_of(json.loads((checkpoints_dir / MANIFEST).read_bytes()))
    except (OSError, ValueError, AttributeError):
        return BYMERGE
