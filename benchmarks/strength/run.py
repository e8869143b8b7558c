"""All attacks on captchas of one kind, untrained and trained."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.progress import Progress

from batch.baseline import downsample
from benchmarks.strength.crnn import CrnnSolver
from benchmarks.strength.detector import detecting
from benchmarks.strength.preprocessing import PREPROCESSINGS, Pictures
from benchmarks.strength.segmentation import Classify
from benchmarks.strength.sources import Draw, draw_in_chunks
from benchmarks.strength.untrained import Success, attack, rate, untrained_attacks
from gantcha.captcha import Captcha

_DETECTED = 1000  # labelled captchas that the detector learns from
_TWO_LEVELS = "threshold 95", "threshold 110"


class Budget(NamedTuple):
    """How much work attacks may be."""

    counts: Sequence[int]
    """Captcha captchas; there is a training with each number."""
    seconds: float
    """Processor time of a training of the CRNN."""
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


def run_attacks(
    target: Target,
    lessons: list[str],
    alphabet: str,
    classifiers: Mapping[str, Classify],
    budget: Budget,
    words: Sequence[str],
    progress: Progress,
) -> dict[str, Success]:
    """Attack captchas; solvers learn from others with the codes in `lessons`.

    Where characters are crossed out, untrained attacks also read more than count and leave out the least certain.
    With `words`, run only attacks whose names contain one of them.
    """
    source, codes, victims, draw, decoys, draw_labelled = target

    def bar(text: str, total: float) -> Callable[[float], Any]:
        task = progress.add_task(f"{source}: {text}", total=total)
        return lambda done: progress.advance(task, done)

    def wanted(name: str) -> bool:
        return not words or any(word in name for word in words)

    found = {
        name: attack(variants(), victims, codes, bar(name, 1))
        for name, variants in untrained_attacks(alphabet, len(codes[0]), classifiers, decoys, few=budget.few)
        if wanted(name)
    }
    detector = f"detector-{len(lessons[:_DETECTED])}"
    if draw_labelled and wanted(detector):
        report = bar(detector, len(_TWO_LEVELS))
        examples = draw_labelled(lessons[:_DETECTED])
        variants = {
            name: detecting(PREPROCESSINGS[name], examples, alphabet, classifiers["filter"], decoys, report)
            for name in _TWO_LEVELS
        }
        found[detector] = attack(variants, victims, codes, lambda _: None)
    names = {f"crnn-{count}": count for count in budget.counts if wanted(f"crnn-{count}")}
    if names:
        pictures = draw_in_chunks(draw, lessons, bar("drawing for the solvers", len(lessons)), downsample)
    for name, count in names.items():
        solver = CrnnSolver(alphabet, seed=1)
        solver.train(pictures[:count], lessons[:count], bar(name, budget.seconds), budget.seconds)
        found[name] = rate(codes, solver.solve(downsample(victims)))
    return found
