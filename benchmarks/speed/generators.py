"""Samples a second of one core, beside other generators of text images: `python -m benchmarks.speed.generators`.

Two of the others need old versions of what we use, so each has an environment of its own:

    pip install trdg "pillow<10" "numpy<2" "opencv-python<4.12"
    pip install synthtiger "pillow<10" "numpy<2" "opencv-python<4.12" "scikit-image<0.25"
"""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.speed.figures import medians
from gantcha.terminal import run

_ROOT = Path(__file__).parents[2]

_TIMED = """
import io, os, random, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
codes = ["".join(random.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(500)]

def png(image):
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return encoded.getvalue()

def measure(draw):
    samples, count, started = draw(), 0, time.perf_counter()
    next(samples)  # what is loaded at first use
    started = time.perf_counter()
    while time.perf_counter() < started + 6:
        next(samples)
        count += 1
    print(count / (time.perf_counter() - started))
"""
_OURS = """
from gantcha import samples
measure(lambda: (sample.png for sample in samples(length=6, alphabet="0123456789abcdefghijklmnopqrstuvwxyz"{options})))
"""
_THEIRS = {
    # Skewed, blurred and bent by a sine, as its documentation shows; 120 pixels high. It gives no boxes.
    "TRDG": """
from trdg.generators import GeneratorFromStrings
def draw():
    looks = dict(size=120, skewing_angle=5, random_skew=True, blur=1, random_blur=True, distorsion_type=1)
    return (png(image) for image, _ in GeneratorFromStrings(codes, **looks))
measure(draw)
""",
    # Elastic glyphs on a curve, in perspective, with noise and blur; with a box for each character.
    "SynthTIGER": """
import sys
import numpy
from PIL import Image
from synthtiger import components, layers
font = dict(path=sys.argv[1], size=60, bold=False, vertical=False)
shape, layout = components.ElasticDistortion(alpha=(10, 15), sigma=(2, 4)), components.CurveLayout(curve=(20, 40))
transform, noise = components.Perspective(pxs=[(0.9, 1)] * 4), components.AdditiveGaussianNoise(scale=(4, 8))
blur = components.GaussianBlur(sigma=(0, 1))
def one(code):
    glyphs = [layers.TextLayer(character, **font) for character in code]
    shape.apply(glyphs)
    layout.apply(glyphs, {"meta": {"vertical": False}})
    text = layers.Group(glyphs).merge()
    turn = transform.sample()
    transform.apply([text], turn)
    transform.apply(glyphs, turn)
    paper = layers.RectLayer(text.size, (230, 230, 230, 255))
    paper.topleft = text.topleft
    page = (text + paper).merge()
    noise.apply([page])
    blur.apply([page])
    return png(Image.fromarray(page.output()[..., :3].astype(numpy.uint8))), [glyph.bbox for glyph in glyphs]
measure(lambda: map(one, iter(lambda: random.choice(codes), None)))
""",
    # As it comes; the picture has our size. It gives no boxes.
    "captcha": """
from captcha.image import ImageCaptcha
image = ImageCaptcha(width=300, height=120)
measure(lambda: (image.generate(random.choice(codes)).getvalue() for _ in iter(int, 1)))
""",
}


def main(
    trdg: Annotated[Path, typer.Option(help="Python of the environment that has trdg.")],
    synthtiger: Annotated[Path, typer.Option(help="Likewise.")],
    captcha: Annotated[Path, typer.Option(help="Likewise.")] = Path(sys.executable),
) -> None:
    """Draw by turns, five times six seconds each; print the medians.

    \b
    Example:
        python -m benchmarks.speed.generators --trdg trdg/bin/python --synthtiger synthtiger/bin/python
    """
    measures: dict[str, Callable[[], float]] = {
        "ours, with boxes": partial(_rate, Path(sys.executable), _OURS.format(options="")),
        "ours, with boxes and masks": partial(_rate, Path(sys.executable), _OURS.format(options=", masks=True")),
    }
    for (name, program), python in zip(_THEIRS.items(), (trdg, synthtiger, captcha), strict=True):
        measures[name] = partial(_rate, python, program)
    for name, rate in zip(measures, medians(*measures.values()), strict=True):
        print(f"{name}: {rate:.0f} a second")


def _rate(python: Path, program: str) -> float:
    matplotlib = find_spec("matplotlib")
    if matplotlib is None or matplotlib.origin is None:
        raise SystemExit("error: matplotlib is missing, whose font is drawn with: pip install -r requirements-dev.txt")
    font = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    finished = subprocess.run(
        [python, "-c", _TIMED + program, font],
        cwd=_ROOT,
        env=os.environ | one_thread,
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    return float(finished.stdout.split()[-1])


if __name__ == "__main__":
    run(main)
