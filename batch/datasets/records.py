"""The captchas of a shard: the same bytes wherever and however often they are drawn."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from batch.alphabet import draw_codes
from batch.datasets.plan import Plan, Shard
from batch.glyphs.sampler import Sampler

if TYPE_CHECKING:
    from batch.drawing.captchas import Labelled

TOGETHER = 500
"""Captchas drawn together from one seed; the size of a shard should be a multiple of it."""


@dataclass(frozen=True)
class Record:
    """A captcha of a dataset."""

    index: int
    """in the whole dataset"""
    code: str
    captcha: "Labelled"


def touched(shard: Shard) -> range:
    """Give the indices that are drawn for a shard: its own, and those drawn together with them."""
    return range(shard.start // TOGETHER * TOGETHER, -(-shard.end // TOGETHER) * TOGETHER)


def draw_records(plan: Plan, shard: Shard, codes: Sequence[str] | None, sampler: Sampler) -> list[Record]:
    """Draw a shard. `codes` are those of all `touched` indices, or None for random ones.

    A captcha depends on the seed and its index, not on the size of the shards.
    """
    from batch.drawing.captchas import draw_labelled  # noqa: PLC0415 - the process that starts workers does without

    records = []
    drawn = touched(shard)
    for first in drawn[::TOGETHER]:
        rng = np.random.default_rng([plan.seed, first])
        together = _draw_codes(plan, rng) if codes is None else codes[first - drawn.start :][:TOGETHER]
        captchas = draw_labelled(together, sampler, plan.style, rng)
        for index, (code, captcha) in enumerate(zip(together, captchas, strict=True), first):
            if shard.start <= index < shard.end:
                records.append(Record(index, code, captcha))
    return records


def _draw_codes(plan: Plan, rng: np.random.Generator) -> list[str]:
    code_rng = random.Random(rng.bytes(16))  # noqa: S311 - the labels of a dataset are no secret
    lengths = rng.integers(*plan.lengths, TOGETHER, endpoint=True)
    return [code for length in lengths.tolist() for code in draw_codes(1, plan.alphabet, length, code_rng)]
