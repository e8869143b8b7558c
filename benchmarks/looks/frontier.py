"""Search for looks that people read and machines do not: `python -m benchmarks.looks.frontier`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, NamedTuple

import numpy as np
import typer
from rich.progress import TimeRemainingColumn

from batch.evaluation import CACHE_DIR
from batch.packages import training_packages
from batch.progress import progress_bar
from batch.sheets import writing
from benchmarks.looks.page import write_page
from benchmarks.looks.random_looks import random_look, vary_look
from benchmarks.strength.ocr import require_extras
from gantcha.alphabet import draw_codes
from gantcha.captcha import Captcha, draw_captchas
from gantcha.drawing.look import BOUNDS, DIFFICULTIES, LOOKS, USUAL_DECOYS, Kind, Look
from gantcha.errors import one_line_errors
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.glyphs.sampler import Sampler
from gantcha.terminal import run
from pool.settings import load_settings

if TYPE_CHECKING:
    from benchmarks.looks.character_reader import CharacterReader
    from benchmarks.strength.untrained import Variants

_USUAL_BEST = "ddddocr-told", "rapidocr-told", "segments-filter"  # attacks
_SHOWN = 4  # captchas of each difficulty


class Trial(NamedTuple):
    """How a look does; shares of whole codes."""

    name: str
    read: float
    """share read by the character reader"""
    attacked: float
    """share read by the best attack"""
    attack: str
    look: Look


def try_look(
    name: str,
    look: Look,
    codes: Sequence[str],
    captchas: Sequence[Captcha],
    reader: "CharacterReader",
    attacks: "Mapping[str, Variants]",
) -> Trial:
    """Have captchas of a look, with these codes, read and attacked."""
    from benchmarks.strength.untrained import attack

    pictures = np.stack([captcha.picture for captcha in captchas])
    found = {kind: attack(variants, pictures, codes, lambda _: None) for kind, variants in attacks.items()}
    best = max(found, key=lambda kind: found[kind].codes)
    return Trial(name, reader.read(captchas).codes, found[best].codes, f"{best}, {found[best].variant}", look)


def is_unbeaten(trial: Trial, trials: Sequence[Trial]) -> bool:
    """Return whether no other trial is read more and attacked less."""
    return not any(other.read >= trial.read and other.attacked < trial.attacked for other in trials) and not any(
        other.read > trial.read and other.attacked == trial.attacked for other in trials
    )


def plot(file: BinaryIO, trials: Sequence[Trial]) -> None:
    """Draw the best attack against the reader; the looks that no other beats are joined."""
    from matplotlib.figure import Figure

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


def _settings(look: Look) -> str:
    """Return what the look changes, as options of `gantcha fill`."""
    usual, changed = LOOKS[look.kind]["standard"], []
    for name in BOUNDS:
        if (value := getattr(look, name)) != getattr(usual, name):
            ends = value if isinstance(value, tuple) else (value,)
            changed.append(f"--set {name}={','.join(f'{end:.4g}' for end in ends)}")
    return " ".join(changed)


def main(
    kind: Annotated[Kind | None, typer.Option(help="Instead of CAPTCHA_KIND.")] = None,
    looks: Annotated[int, typer.Option(min=0, help="Looks to try, besides those of the three difficulties.")] = 60,
    pixel_ratio: Annotated[
        int, typer.Option(min=1, max=2, help="Density of the pictures: 2 as in challenges, 1 as in datasets.")
    ] = 2,
    captchas: Annotated[int, typer.Option(min=20, help="Captchas of each look.")] = 300,
    cache: Annotated[Path, typer.Option(help="Folder that keeps the trained character reader.")] = CACHE_DIR,
    out: Annotated[
        Path | None, typer.Option(help="Write frontier-<kind>.png and looks-<kind>.png to this folder.")
    ] = None,
) -> None:
    """Try random looks: what share of codes does the best attack read, and what share a stand-in for people?

    The first half of the looks is drawn at random, the other half varies those that nothing else beats. The attacks
    are the usual best of `benchmarks.strength`, in few variants. Measure the look that you choose by
    `benchmarks.strength`, and have people read it (`benchmarks.looks.readability --sheet`). A look takes a minute of
    one core.

    \b
    Examples:
        python -m benchmarks.looks.frontier
        python -m benchmarks.looks.frontier --kind crossed-out --looks 200 --out docs
    """
    with one_line_errors():
        with training_packages():
            from benchmarks.looks.character_reader import CharacterReader
            from benchmarks.strength.untrained import untrained_attacks
        require_extras()
        settings = load_settings(kind=kind)
        checkpoints, alphabet, length = Checkpoints(settings.checkpoints_dir), settings.alphabet, settings.length
        sampler, rng = Sampler(checkpoints), np.random.default_rng()
        decoys = alphabet if settings.kind == "crossed-out" else ""
        with progress_bar(TimeRemainingColumn()) as progress:
            bar = progress.add_task("character reader", total=1)
            reader = CharacterReader.cached(
                checkpoints, alphabet, length, pixel_ratio, cache, lambda share: progress.advance(bar, share)
            )
            usual = untrained_attacks(
                alphabet,
                length,
                {"filter": lambda glyphs: sampler.filter.run(glyphs=glyphs)},
                USUAL_DECOYS * bool(decoys),
                pixel_ratio=pixel_ratio,
                few=True,
            )
            attacks = {name: variants() for name, variants in usual if name in _USUAL_BEST}
            bar = progress.add_task("looks", total=looks + len(DIFFICULTIES))
            trials: list[Trial] = []
            shown: list[Captcha] = []
            for number in range(looks + len(DIFFICULTIES)):
                name = str(number)
                if number < len(DIFFICULTIES):
                    name = DIFFICULTIES[number]
                    look = settings.model_copy(update={"difficulty": name}).look
                elif number < looks // 2:
                    look = random_look(decoys, rng)
                else:
                    parents = [trial.look for trial in trials if is_unbeaten(trial, trials)]
                    look = vary_look(parents[rng.integers(len(parents))], rng)
                look = replace(look, pixel_ratio=pixel_ratio)
                codes = draw_codes(captchas, alphabet, length)
                drawn = list(draw_captchas(codes, sampler, look, rng, labelled=True))
                trials.append(try_look(name, look, codes, drawn, reader, attacks))
                if name in DIFFICULTIES:
                    shown += drawn[:_SHOWN]
                progress.advance(bar)
        if out:
            with writing(out / f"frontier-{settings.kind}.png") as file:
                plot(file, trials)
            captions = [name for name in DIFFICULTIES for _ in range(_SHOWN)]
            write_page(out / f"looks-{settings.kind}.png", shown, captions)
    for trial in sorted(trials, key=lambda trial: -trial.read):
        if is_unbeaten(trial, trials) or trial.name in DIFFICULTIES:
            print(
                f"{trial.name}: {trial.read:.1%} of codes read by the stand-in, {trial.attacked:.1%} by {trial.attack}"
            )
            print(f"  {_settings(trial.look)}")


if __name__ == "__main__":
    run(main)
