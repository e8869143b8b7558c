"""The dataset card: a README beside the data that says what it is, and how to load and reproduce it."""

import json
from dataclasses import asdict

from batch.datasets.formats import FORMATS, Format
from batch.datasets.places import Place
from batch.datasets.plan import FOLDER, Plan
from gantcha.alphabet import BYMERGE
from gantcha.stream import MixedLook

MEASURES = f"{FOLDER}/measures.json"
"""File with the accuracy of a recogniser that was measured on a dataset."""

_CARD = """---
license: mit
pretty_name: Gantcha captchas
task_categories:
- image-to-text
tags:
- captcha
- ocr
- synthetic
size_categories:
- {size}
{configs}---

# Gantcha captchas

{count:,} captchas drawn by neural networks: one GAN generator for each handwritten glyph class{of_data}.

| split | captchas |
|---|---|
{splits}

```python
{example}
```

Each captcha has

- `index`: the number of the captcha;
- `code`: what to type, without regard to case; `cased`: the glyph classes that it is drawn as, `A` or `a`; a letter of
  which one class holds both cases{merged} is a capital there, and its case is not known;
- `characters`: all that are drawn, in order, and `crossed_out`: which of them are not part of the code;
- `boxes`: for each character the box of its ink, `[left, top, right, bottom]` in pixels, the last two exclusive
  (in COCO `[left, top, width, height]`); characters touch, so boxes may overlap;
{masks}- `glyph_classes`: for each character the glyph class that it was drawn as;
{objects}- `kind`: plain or crossed-out; `difficulty`: how hard it is made for machines; `theme`: light or dark paper;
- `parameters`: what was drawn at random, for the line or for each character, by the names of the look's settings;
- `generators`: digest of the generators.

| made with | |
|---|---|
| seed | {seed} |
| codes | {codes} |
| generators | `{generators}` |
| version of the drawing | {drawing} |

| kind | difficulty | theme | share | look |
|---|---|---|---|---|
{variants}
{measures}
The same plan (`.gantcha/plan.json`) gives the same bytes with the same versions of NumPy, OpenCV and Gantcha on the
same kind of processor, however many processes draw. A captcha depends on the seed, its number and the options, not on
the count: a dataset with the same seed repeats captchas of this one, also in other splits.
`gantcha fill --dataset <this folder> --verify` compares all files with their checksums.
"""
_BASELINE = """
## A baseline

A CRNN (`batch/baseline.py` of Gantcha), taught with {taught:,} captchas of `train` at a quarter of their size for
{seconds:,.0f} seconds of one core, first with the places of the characters and then with CTC, reads of `test`, without
regard to case, and with characters that look alike in handwriting as one:

| difficulty | captchas | characters | whole codes |
|---|---|---|---|
{rows}
"""
_CONFIGS = """\
configs:
- config_name: default
  data_files:
{files}
"""
_OBJECTS = """\
- `objects`: the same for object detection: `bbox`, boxes as in COCO, and `category`, numbers of the glyph classes,
  from 0, in the order {classes};
"""
_SIZES = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B"]
_MASKS = """\
- masks: where each character has ink; a picture of a bit a pixel with the masks one below the other, in COCO
  polygons of each annotation;
"""


_MIXED = "kind", "difficulty", "theme"
_MERGED = "in EMNIST C, I to M, O, P, S and U to Z"


def write_card(plan: Plan, place: Place) -> None:
    """Describe a finished dataset. Raises StorageError when its folder is not writable."""
    format_, first = FORMATS[plan.format], next(iter(plan.splits))
    text = _CARD.format(
        size=_SIZES[max(len(str(plan.count)) - 3, 0)],
        count=plan.count,
        of_data=" of EMNIST" if plan.symbols == BYMERGE.symbols else "",
        splits="\n".join(f"| {split} | {count:,} |" for split, count in plan.counts.items()),
        configs=_configs(plan, format_),
        example=format_.example.format(
            folder=place.name.rpartition("/")[2], split=first, last=plan.shard_count(first) - 1
        ),
        merged=f" ({_MERGED})" if plan.symbols == BYMERGE.symbols else "",
        objects=_OBJECTS.format(classes=" ".join(plan.symbols)) if format_.objects else "",
        masks=_MASKS if plan.stream.masks else "",
        seed=plan.stream.seed,
        codes=f"random, of the pattern `{plan.stream.pattern}`, all equally likely" if plan.stream.pattern else "given",
        generators=plan.generators,
        drawing=plan.drawing,
        variants="\n".join(map(_row, plan.stream.looks)),
        measures=_baseline(place.read(MEASURES)),
    )
    place.write("README.md", text.encode())


def _configs(plan: Plan, format_: Format) -> str:
    """Name the files of each split for the library `datasets`, which allows no hyphen in the name of a split."""
    if format_.on_the_hub is None:
        return ""
    files = {split.replace("-", "_"): format_.on_the_hub.format(split=split) for split in plan.splits}
    return _CONFIGS.format(files="\n".join(f"  - split: {split}\n    path: {path}" for split, path in files.items()))


def _baseline(measures: bytes | None) -> str:
    if measures is None:
        return ""
    found = json.loads(measures)
    rows = [
        f"| {difficulty} | {row['captchas']:,} | {row['characters']:.1%} | {row['codes']:.1%} |"
        for difficulty, row in found["by_difficulty"].items()
    ]
    return _BASELINE.format(taught=found["taught"], seconds=found["seconds"], rows="\n".join(rows))


def _row(mixed: MixedLook) -> str:
    share, look = mixed
    settings = {name: value for name, value in asdict(look).items() if name not in _MIXED and value != ""}
    shown = ", ".join(f"{name} {_shown(value)}" for name, value in settings.items())
    return f"| {look.kind} | {look.difficulty} | {look.theme} | {share:.3g} | {shown} |"


def _shown(value: object) -> str:
    return " to ".join(map(str, value)) if isinstance(value, tuple) else str(value)
