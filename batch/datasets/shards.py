"""The captchas of a shard: the same bytes wherever and however often they are drawn."""

from collections.abc import Sequence
from pathlib import Path

from batch.datasets.codes import SplitChooser
from batch.datasets.formats import FORMATS
from batch.datasets.places import Files
from batch.datasets.plan import Plan, Shard
from gantcha.captcha import Captcha
from gantcha.glyphs.sampler import Sampler, load_sampler
from gantcha.stream import TOGETHER, Accepts, draw_group


def touched(shard: Shard) -> range:
    """Return the numbers that are drawn for a shard: its own, and those drawn together with them."""
    return range(shard.start // TOGETHER * TOGETHER, -(-shard.end // TOGETHER) * TOGETHER)


def draw_captchas_of(plan: Plan, shard: Shard, codes: Sequence[str] | None, sampler: Sampler) -> list[Captcha]:
    """Draw the captchas of a shard. `codes` are those of all `touched` numbers, or None for random ones.

    A captcha depends on the seed and its number, not on the size of the shards.
    """
    captchas: list[Captcha] = []
    drawn, accepts = touched(shard), _accepts(plan)
    for first in drawn[::TOGETHER]:
        own = None if codes is None else codes[first - drawn.start :][:TOGETHER]
        group = draw_group(plan.stream, first, sampler, own, accepts)
        captchas += [captcha for captcha in group if shard.start <= captcha.index < shard.end]
    return captchas


def _accepts(plan: Plan) -> Accepts | None:
    if not plan.disjoint:
        return None
    chooser = SplitChooser(plan.stream.seed, plan.splits)
    return lambda index, code: chooser.choose(code) == plan.split_of(index)


def draw_shard(plan: Plan, shard: Shard, codes: Sequence[str] | None, checkpoints_dir: Path) -> Files:
    """Draw a shard's files, in a worker. A repeated call returns the same bytes."""
    return FORMATS[plan.format].pack(plan, draw_captchas_of(plan, shard, codes, load_sampler(checkpoints_dir)))
