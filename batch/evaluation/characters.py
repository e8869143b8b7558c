"""The characters of captchas, cut out and read one by one."""

import cv2
import numpy as np
import numpy.typing as npt

from batch.alphabet import CHARACTER_OF_CLASS, SIDE, choose_classes
from batch.drawing.render import vary_weight
from batch.drawing.style import RenderStyle
from batch.drawing.text_lines import TextLines, bend_lines, concat_pics
from batch.evaluation.judge import ReferenceClassifier
from batch.glyphs.sampler import Sampler


def read_characters(
    codes: list[str], sampler: Sampler, judge: ReferenceClassifier, style: RenderStyle, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw the lines of these codes and have each character read: what they are and what they are read as, `[N]`.

    The classifier is told where each glyph is, and sees the lines before strokes cross them and noise covers them.
    """
    classes = choose_classes(codes, rng)
    lines = concat_pics(sampler.draw_legible(classes, rng), rng, style)
    lines = bend_lines(lines, style.width(len(codes[0])), rng, style)
    enlargement = style.pixel_ratio * float(np.mean(style.enlargement) * np.mean(style.size))
    glyphs = cut_out(lines, vary_weight(lines.strokes, rng, style), enlargement)
    read = judge.judge(glyphs.reshape(-1, SIDE, SIDE)).classes
    return CHARACTER_OF_CLASS[classes.ravel()], CHARACTER_OF_CLASS[read]


def cut_out(lines: TextLines, inked: npt.NDArray[np.float32], enlargement: float) -> npt.NDArray[np.uint8]:
    """Cut glyphs `[N, L, 28, 28]` out of inked lines `[N, H, W]` where they are known to be."""
    glyphs = np.zeros((*lines.places.shape[:2], SIDE, SIDE), np.float32)
    side = round(SIDE * enlargement)
    for line, places, cuts in zip(inked, lines.places, glyphs, strict=True):
        padded = cv2.copyMakeBorder(line, side, side, 0, 0, cv2.BORDER_CONSTANT, value=0)
        for (left, right, middle), cut in zip(np.rint(places).astype(int), cuts, strict=True):
            # Of the neighbours only what overlaps may show.
            patch = padded[middle + side - side // 2 :][:side, max(left, 0) : max(right, left + 1)]
            width = min(max(round(patch.shape[1] / enlargement), 1), SIDE)
            start = (SIDE - width) // 2
            cut[:, start : start + width] = cv2.resize(patch, (width, SIDE), interpolation=cv2.INTER_AREA)
    levels: npt.NDArray[np.uint8] = np.rint(glyphs * 255).astype(np.uint8)
    return levels
