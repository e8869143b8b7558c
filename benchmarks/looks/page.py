"""Pages of captchas for people to read."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from batch.sheets import captcha_sheet, writing
from gantcha.captcha import Captcha

_DPI = 96  # of a page of single density
_ROOM, _TEXT = 16, 12  # pixels of single density


def write_page(file: Path, captchas: Sequence[Captcha], captions: Sequence[str]) -> None:
    """Write a PNG of captchas of one density, each under its caption.

    Of double density, all is twice as big, and the file asks to be shown at half its size.

    Raises:
        StorageError: the file can't be written.
    """
    ratio = captchas[0].look.pixel_ratio
    tiles = [_captioned(captcha, caption) for captcha, caption in zip(captchas, captions, strict=True)]
    with writing(file) as page:
        captcha_sheet(tiles, [""] * len(tiles)).save(page, "PNG", dpi=(_DPI * ratio, _DPI * ratio))


def _captioned(captcha: Captcha, caption: str) -> Image.Image:
    ratio, picture = captcha.look.pixel_ratio, captcha.image
    tile = Image.new("L", (picture.width, picture.height + _ROOM * ratio), "white")
    ImageDraw.Draw(tile).text((0, 0), caption, fill="black", font=ImageFont.load_default(_TEXT * ratio))
    tile.paste(picture, (0, _ROOM * ratio))
    return tile
