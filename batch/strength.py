"""Attack captchas, ours and those of the PyPI package `captcha`: `python -m batch.strength`."""

import io
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import typer
from PIL import Image
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from batch.alphabet import draw_codes
from batch.captcha import choose_look, draw_captchas
from batch.checkpoints import Checkpoints
from batch.progress import progress_bar
from batch.render import HEIGHT, PITCH
from batch.sample import Sampler, writing
from batch.solver import STEPS, Solver, as_attacked
from pool.errors import GantchaError, one_line_errors
from pool.settings import Difficulty, Settings, load_settings

_CHUNK = 500
_TESSERACT_MODES = {"line": 7, "word": 8}
_Z = 1.96  # of 95 %

Pngs = list[bytes]


class ExtraMissingError(GantchaError):
    """A package that only this command needs is not installed."""


class Success(NamedTuple):
    """How well an attack did."""

    codes: float
    """Share of codes read whole."""
    low: float
    high: float
    """95 % interval of `codes`."""
    characters: float
    """Share of characters read in their place."""


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Give the 95 % score interval of a share (Wilson 1927)."""
    share = successes / trials
    middle = share + _Z**2 / (2 * trials)
    half = _Z * np.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    scale = 1 + _Z**2 / trials
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def rate(codes: Sequence[str], answers: Sequence[str]) -> Success:
    """Compare answers with codes, without case."""
    pairs = [(code, answer.lower()) for code, answer in zip(codes, answers, strict=True)]
    whole = sum(code == answer for code, answer in pairs)
    in_place = sum(one == other for pair in pairs for one, other in zip(*pair, strict=False))
    low, high = wilson_interval(whole, len(pairs))
    return Success(whole / len(pairs), low, high, in_place / sum(map(len, codes)))


def _grey(png: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("L"))


def read_with_tesseract(pngs: Pngs, page_mode: int, alphabet: str) -> list[str]:
    """Read captchas with Tesseract, told which characters there are."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.png" for number in range(len(pngs))]
        for path, png in zip(paths, pngs, strict=True):
            path.write_bytes(png)
        (Path(folder) / "list.txt").write_text("\n".join(map(str, paths)))
        both_cases = alphabet + "".join(c for c in alphabet.upper() if c.isalpha())
        finished = subprocess.run(
            ["tesseract", "list.txt", "stdout", "--psm", str(page_mode), "-c", f"tessedit_char_whitelist={both_cases}"],  # noqa: S607 - whichever is on the path
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    pages = finished.stdout.split("\f")  # Tesseract ends each page with one
    return ["".join(page.split()) for page in pages[: len(pngs)]]


def read_with_ddddocr(pngs: Pngs) -> list[str]:
    """Read captchas with the captcha solver ddddocr."""
    try:
        from ddddocr import DdddOcr  # noqa: PLC0415 - only developers have it
    except ImportError as error:
        raise ExtraMissingError(f"{error.name} is missing: `pip install -r requirements-dev.txt`") from error
    ocr = DdddOcr(show_ad=False)
    return [str(ocr.classification(png)) for png in pngs]


def draw_ours(codes: list[str], settings: Settings, report: Callable[[int], Any]) -> Pngs:
    """Draw our captchas for these codes."""
    sampler, look, rng = Sampler(Checkpoints(settings.checkpoints_dir)), choose_look(settings), np.random.default_rng()
    pngs: Pngs = []
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(codes), _CHUNK):
            drawn = draw_captchas(codes[start : start + _CHUNK], sampler, look, rng, threads)
            pngs += [captcha.png for captcha in drawn]
            report(len(drawn))
    return pngs


def draw_theirs(codes: list[str], report: Callable[[int], Any]) -> Pngs:
    """Draw the PyPI package's captchas for these codes, at our size."""
    try:
        from captcha.image import ImageCaptcha  # noqa: PLC0415 - only developers have it
    except ImportError as error:
        raise ExtraMissingError(f"{error.name} is missing: `pip install -r requirements-dev.txt`") from error
    generator = ImageCaptcha(width=PITCH * len(codes[0]), height=HEIGHT)
    pngs: Pngs = []
    for code in codes:
        pngs.append(generator.generate(code).getvalue())
        report(1)
    return pngs


