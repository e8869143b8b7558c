"""The dataset card: a README beside the data that says what it is, and how to load and reproduce it."""

from pathlib import Path

from batch.datasets.formats import FORMATS
from batch.datasets.plan import Plan
from pool.storage.atomic import write_durably

_CARD = """---
pretty_name: Gantcha captchas
task_categories:
- image-to-text
tags:
- captcha
- ocr
- synthetic
size_categories:
- {size}
---

# Gantcha captchas

{count:,} captchas drawn by neural networks: one GAN generator for each handwritten glyph class of EMNIST.

| split | captchas |
|---|---|
{splits}

```python
{example}
```

Each captcha has

- `code`: what to type, without regard to case;
- `characters`: all that are drawn, in order, and `crossed_out`: which of them are not part of the code;
- `boxes`: for each character the box of its ink, `[left, top, right, bottom]` in pixels, the last two exclusive
  (in COCO `[left, top, width, height]`); characters touch, so boxes may overlap;
- `glyph_classes`: for each character the EMNIST ByMerge class that it was drawn as, `A` or `a`;
- `kind`: plain or crossed-out; `difficulty`: how hard it is made for machines;
- `generators`: sha256 of the manifest of the generators.

| made with | |
|---|---|
| seed | {seed} |
| codes | {codes} |
| kind, difficulty | {kind}, {difficulty} |
| generators | `{generators}` |

The same plan (`.gantcha/plan.json`) gives the same bytes with the same versions of NumPy, OpenCV and Gantcha on the
same kind of processor, however many processes draw.
"""
_SIZES = {10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M", 10**7: "1M<n<10M"}


def write_card(plan: Plan, folder: Path) -> None:
    """Describe a finished dataset. Raises StorageError when its folder is not writable."""
    first = next(iter(plan.splits))
    last = -(-plan.splits[first] // plan.shard_size) - 1
    shortest, longest = plan.lengths
    length = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"
    text = _CARD.format(
        size=next((size for most, size in _SIZES.items() if plan.count < most), "n>10M"),
        count=plan.count,
        splits="\n".join(f"| {split} | {count:,} |" for split, count in plan.splits.items()),
        example=FORMATS[plan.format].example.format(folder=folder.name, split=first, last=last),
        seed=plan.seed,
        codes="given" if plan.codes_sha256 else f"{length} random characters of `{plan.alphabet}`",
        kind=plan.kind,
        difficulty=plan.difficulty,
        generators=plan.generators,
    )
    write_durably(folder / "README.md", text.encode())
