"""Programs that read captchas without having learnt from ours."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from pool.errors import GantchaError

_TESSERACT_MODES = {"line": 7, "word": 8}

Pictures = npt.NDArray[np.uint8]
"""`[N, H, W]`, grey"""


class AttackerError(GantchaError):
    """An attacker is not installed or failed."""


def require_extras() -> None:
    """Check that the packages are there which only measuring needs. Raises AttackerError where they are not."""
    try:
        import captcha  # noqa: F401, PLC0415
        import ddddocr  # noqa: F401, PLC0415
        import matplotlib  # noqa: F401, PLC0415 - only developers have the three
    except ImportError as error:
        raise AttackerError(f"{error.name} is missing: `pip install -r requirements-dev.txt`") from error


def has_tesseract() -> bool:
    """Say whether Tesseract is installed."""
    return shutil.which("tesseract") is not None


def read_with_tesseract(pictures: Pictures, mode: str, alphabet: str) -> list[str]:
    """Read captchas with Tesseract as a `line` or a `word`, told which characters there are.

    Raises:
        AttackerError: Tesseract failed.
    """
    both_cases = alphabet + "".join(c for c in alphabet.upper() if c.isalpha())
    options = ("--psm", str(_TESSERACT_MODES[mode]), "-c", f"tessedit_char_whitelist={both_cases}")
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{number}.png" for number in range(len(pictures))]
        for name, picture in zip(names, pictures, strict=True):
            Image.fromarray(picture).save(Path(folder) / name)
        (Path(folder) / "list.txt").write_text("\n".join(names))
        finished = subprocess.run(  # noqa: PLW1510 - whose exit code is looked at below; one process for all: starting takes longer than reading
            ["tesseract", "list.txt", "stdout", *options],  # noqa: S607 - whichever is on the path
            cwd=folder,
            capture_output=True,
            text=True,
        )
    if finished.returncode:
        raise AttackerError(f"Tesseract failed: {finished.stderr.strip()[-200:]}")
    pages = finished.stdout.split("\f")  # what it puts between pages
    return ["".join(page.split()) for page in pages[: len(pictures)]]


def read_with_ddddocr(pictures: Pictures) -> list[str]:
    """Read captchas with the captcha solver ddddocr."""
    from ddddocr import DdddOcr  # noqa: PLC0415 - only developers have it

    ocr = DdddOcr(show_ad=False)
    return [str(ocr.classification(Image.fromarray(picture))) for picture in pictures]
