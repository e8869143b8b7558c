"""All attacks on captchas of one kind, untrained and trained."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.progress import Progress

from batch.attacks.cnn import CnnSolver, downsample
from batch.attacks.crnn import CrnnSolver
from batch.attacks.detector import detecting
from batch.attacks.preprocessing import PREPROCESSINGS, Pictures
from batch.attacks.segmentation import Classify
from batch.attacks.sources import Draw, draw_in_chunks
from batch.attacks.untrained import Success, attack, knowing_attacks, rate, untrained_attacks
from batch.drawing.captchas import Labelled
from batch.drawing.crossing import Crossed
from batch.drawing.style import USUAL_DECOYS

_DETECTED = 1000  # labelled captchas that the detector learns from
_TWO_LEVELS = "threshold 95", "threshold 110"


class Budget(NamedTuple):
    """How much work attacks may be."""

    counts: Sequence[int]
    """Labelled captchas; there is a training with each number."""
    steps: int
    """Of the CNN."""
    seconds: float
    """Of the CRNN."""
    few: bool
    """Only the usual best variants of the untrained attacks; without what is known of crossings"""


class Target(NamedTuple):
    """Captchas of one kind to attack, and how to draw more of them."""

    kind: str
    codes: list[str]
    pictures: Pictures
    draw: Draw
    crossed: Sequence[Crossed] = ()
    """Which of their characters are crossed out."""
    draw_labelled: Callable[[list[str]], Sequence[Labelled]] | None = None
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

    Where characters are crossed out, untrained attacks also read more than count and leave out the least certain;
    others know what is crossed out. With `words`, run only attacks whose names contain one of them.
    """
    kind, codes, victims, draw, crossed, draw_labelled = target

    def bar(text: str, total: float) -> Callable[[float], Any]:
        task = progress.add_task(f"{kind}: {text}", total=total)
        return lambda done: progress.advance(task, done)

    def wanted(name: str) -> bool:
        return not words or any(word in name for word in words)

    decoys = USUAL_DECOYS if any(map(np.any, crossed)) else 0
    found = {
        name: attack(variants(), victims, codes, bar(name, 1))
        for name, variants in untrained_attacks(alphabet, len(codes[0]), classifiers, decoys, few=budget.few)
        if wanted(name)
    }
    if decoys and not budget.few:
        found |= {
            name: attack(variants(), np.arange(len(codes)), codes, bar(name, 1))
            for name, variants in knowing_attacks(alphabet, victims, crossed, classifiers)
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
    names = [name for count in budget.counts for name in (f"cnn-{count}", f"crnn-{count}") if wanted(name)]
    if names:
        pictures = draw_in_chunks(draw, lessons, bar("drawing for the solvers", len(lessons)), downsample)
    for name in names:
        solver_name, _, count = name.partition("-")
        learnt, taught = pictures[: int(count)], lessons[: int(count)]
        solver: CnnSolver | CrnnSolver
        if solver_name == "cnn":
            solver = CnnSolver(alphabet, seed=1)
            solver.train(learnt, taught, bar(name, budget.steps), budget.steps)
        else:
            solver = CrnnSolver(alphabet, seed=1)
            solver.train(learnt, taught, bar(name, budget.seconds), budget.seconds)
        found[name] = rate(codes, solver.solve(downsample(victims)))
    return found
