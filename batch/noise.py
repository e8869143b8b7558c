"""A warning of generators that draw noise, since they were not trained for long enough or on good images."""

import sys

from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.trained import classes_of

_LEAST = 0.2
"""Share of legible glyphs, below which a captcha has illegible ones though the filter may choose of a dozen."""
_NAMED = 5


def warn_of_noise(checkpoints: Checkpoints, characters: str) -> None:
    """Print a line on stderr if few of the glyphs of some of these characters are legible.

    Raises:
        CheckpointError: as `Checkpoints.manifest` does.
    """
    manifest = checkpoints.manifest()
    entries = {c: manifest["classes"][c.name] for c in classes_of(manifest).drawn if c.character in characters}
    noisy = {c.symbol: share for c, entry in entries.items() if (share := entry.get("legible", 1.0)) < _LEAST}
    if noisy:
        symbols = " ".join([*noisy][:_NAMED]) + f" and {len(noisy) - _NAMED} more" * (len(noisy) > _NAMED)
        share = sum(noisy.values()) / len(noisy)
        print(f"warning: {share:.0%} of the glyphs of {symbols} are legible: train longer", file=sys.stderr)
