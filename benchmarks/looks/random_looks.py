"""Random looks: what a search for better ones chooses from."""

from dataclasses import fields
from typing import Any

import numpy as np

from gantcha.drawing.look import Look

_KEEP = 0.75  # of each value of a parent


def random_look(decoys: str, rng: np.random.Generator) -> Look:
    """Draw a look, of crossed-out captchas if there are `decoys`; wide enough to hold those of every difficulty."""

    def within(least: float, most: float) -> float:
        return float(rng.uniform(least, most))

    def around(least: float, most: float, spread: float) -> tuple[float, float]:
        middle = within(least, most)
        return middle * (1 - spread), middle * (1 + spread)

    gap, ink, pale = within(-4, 5) if decoys else within(-9, 2), within(0.6, 0.92), within(0.2, 0.42)
    chosen: dict[str, Any] = {
        "kind": "crossed-out" if decoys else "plain",
        "decoys": decoys,
        "truncation": within(0.6, 1),
        "height": 120 if rng.random() < 0.5 else int(rng.integers(96, 120)),
        "pitch": 37 if decoys else 50 - int(rng.integers(12)) * (rng.random() < 0.5),
        "enlargement": around(1.5, 2.2, within(0.05, 0.2)),
        "aspect": within(0.7, 1),
        "size": (within(0.8, 1), 1.05),
        "slant": within(0, 0.3),
        "turn": within(0.02, 0.22),
        "shear": within(0.03, 0.2),
        "glyph_offset": within(0, 20),
        "gap": (gap - 2, gap + 2),
        "line_offset": within(2, 8),
        "baseline_amplitude": around(4, 34, 0.15),
        "baseline_wavelength": around(65, 140, 0.2),
        "warp_amplitude": around(0, 9, 0.3),
        "warp_wavelength": around(80, 130, 0.2),
        "elastic_displacement": within(0, 4),
        "strikes": int(rng.integers(4)),
        "scribbles": int(rng.integers(11)),
        "contrast": (ink, 0.95),
        "pale_contrast": (pale * 0.55, pale),
        "noise": within(0, 0.1),
        "grain": int(rng.integers(1, 4)),
    }
    return Look(**chosen)


def vary_look(look: Look, rng: np.random.Generator) -> Look:
    """Keep most values of a look and draw the others anew, as a genetic search does."""
    other = random_look(look.decoys, rng)
    kept = {field.name: getattr(look if rng.random() < _KEEP else other, field.name) for field in fields(look)}
    return Look(**kept)