class _Attacks:
    """The attacks on captchas of one kind."""

    def __init__(self, pngs: Pngs, codes: list[str], attacked: int, alphabet: str, progress: Progress) -> None:
        self._pngs, self._codes, self._attacked = pngs, codes, attacked
        self._alphabet, self._progress = alphabet, progress

    def run(self, name: str, samples: Sequence[int], steps: int) -> dict[str, Success]:
        """Run them all; the first captchas are attacked, the rest are what the solver may learn from."""
        attacked, codes = self._pngs[: self._attacked], self._codes[: self._attacked]
        results = {}
        if shutil.which("tesseract"):
            for mode, page_mode in _TESSERACT_MODES.items():
                task = self._progress.add_task(f"{name}: Tesseract, {mode}", total=None)
                results[f"tesseract-{mode}"] = rate(codes, read_with_tesseract(attacked, page_mode, self._alphabet))
                self._progress.update(task, total=1, completed=1)
        task = self._progress.add_task(f"{name}: ddddocr", total=None)
        results["ddddocr"] = rate(codes, read_with_ddddocr(attacked))
        self._progress.update(task, total=1, completed=1)
        pictures = as_attacked(np.stack([_grey(png) for png in self._pngs]))
        for count in samples:
            task = self._progress.add_task(f"{name}: CNN, {count} labelled", total=steps)
            solver = Solver(self._alphabet, seed=1)
            learnt = slice(self._attacked, self._attacked + count)
            solver.train(pictures[learnt], self._codes[learnt], partial(self._progress.advance, task), steps)
            results[f"cnn-{count}"] = rate(codes, solver.solve(pictures[: self._attacked]))
        return results


def main(
    difficulty: Annotated[Difficulty | None, typer.Option(help="Instead of CAPTCHA_DIFFICULTY.")] = None,
    samples: Annotated[int, typer.Option(min=10, help="Most labelled captchas that the CNN gets.")] = 10_000,
    attacked: Annotated[int, typer.Option(min=10, help="Captchas that each attacker has to read.")] = 1000,
    steps: Annotated[int, typer.Option(min=1, help="Budget of each CNN training, in steps.")] = STEPS,
    out: Annotated[Path, typer.Option(help="Folder for strength-<difficulty>.json and .png.")] = Path("docs"),
) -> None:
    """Measure how many captchas machines read: ours, and beside them those of the PyPI package `captcha`.

    Attackers are Tesseract (when installed), the captcha solver ddddocr, and a CNN trained on a tenth, three tenths
    and all of the labelled captchas. Each reads captchas it has not seen.

    \b
    Examples:
        python -m batch.strength
        python -m batch.strength --difficulty hard --samples 3000
    """
    with one_line_errors():
        settings = load_settings()
        if difficulty:
            settings = settings.model_copy(update={"difficulty": difficulty})
        counts = sorted({samples // 10, samples * 3 // 10, samples})
        codes = draw_codes(attacked + samples, settings.alphabet, settings.length)
        with progress_bar(TimeElapsedColumn(), TimeRemainingColumn()) as progress:
            task = progress.add_task("drawing", total=2 * len(codes))
            ours = draw_ours(codes, settings, lambda done: progress.advance(task, done))
            theirs = draw_theirs(codes, lambda done: progress.advance(task, done))
            results = {
                name: _Attacks(pngs, codes, attacked, settings.alphabet, progress).run(name, counts, steps)
                for name, pngs in (("gantcha", ours), ("captcha", theirs))
            }
        report = {
            "difficulty": settings.difficulty,
            "alphabet": settings.alphabet,
            "attacked": attacked,
            "cnn_steps": steps,
            "bytes": round(float(np.mean([len(png) for png in ours]))),
            "success": {
                name: {
                    attack: {k: round(v, 4) for k, v in success._asdict().items()} for attack, success in row.items()
                }
                for name, row in results.items()
            },
        }
        stem = f"strength-{settings.difficulty}"
        with writing(out / f"{stem}.json") as file:
            file.write(json.dumps(report, indent=1).encode() + b"\n")
        _plot(out / f"{stem}.png", results, counts)
    Console().print(_table(results, attacked))


def _table(results: dict[str, dict[str, Success]], attacked: int) -> Table:
    table = Table("attack", title=f"codes read whole, of {attacked} (95 % interval); characters")
    for name in results:
        table.add_column(name, justify="right")
    for attack in next(iter(results.values())):
        cells = [
            f"{found.codes:.1%} ({found.low:.1%} - {found.high:.1%}); {found.characters:.1%}"
            for found in (row[attack] for row in results.values())
        ]
        table.add_row(attack, *cells)
    return table


def _plot(path: Path, results: dict[str, dict[str, Success]], counts: Sequence[int]) -> None:
    """Draw success of the CNN against the number of labelled captchas."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - only developers have it
    except ImportError as error:
        raise ExtraMissingError(f"{error.name} is missing: `pip install -r requirements-dev.txt`") from error
    figure = Figure((7, 4), layout="constrained")
    axes = figure.subplots()
    for name, row in results.items():
        found = [row[f"cnn-{count}"] for count in counts]
        middles = np.array([success.codes for success in found])
        reach = np.abs(np.array([(success.low, success.high) for success in found]).T - middles)
        axes.errorbar(counts, 100 * middles, 100 * reach, marker="o", capsize=3, label=name)
    axes.set(xscale="log", xlabel="labelled captchas to learn from", ylabel="codes read whole, %", ylim=(0, 100))
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.legend()
    with writing(path) as file:
        figure.savefig(file, format="png", dpi=120)


if __name__ == "__main__":
    typer.run(main)
