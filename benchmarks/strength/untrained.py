"""Attacks on captchas, each in its variants: how pictures are prepared, cut and read."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.ctc import Decoded, drop_least_certain
from batch.evaluation.metrics import wilson_interval
from benchmarks.strength.ocr import MODES, has_tesseract, read_with_ddddocr, read_with_tesseract
from benchmarks.strength.preprocessing import HALVED, Pictures, Preprocessing, preprocessings
from benchmarks.strength.segmentation import Classify, read_segments
from benchmarks.strength.told import CUTS, OcrNetwork, open_ddddocr, open_rapidocr, read_rows
from gantcha.characters import is_right, normalize_answer

Read = Callable[[Pictures], list[str]]
ReadCount = Callable[[Pictures, int], Decoded]
ReadAt = Callable[[float], ReadCount]
"""Density of the prepared pictures -> what reads a number of characters of them."""
Variants = Mapping[str, Read]

_ALL = list(preprocessings(1))
_TWO_LEVELS = [name for name in _ALL if "threshold" in name or name == "flattened"]
_OFTEN_BEST = {
    "ocr": ["none", "blur 1.2", "threshold 95", "threshold 110", "threshold 125", "half size"]
    + [name for name in _ALL if name.startswith("straightened")],
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
    alphabet: str,
    length: int,
    classifiers: Mapping[str, Classify],
    extra: int = 0,
    *,
    pixel_ratio: int = 1,
    few: bool = False,
) -> Iterator[tuple[str, Callable[[], Variants]]]:
    """Return the attacks that need none of our captchas: names, and what loads their programs and gives their variants.

    Where captchas show `extra` characters that do not count, all are read and the least certain left out. Pictures of
    double density are read as they are and halved. With `few`, only the variants that are usually the best.
    """
    ocr, segments = (_OFTEN_BEST["ocr"], _OFTEN_BEST["segments"]) if few else (_ALL, _TWO_LEVELS)
    ways, cuts = preprocessings(pixel_ratio), [""] if few else list(CUTS)
    bare = _only(ways, ["none"])
    yield "ddddocr", lambda: {name: _after(way, read_with_ddddocr) for name, way in bare.items()}
    if has_tesseract():
        for mode in MODES:
            yield f"tesseract-{mode}", partial(_tesseract_variants, alphabet, bare, [mode])
        yield "tesseract-told", partial(_tesseract_variants, alphabet, _only(ways, ocr), MODES)
    networks: dict[str, Callable[[str], OcrNetwork]] = {
        "ddddocr-told": open_ddddocr,
        "ddddocr-beta-told": partial(open_ddddocr, beta=True),
        "rapidocr-told": open_rapidocr,
    }

    def told(open_network: Callable[[str], OcrNetwork]) -> Variants:
        network = open_network(alphabet)  # it brings pictures of any density to its own height
        return _variants(lambda _: network.read, _with_surest(ways, ocr), alphabet, length, extra, cuts)

    for name, open_network in networks.items():
        yield name, partial(told, open_network)
    for name, classify in classifiers.items():
        read_at = partial(_segments_at, alphabet, classify)
        yield (
            f"segments-{name}",
            partial(_variants, read_at, _with_surest(ways, segments), alphabet, length, extra, cuts),
        )


def _only(ways: Mapping[str, Preprocessing], names: Collection[str]) -> dict[str, Preprocessing]:
    """Choose by name, of the pictures as they are and of the halved ones."""
    return {name: way for name, way in ways.items() if name.removeprefix(HALVED) in names}


def _with_surest(ways: Mapping[str, Preprocessing], names: Collection[str]) -> dict[str, list[Preprocessing]]:
    """Choose by name; add the surest of all thresholds for each picture, which are several."""
    groups = {name: [way] for name, way in _only(ways, names).items()}
    for size in ("", HALVED):
        if thresholds := [way for name, way in ways.items() if name.startswith(f"{size}threshold")]:
            groups[f"{size}surest threshold"] = thresholds
    return groups


def _after(way: Preprocessing, read: Read) -> Read:
    return lambda pictures: read(way.apply(pictures))


def _tesseract_variants(alphabet: str, ways: Mapping[str, Preprocessing], modes: Collection[str]) -> Variants:
    return {
        f"{name}, {mode}": _after(way, partial(read_with_tesseract, mode=mode, alphabet=alphabet))
        for name, way in ways.items()
        for mode in modes
    }


def _segments_at(alphabet: str, classify: Classify, pixel_ratio: float) -> ReadCount:
    return partial(read_segments, alphabet=alphabet, classify=classify, pixel_ratio=pixel_ratio)


def _variants(
    read_at: ReadAt,
    groups: Mapping[str, Sequence[Preprocessing]],
    alphabet: str,
    length: int,
    extra: int,
    cuts: Sequence[str],
) -> Variants:
    """Combine preprocessings, the surest of each group for each picture, with cuts and left out characters."""
    symbols = np.array(sorted(set(alphabet)))

    def answer(group: Sequence[Preprocessing], cut: float | None, dropped: int, pictures: Pictures) -> list[str]:
        decoded = [read_rows(read_at(way.pixel_ratio), way.apply(pictures), length + dropped, cut) for way in group]
        surest = np.argmax([reading.score for reading in decoded], 0)
        texts = np.stack([drop_least_certain(reading, dropped) for reading in decoded])
        return ["".join(characters) for characters in symbols[texts[surest, np.arange(len(pictures))]]]

    return {
        f"{name}{cut}{f', without the {dropped} least certain' * (dropped > 0)}": partial(
            answer, group, CUTS[cut], dropped
        )
        for cut in cuts
        for name, group in groups.items()
        for dropped in {0, extra}
    }
