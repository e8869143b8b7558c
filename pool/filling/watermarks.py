"""When to refill and how far: the levels from the settings, or higher ones while demand is high."""

from typing import NamedTuple

from pool.settings import Settings

_LOW_SECONDS = 60  # seconds of demand that the pool must cover until a refill helps
_TARGET_SECONDS = 120
_MOST = 100_000  # captchas: half a gigabyte of pictures


class Watermarks(NamedTuple):
    """Levels of the pool, in ready captchas."""

    low_water: int
    """level below which a refill starts"""
    target: int
    """level at which a refill ends"""


def watermarks(settings: Settings, demand: float) -> Watermarks:
    """Return the levels that keep the pool ahead of `demand`, in captchas per second; never below the settings."""
    low, target = (min(round(demand * seconds), _MOST) for seconds in (_LOW_SECONDS, _TARGET_SECONDS))
    return Watermarks(max(settings.low_water, low), max(settings.target, target))
