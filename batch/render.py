"""Rendering: glyphs to finished captchas, every step over the whole batch at once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batch.emnist import SIDE

GREY_LEVELS = 16  # four bits a pixel: half the bytes of 256 levels, and the noise hides the steps


@dataclass(frozen=True)
class RenderSettings:
    """How a captcha looks."""

    height: int = 80
    pitch: int = 36
    """Pixels from one glyph to the next; less than a glyph, so that neighbours come close."""
    margin: int = 10
    enlargement: float = 2.0
    paper: float = 0.9
    """Brightness of the background, 0 black to 1 white."""
    ink: float = 0.15
    """Brightness of a full stroke."""
    noise: float = 0.09
    """Standard deviation of the Gaussian noise, in the same unit."""


def concat_pics(glyphs: npt.NDArray[np.uint8], settings: RenderSettings = RenderSettings()) -> npt.NDArray[np.float32]:
    """Enlarge glyphs `[N, L, 28, 28]` and set them side by side: strokes `[N, H, W]`, 0 paper to 1 full stroke."""
    count, length = glyphs.shape[:2]
    side = round(SIDE * settings.enlargement)
    centres = (np.arange(side) + 0.5) / settings.enlargement - 0.5
    # Bilinear interpolation is linear: one matrix for the rows, the same for the columns.
    enlarge = np.stack([np.interp(centres, np.arange(SIDE), unit) for unit in np.eye(SIDE)], 1).astype(np.float32)
    enlarged = enlarge @ (glyphs.astype(np.float32) / 255) @ enlarge.T
    blank = SIDE // 7 * round(settings.enlargement)  # EMNIST leaves this much around a glyph
    width = settings.pitch * (length - 1) + side - 2 * blank + 2 * settings.margin
    strokes = np.zeros((count, settings.height, width + 2 * blank), np.float32)
    top, left = (settings.height - side) // 2, settings.margin
    for place in range(length):
        across = slice(left + place * settings.pitch, left + place * settings.pitch + side)
        window = strokes[:, top : top + side, across]
        np.maximum(window, enlarged[:, place], out=window)
    return strokes[:, :, blank : blank + width]


def add_noise(
    strokes: npt.NDArray[np.float32], rng: np.random.Generator, settings: RenderSettings = RenderSettings()
) -> npt.NDArray[np.uint8]:
    """Put strokes `[N, H, W]` in ink on paper with Gaussian noise: grey levels 0-15 `[N, H, W]`."""
    brightness = settings.paper - (settings.paper - settings.ink) * strokes
    brightness += settings.noise * rng.standard_normal(strokes.shape, np.float32)
    levels: npt.NDArray[np.float32] = np.rint(brightness * (GREY_LEVELS - 1))
    return levels.clip(0, GREY_LEVELS - 1).astype(np.uint8)
