"""Attacks on captchas, each in its variants: how pictures are prepared, cut and read."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.evaluation.metrics import wilson_interval
from benchmarks.strength.ctc import Decoded, drop_least_certain
from benchmarks.strength.ocr import has_tesseract, read_with_ddddocr, read_with_tesseract
from benchmarks.strength.preprocessing import PREPROCESSINGS, Pictures
from benchmarks.strength.segmentation import Classify, read_segments
from benchmarks.strength.told import CUTS, OcrNetwork, open_ddddocr, open_rapidocr, read_rows
from gantcha.characters import is_right, normalize_answer

Read = Callable[[Pictures], list[str]]
ReadCount = Callable[[Pictures, int], Decoded]
Variants = Mapping[str, Read]

_THRESHOLDS = [name for name in PREPROCESSINGS if name.startswith("threshold")]
_TWO_LEVELS = [name for name in PREPROCESSINGS if "threshold" in name or name == "flattened"]
_OFTEN_BEST = {
    "ocr": ["none", "blur 1.2", "threshold 95", "threshold 110", "threshold 125", "half size"]
    + [name for name in PREPROCESSINGS if name.startswith("straightened")],
    "segments": ["threshold 80", "threshold 95", "threshold 110", "flattened"],
}


class Success(NamedTuple):
    """The result of an attack."""

    codes: float
    """Share of codes read whole."""
    low: float
    high: float
    """95 % interval of `codes`."""
    characters: float
    """Share of characters read in their place."""
    variant: str = ""
    """variant that read most of other pictures"""
    chosen_at: float | None = None
    """share of codes that it read of those"""
    seconds: float | None = None
    """processor time of reading a captcha"""
    steps: int | None = None
    """steps of the training, if there was one"""
    trained_seconds: float | None = None
    """processor time of the training, as the next"""
    drawing_seconds: float | None = None


def rate(codes: Sequence[str], answers: Sequence[str]) -> Success:
    """Compare answers with codes as the server does."""
    pairs = [(normalize_answer(code), normalize_answer(answer)) for code, answer in zip(codes, answers, strict=True)]
    whole = sum(code == answer for code, answer in pairs)
    in_place = sum(one == other for pair in pairs for one, other in zip(*pair, strict=False))
    low, high = wilson_interval(whole, len(pairs))
    return Success(whole / len(pairs), low, high, in_place / sum(map(len, codes)))


def attack(
    variants: Variants, pictures: npt.NDArray[Any], codes: Sequence[str], report: Callable[[float], Any]
) -> Success:
    """Choose a variant on the first half of the pictures, and measure it on the other half.

    With one variant there is nothing to choose, and all are measured. Of several the better half is kept after each
    round (sequential halving, Karnin et al. 2013). `report` is called with each finished share.
    """
    if len(variants) == 1:
        ((name, read),) = variants.items()
        found = _measure(read, pictures, codes)
        report(1)
        return found._replace(variant=name)
    left, half = dict.fromkeys(variants, 0.0), len(pictures) // 2
    rounds = (len(variants) - 1).bit_length()
    bounds = (half * np.linspace(0, 1, rounds + 1) ** 1.5).astype(int)  # few for the many, more for the good
    for first, last in pairwise(bounds):
        for name in left:
            answers = variants[name](pictures[first:last]) if last > first else []
            left[name] += sum(map(is_right, answers, codes[first:last]))
            report(1 / (rounds + 1) / len(left))
        best = sorted(left, key=lambda name: -left[name])[: -(-len(left) // 2)]
        left = {name: left[name] for name in best}
    (name,) = left
    found = _measure(variants[name], pictures[half:], codes[half:])
    report(1 / (rounds + 1))
    return found._replace(variant=name, chosen_at=left[name] / max(half, 1))


def _measure(read: Read, pictures: Pictures, codes: Sequence[str]) -> Success:
    started = time.process_time()
    answers = read(pictures)
    return rate(codes, answers)._replace(seconds=(time.process_time() - started) / len(pictures))


def untrained_attacks(
    alphabet: str, length: int, classifiers: Mapping[str, Classify], extra: int = 0, *, few: bool = False
) -> Iterator[tuple[str, Callable[[], Variants]]]:
    """Return the attacks that need none of our captchas: names, and what loads their programs and gives their variants.

    Where captchas show `extra` characters that do not count, all are read and the least certain left out. With `few`,
    only the variants that are usually the best.
    """
    yield "ddddocr", lambda: {"": read_with_ddddocr}
    ocr, segments = (_OFTEN_BEST["ocr"], _OFTEN_BEST["segments"]) if few else (list(PREPROCESSINGS), _TWO_LEVELS)
    cuts = [""] if few else list(CUTS)
    if has_tesseract():
        yield "tesseract-line", lambda: {"": partial(read_with_tesseract, mode="line", alphabet=alphabet)}
        yield "tesseract-word", lambda: {"": partial(read_with_tesseract, mode="word", alphabet=alphabet)}
        yield "tesseract-told", partial(_tesseract_variants, alphabet, ocr)
    networks: dict[str, Callable[[str], OcrNetwork]] = {
        "ddddocr-told": open_ddddocr,
        "ddddocr-beta-told": partial(open_ddddocr, beta=True),
        "rapidocr-told": open_rapidocr,
    }

    def told(open_network: Callable[[str], OcrNetwork]) -> Variants:
        return _variants(open_network(alphabet).read, ocr, alphabet, length, extra, cuts)

    for name, open_network in networks.items():
        yield name, partial(told, open_network)
    for name, classify in classifiers.items():
        read = partial(read_segments, alphabet=alphabet, classify=classify)
        yield f"segments-{name}", partial(_variants, read, segments, alphabet, length, extra, cuts)


def _tesseract_variants(alphabet: str, preprocessings: list[str]) -> Variants:
    def read(preprocessing: str, mode: str, pictures: Pictures) -> list[str]:
        return read_with_tesseract(PREPROCESSINGS[preprocessing](pictures), mode, alphabet)

    return {f"{name}, {mode}": partial(read, name, mode) for name in preprocessings for mode in ("line", "word")}


def _variants(
    read: ReadCount, preprocessings: list[str], alphabet: str, length: int, extra: int, cuts: list[str]
) -> Variants:
    """Combine preprocessings, also the surest of all thresholds for each picture, with cuts and left out characters."""
    symbols = np.array(sorted(set(alphabet)))

    def answer(names: list[str], cut: float | None, dropped: int, pictures: Pictures) -> list[str]:
        decoded = [read_rows(read, PREPROCESSINGS[name](pictures), length + dropped, cut) for name in names]
        surest = np.argmax([reading.score for reading in decoded], 0)
        texts = np.stack([drop_least_certain(reading, dropped) for reading in decoded])
        return ["".join(characters) for characters in symbols[texts[surest, np.arange(len(pictures))]]]

    prepared = {name: [name] for name in preprocessings} | {"surest threshold": _THRESHOLDS}
    return {
        f"{name}{cut}{f', without the {dropped} least certain' * (dropped > 0)}": partial(
            answer, names, CUTS[cut], dropped
        )
        for cut in cuts
        for name, names in prepared.items()
        for dropped in {0, extra}
    }
