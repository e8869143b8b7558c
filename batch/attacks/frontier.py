"""Trials of styles, and which of them no other beats."""

from collections.abc import Mapping, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np

from batch.attacks.untrained import Variants, attack
from batch.drawing.captchas import Labelled
from batch.drawing.style import RenderStyle
from batch.evaluation.reader import CharacterReader, decoded


class Trial(NamedTuple):
    """How a style does; shares of whole codes."""

    name: str
    read: float
    """By the character reader."""
    attacked: float
    """By the best attack."""
    attack: str
    style: RenderStyle


def try_style(
    name: str,
    style: RenderStyle,
    codes: Sequence[str],
    captchas: Sequence[Labelled],
    reader: CharacterReader,
    attacks: Mapping[str, Variants],
) -> Trial:
    """Have captchas of a style, with these codes, read and attacked."""
    pictures = np.stack([decoded(captcha) for captcha in captchas])
    found = {kind: attack(variants, pictures, codes, lambda _: None) for kind, variants in attacks.items()}
    best = max(found, key=lambda kind: found[kind].codes)
    return Trial(name, reader.read(captchas).codes, found[best].codes, f"{best}, {found[best].variant}", style)


def is_unbeaten(trial: Trial, trials: Sequence[Trial]) -> bool:
    """Say whether no other trial is read more and attacked less."""
    return not any(other.read >= trial.read and other.attacked < trial.attacked for other in trials) and not any(
        other.read > trial.read and other.attacked == trial.attacked for other in trials
    )


def plot(file: BinaryIO, trials: Sequence[Trial]) -> None:
    """Draw the best attack against the reader; the styles that no other beats are joined."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only developers have it

    figure = Figure((7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.scatter([100 * t.read for t in trials], [100 * t.attacked for t in trials], s=12, color="0.6")
    edge = sorted((100 * t.read, 100 * t.attacked) for t in trials if is_unbeaten(t, trials))
    axes.plot(*zip(*edge, strict=True), color="C0", drawstyle="steps-pre")
    for trial in trials:
        if not trial.name.isdigit():
            axes.scatter(100 * trial.read, 100 * trial.attacked, color="C1")
            axes.annotate(
                trial.name, (100 * trial.read, 100 * trial.attacked), xytext=(4, 4), textcoords="offset points"
            )
    axes.set(xlabel="codes read by the character reader, %", ylabel="codes read by the best attack, %")
    figure.savefig(file, format="png", dpi=120)
