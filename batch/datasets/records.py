"""The captchas of a shard: the same bytes wherever and however often they are drawn."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from batch.datasets.codes import Pattern, SplitChooser
from batch.datasets.plan import Plan, Shard, Variant
from batch.glyphs.sampler import Sampler

if TYPE_CHECKING:
    from batch.drawing.captchas import Labelled

TOGETHER = 125
"""Captchas drawn together from one seed; the size of a shard should be a multiple of it."""


@dataclass(frozen=True)
class Record:
    """A captcha of a dataset."""

    index: int
    """in the whole dataset"""
    code: str
    variant: Variant
    captcha: "Labelled"


def touched(shard: Shard) -> range:
    """Give the indices that are drawn for a shard: its own, and those drawn together with them."""
    return range(shard.start // TOGETHER * TOGETHER, -(-shard.end // TOGETHER) * TOGETHER)


def draw_records(plan: Plan, shard: Shard, codes: Sequence[str] | None, sampler: Sampler) -> list[Record]:
    """Draw a shard. `codes` are those of all `touched` indices, or None for random ones.

    A captcha depends on the seed and its index, not on the size of the shards.
    """
    records: list[Record] = []
    drawn = touched(shard)
    for first in drawn[::TOGETHER]:
        together = None if codes is None else codes[first - drawn.start :][:TOGETHER]
        group = draw_group(plan, first, together, sampler)
        records += [record for record in group if shard.start <= record.index < shard.end]
    return records


def draw_group(plan: Plan, first: int, codes: Sequence[str] | None, sampler: Sampler) -> list[Record]:
    """Draw the captchas that share a seed, from the index `first`, a multiple of `TOGETHER`, on."""
    from batch.drawing.captchas import draw_labelled  # noqa: PLC0415 - the process that starts workers does without

    rng = np.random.default_rng([plan.seed, first])
    codes = _draw_codes(plan, first, rng) if codes is None else codes
    chosen = rng.choice(len(plan.variants), len(codes), p=[variant.share for variant in plan.variants])
    records: dict[int, Record] = {}
    for number, variant in enumerate(plan.variants):
        places = np.flatnonzero(chosen == number).tolist()
        if places:
            own = [codes[place] for place in places]
            captchas = draw_labelled(own, sampler, variant.style, rng, masks=plan.masks)
            for place, code, captcha in zip(places, own, captchas, strict=True):
                records[place] = Record(first + place, code, variant, captcha)
    return [records[place] for place in range(len(codes))]


def _draw_codes(plan: Plan, first: int, rng: np.random.Generator) -> list[str]:
    code_rng = random.Random(rng.bytes(16))  # noqa: S311 - the labels of a dataset are no secret
    pattern = Pattern(plan.pattern or "", plan.classes.characters)
    if not plan.disjoint:
        return [pattern.draw(code_rng) for _ in range(TOGETHER)]
    chooser, codes = SplitChooser(plan.seed, plan.splits), []
    for index in range(first, first + TOGETHER):
        split = plan.split_of(index)
        code = pattern.draw(code_rng)
        while chooser.choose(code) != split:
            code = pattern.draw(code_rng)
        codes.append(code)
    return codes
