"""Write the reference set, on which recognisers can be compared: `python -m batch.reference_set`."""

import io
import json
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from PIL import Image
from rich.progress import TimeElapsedColumn, TimeRemainingColumn

from batch.datasets import request
from batch.datasets.card import MEASURES, write_card
from batch.datasets.formats import FORMATS
from batch.datasets.places import Place, open_place
from batch.datasets.plan import Plan
from batch.packages import training_packages
from batch.progress import progress_bar
from batch.workers import on_this_machine
from gantcha.characters import normalize_answer
from gantcha.drawing.look import DIFFICULTIES
from gantcha.errors import GantchaError, one_line_errors
from gantcha.terminal import run
from pool.cores import available_cores
from pool.settings import load_settings

_TESTED = 10_000  # captchas: more take long and tell little more


def main(
    out: Annotated[str, typer.Option(help="Folder or s3://bucket/prefix; one that was begun is continued.")],
    count: Annotated[int, typer.Option(min=200, help="Captchas in all.")] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the captchas.")] = 1,
    taught: Annotated[int, typer.Option(min=64, help="Captchas that the baseline learns from, at most.")] = 20_000,
    seconds: Annotated[float, typer.Option(min=1, help="Processor seconds of its training.")] = 300,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that draw in parallel.")] = available_cores(),
) -> None:
    """Write captchas of three difficulties with masks in three splits, and measure a baseline recogniser on them.

    Codes are six of all characters, and none is in two splits. The baseline is a CRNN that sees a quarter of the size;
    its accuracy by difficulty goes into the dataset card. The look is otherwise that of the CAPTCHA_ settings.

    \b
    Examples:
        python -m batch.reference_set --out reference
        python -m batch.reference_set --out reference --count 20000
    """
    with one_line_errors():
        with training_packages():
            from batch.baseline import SHRINK, Learnt, downsample, train_baseline
        settings = load_settings()
        asked = request.Request(
            format="webdataset",
            count=count,
            split="train=0.9,val=0.05,test=0.05",
            mix="easy=0.3,standard=0.4,hard=0.3",
            length="6",
            alphabet=settings.characters,
            disjoint=True,
            masks=True,
            seed=seed,
        )
        settings = load_settings(alphabet=settings.characters)
        place, engine = open_place(out), on_this_machine(jobs)
        begun = Plan.load(place) is not None
        print(request.write(out, asked, settings, engine, resume=begun))
        plan = Plan.load(place)
        if plan is None:
            raise GantchaError(f"{place} was removed meanwhile")

        def read(split: str, most: int) -> Learnt:
            found = list(islice(_labelled(plan, place, split), most))
            pictures = np.concatenate([downsample(picture[None], SHRINK) for picture, _ in found])
            return Learnt(pictures, [label for _, label in found])

        started, learnt, tested = time.monotonic(), read("train", taught), read("test", _TESTED)
        with progress_bar(TimeElapsedColumn(), TimeRemainingColumn(), lines=True) as progress:
            bar = progress.add_task("baseline", total=seconds)
            baseline = train_baseline(learnt, settings.characters, seconds, lambda done: progress.advance(bar, done))
        codes, answers = [label["code"] for label in tested.labels], baseline.solve(tested.pictures)
        difficulties = np.array([label["difficulty"] for label in tested.labels])
        by_difficulty = {}
        for difficulty in DIFFICULTIES:
            own = np.flatnonzero(difficulties == difficulty).tolist()
            alike = _alike([codes[i] for i in own], [answers[i] for i in own])
            shares = {"characters": float(alike.mean()), "codes": float(alike.all(1).mean())}
            by_difficulty[difficulty] = {"captchas": len(own)} | shares
        measures = {"taught": len(learnt.labels), "seconds": seconds, "by_difficulty": by_difficulty}
        place.write(MEASURES, json.dumps(measures, indent=1).encode() + b"\n")
        write_card(plan, place)
    for difficulty, row in by_difficulty.items():
        print(f"{difficulty}: {row['characters']:.1%} of characters, {row['codes']:.1%} of {row['captchas']} codes")
    print(f"the baseline took {time.monotonic() - started:.0f} s")


def _alike(codes: Sequence[str], answers: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Compare answers with codes of one length as a server does, character by character: `[N, L]`."""
    given, meant = (np.array([list(normalize_answer(text)) for text in texts]) for texts in (answers, codes))
    alike: npt.NDArray[np.bool_] = given == meant
    return alike


def _labelled(plan: Plan, place: Place, split: str) -> Iterator[tuple[npt.NDArray[np.uint8], dict[str, Any]]]:
    """Read a split: pictures `[H, W]` and their labels."""
    format_ = FORMATS[plan.format]
    for shard in plan.shards():
        if shard.split == split:
            for png, label in format_.read(place, format_.path(shard)):
                yield np.asarray(Image.open(io.BytesIO(png))), label


if __name__ == "__main__":
    run(main)
