"""The looks that a dataset mixes, from the settings and the options `--mix` and `--set`."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from itertools import product
from typing import get_args

from pydantic import TypeAdapter, ValidationError

from batch.datasets.plan import DatasetError, Variant
from batch.drawing.style import RenderStyle, choose_style
from pool.settings import Difficulty, Kind, Settings, Theme

SHARE = r"(0?\.\d+|1(?:\.0*)?)"
_PART = re.compile(rf"([a-z-]+)={SHARE}")
_MIXED = {"kind": get_args(Kind), "difficulty": get_args(Difficulty), "theme": get_args(Theme)}
_OPTIONS = {field.name for field in fields(RenderStyle)} - {"pixel_ratio", "dark", "decoys"}


def add_up(shares: Sequence[float]) -> bool:
    """Say whether shares make up 1."""
    return math.isclose(sum(shares), 1, abs_tol=1e-6)


Shares = dict[str, dict[str, float]]
"""Of each kind, each difficulty and each theme, where they are mixed."""


def choose_variants(settings: Settings, mixed: Shares, changes: Sequence[str]) -> tuple[Variant, ...]:
    """Give the looks of a dataset: all that are mixed, each with the `changes`.

    Raises:
        DatasetError: a change is not like `noise=0.1`, or out of range.
    """
    shares = {name: {str(getattr(settings, name)): 1.0} for name in _MIXED} | mixed
    variants = []
    for (kind, k), (difficulty, d), (theme, t) in product(*(shares[name].items() for name in _MIXED)):
        own = settings.model_copy(update={"kind": kind, "difficulty": difficulty, "theme": theme})
        variants.append(Variant(kind, difficulty, theme, k * d * t, _changed(choose_style(own), changes)))
    return tuple(variants)


def read_shares(mix: str) -> Shares:
    """Read what is to be mixed. Raises DatasetError for what is not like `easy=0.3,hard=0.7,light=0.5,dark=0.5`."""
    shares: Shares = {}
    for part in filter(None, mix.split(",")):
        match = _PART.fullmatch(part.strip())
        group = next((name for name, values in _MIXED.items() if match and match[1] in values), None)
        if not match or not group or match[1] in shares.get(group, {}):
            names = ", ".join(value for values in _MIXED.values() for value in values)
            raise DatasetError(f"--mix {mix}: must look like easy=0.3,standard=0.5,hard=0.2, with some of {names}")
        shares.setdefault(group, {})[match[1]] = float(match[2])
    for group, mixed in shares.items():
        if not add_up(list(mixed.values())):
            raise DatasetError(f"--mix {mix}: the shares of each {group} must make up 1")
    return shares


def _changed(style: RenderStyle, changes: Sequence[str]) -> RenderStyle:
    values = asdict(style)
    for change in changes:
        name, _, text = change.partition("=")
        if name not in _OPTIONS:
            raise DatasetError(f"--set {change}: must look like noise=0.1, with one of {', '.join(sorted(_OPTIONS))}")
        ends = text.split(",")
        values[name] = (ends * 2 if len(ends) == 1 else ends) if isinstance(values[name], tuple) else text
        try:
            changed = TypeAdapter(RenderStyle).validate_python(values)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            raise DatasetError(f"--set {change}: {reason[0].lower()}{reason[1:]}") from error
        values = asdict(changed)
        if isinstance(values[name], tuple) and values[name][0] > values[name][1]:
            raise DatasetError(f"--set {change}: the lower limit comes first")
    return RenderStyle(**values)
