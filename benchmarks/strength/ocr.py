"""OCR attacks: programs that read captchas without having learnt from ours."""

import os
import re
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from benchmarks.strength.preprocessing import Pictures
from gantcha.errors import GantchaError

MODES = {"line": 7, "word": 8}
"""How Tesseract looks at a picture, and its numbers for that."""


class OcrError(GantchaError):
    """An OCR program is not installed or failed."""


def require_extras() -> None:
    """Check that the packages which only measuring needs are installed. Raises OcrError if they are not."""
    try:
        import captcha  # noqa: F401, PLC0415
        import ddddocr  # noqa: F401, PLC0415
        import matplotlib  # noqa: F401, PLC0415 - only developers have these
    except ImportError as error:
        raise OcrError(f"{error.name} is missing: `pip install -r requirements-dev.txt`") from error
    if not find_spec("rapidocr"):  # importing it would set up logging
        raise OcrError("rapidocr is missing: `pip install -r requirements-dev.txt`")


def has_tesseract() -> bool:
    """Return whether Tesseract is installed."""
    return shutil.which("tesseract") is not None


def read_with_tesseract(pictures: Pictures, mode: str, alphabet: str) -> list[str]:
    """Read captchas with Tesseract as a `line` or a `word`, limited to the characters of the alphabet.

    Raises:
        OcrError: Tesseract failed.
    """
    both_cases = alphabet + "".join(c for c in alphabet.upper() if c.isalpha())
    options = ("--psm", str(MODES[mode]), "-c", f"tessedit_char_whitelist={both_cases}")
    left = list(range(len(pictures)))
    with tempfile.TemporaryDirectory() as folder:
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(Path(folder) / f"{number}.png")
        while True:
            (Path(folder) / "list.txt").write_text("\n".join(f"{number}.png" for number in left))
            finished = subprocess.run(  # noqa: PLW1510 - the exit code is checked below; one process for all, since starting takes longer than reading
                ["tesseract", "list.txt", "stdout", *options],
                cwd=folder,
                env=os.environ | {"OMP_THREAD_LIMIT": "1"},  # more threads make it slower
                capture_output=True,
                encoding="utf-8",
            )
            if not finished.returncode:
                break
            begun = re.findall(r"^Page \d+ : (\d+)\.png", finished.stderr, re.MULTILINE)
            if not begun:
                raise OcrError(f"Tesseract failed: {finished.stderr.strip()[-200:]}")
            left.remove(int(begun[-1]))  # it crashes on some pictures: count these as not read
    pages = finished.stdout.split("\f")  # its separator of pages
    answers = dict(zip(left, pages, strict=False))
    return ["".join(answers.get(number, "").split()) for number in range(len(pictures))]


def read_with_ddddocr(pictures: Pictures) -> list[str]:
    """Read captchas with the captcha solver ddddocr."""
    from ddddocr import DdddOcr  # noqa: PLC0415 - only developers have it

    ocr = DdddOcr(show_ad=False)
    return [str(ocr.classification(Image.fromarray(picture))) for picture in pictures]
