"""All attacks on captchas of one kind, untrained and trained."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from batch.baseline import downsample
from batch.recogniser import BATCH, COLUMN, Crnn, Lesson
from benchmarks.strength.detector import detecting
from benchmarks.strength.preprocessing import HALVED, Pictures, halve, preprocessings
from benchmarks.strength.segmentation import Classify
from benchmarks.strength.sources import Draw
from benchmarks.strength.untrained import Success, attack, rate, untrained_attacks
from gantcha.alphabet import draw_codes
from gantcha.captcha import Captcha
from gantcha.frames import label_frames

_DRAWN = 4 * BATCH  # labelled captchas that are drawn at once
_TWO_LEVELS = "threshold 95", "threshold 110"


class Budget(NamedTuple):
    """How much work attacks may be."""

    minutes: Sequence[float]
    """Processor time of trainings of the CRNN; each has one of its own."""
    few: bool
    """Whether to run only the usual best variants of the untrained attacks"""


class Target(NamedTuple):
    """Captchas of one kind to attack, and how to draw more of them."""

    source: str
    """`gantcha`, or the name of a package"""
    codes: list[str]
    pictures: Pictures
    draw: Draw
    decoys: int = 0
    """number of characters that are usually crossed out"""
    draw_labelled: Callable[[list[str]], Sequence[Captcha]] | None = None
    """Draws captchas that show where each character is, if anybody can."""
    pixel_ratio: int = 1


def run_attacks(
    target: Target,
    lessons: list[str],
    alphabet: str,
    classifiers: Mapping[str, Classify],
    budget: Budget,
    words: Sequence[str],
    progress: Progress,
) -> dict[str, Success]:
    """Attack captchas; the detector learns from others with the codes in `lessons`, the CRNN from fresh ones.

    Where characters are crossed out, untrained attacks also read more than count and leave out the least certain.
    With `words`, run only attacks whose names contain one of them. Pictures of double density are read as they are and
    halved, by the CRNN only halved.
    """
    codes, victims, decoys = target.codes, target.pictures, target.decoys

    def bar(text: str, total: float) -> Callable[[float], Any]:
        task = progress.add_task(f"{target.source}: {text}", total=total)
        return lambda done: progress.advance(task, done)

    def wanted(name: str) -> bool:
        return not words or any(word in name for word in words)

    untrained = untrained_attacks(
        alphabet, len(codes[0]), classifiers, decoys, pixel_ratio=target.pixel_ratio, few=budget.few
    )
    found = {name: attack(variants(), victims, codes, bar(name, 1)) for name, variants in untrained if wanted(name)}
    detector = f"detector-{len(lessons)}"
    if target.draw_labelled and wanted(detector):
        ways = {
            name: way
            for name, way in preprocessings(target.pixel_ratio).items()
            if name.removeprefix(HALVED) in _TWO_LEVELS
        }
        report = bar(detector, len(ways))
        examples = target.draw_labelled(lessons)
        variants = {
            name: detecting(way, examples, alphabet, classifiers["filter"], decoys, report)
            for name, way in ways.items()
        }
        found[detector] = attack(variants, victims, codes, lambda _: None)
    for minutes in budget.minutes:
        name = f"crnn-{minutes:g}"
        if wanted(name):
            solver = Crnn(alphabet, seed=1)
            fresh = draw_lessons(partial(_draw_target, target, alphabet), alphabet, len(codes[0]))
            training = solver.train(fresh, bar(name, 60 * minutes), 60 * minutes)
            started = time.process_time()
            answers = solver.solve(_shown(victims, target.pixel_ratio))
            seconds = (time.process_time() - started) / len(victims)
            found[name] = rate(codes, answers)._replace(seconds=seconds, **training._asdict())
    return found


def _shown(pictures: Pictures, pixel_ratio: int) -> Pictures:
    """Return what the CRNN sees: half the size of single density, whatever theirs is."""
    return downsample(halve(pictures) if pixel_ratio == 2 else pictures)


def draw_lessons(
    draw: Callable[[list[str]], tuple[Pictures, npt.NDArray[np.int64] | None]], alphabet: str, length: int
) -> Iterator[Lesson]:
    """Give what `draw` shows of random codes without end: labels are free, generators and renderer being public."""
    while True:
        codes = draw_codes(_DRAWN, alphabet, length)
        pictures, frames = draw(codes)
        for start in range(0, _DRAWN, BATCH):
            part = slice(start, start + BATCH)
            yield Lesson(pictures[part], codes[part], None if frames is None else frames[part])


def show_labelled(captchas: Sequence[Captcha], alphabet: str) -> tuple[Pictures, npt.NDArray[np.int64]]:
    """Return what the CRNN sees of our captchas, and what each of its columns shows."""
    ratio = captchas[0].look.pixel_ratio
    column, symbols = COLUMN * ratio, "".join(sorted(set(alphabet)))
    columns = -(-captchas[0].levels.shape[1] // column)
    frames = [label_frames(c.boxes, c.characters, c.crossed_out, symbols, columns, column) for c in captchas]
    return _shown(np.stack([captcha.picture for captcha in captchas]), ratio), np.stack(frames)


def _draw_target(target: Target, alphabet: str, codes: list[str]) -> tuple[Pictures, npt.NDArray[np.int64] | None]:
    if target.draw_labelled:
        return show_labelled(target.draw_labelled(codes), alphabet)
    return _shown(target.draw(codes), target.pixel_ratio), None
