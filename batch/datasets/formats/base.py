"""What the formats of a dataset have in common: the shape of one, and what is written of a captcha."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from batch.datasets.places import Files, Place
from batch.datasets.plan import DatasetError, Plan, Shard
from gantcha.captcha import Captcha
from gantcha.drawing.png import encode_masks
from gantcha.drawing.text_lines import OF_GLYPHS, OF_LINES

Labels = Iterator[tuple[bytes, dict[str, Any]]]
"""Captchas as files of a dataset have them: PNG, and label with at least `code` and `boxes`"""

STRING = {"dtype": "string", "_type": "Value"}
_NUMBER = {"dtype": "float32", "_type": "Value"}
BOX = {"feature": {"dtype": "int32", "_type": "Value"}, "length": 4, "_type": "List"}


def list_of(feature: dict[str, Any]) -> dict[str, Any]:
    """Return the feature of a list."""
    return {"feature": feature, "_type": "List"}


FEATURES: dict[str, Any] = {
    "index": {"dtype": "int64", "_type": "Value"},
    "code": STRING,
    "cased": STRING,
    "characters": STRING,
    "crossed_out": list_of({"dtype": "bool", "_type": "Value"}),
    "boxes": list_of(BOX),
    "glyph_classes": list_of(STRING),
    "kind": STRING,
    "difficulty": STRING,
    "theme": STRING,
    "parameters": dict.fromkeys(OF_LINES, _NUMBER) | {name: list_of(_NUMBER) for name in OF_GLYPHS},
}
"""Labels of a captcha by name, in the terms of the library `datasets`."""


class Format(NamedTuple):
    """One way to write a dataset."""

    place: str
    """path of a shard, from `split`, `number` and the `count` of the split's shards"""
    pack: Callable[[Plan, Sequence[Captcha]], Files]
    read: Callable[[Place, str], Labels]
    """reads the shard at a path"""
    example: str
    """how to load it, in Python"""
    on_the_hub: str | None = None
    """files of a `split`, where the library `datasets` can load them"""
    objects: bool = False
    """whether labels have the `objects` of object detection"""
    merged: str | None = None
    """path of the file that all shards of a `split` share"""
    merge: Callable[[Plan, Place, Sequence[str]], Iterator[bytes]] = lambda *_: iter(())
    """gives its content, in parts, from the paths of these shards"""
    check: Callable[[], Any] = lambda: None
    """raises DatasetError where a library is missing"""

    def path(self, shard: Shard) -> str:
        """Return the path of a shard within the dataset."""
        return self.place.format(split=shard.split, number=shard.number, count=shard.of)

    @property
    def folders(self) -> bool:
        """Whether each shard is a folder of files."""
        return "." not in self.place.replace(":05d", "")


def needed(place: Place, path: str) -> bytes:
    """Read a file that must be there. Raises DatasetError where it is not."""
    if (content := place.read(path)) is None:
        raise DatasetError(f"{place}/{path} is missing: --resume draws it again")
    return content


def file_name(captcha: Captcha) -> str:
    """Return the name of a captcha's picture."""
    return f"{captcha.index:09d}.png"


def masks_name(captcha: Captcha) -> str:
    """Return the name of the picture of a captcha's masks."""
    return f"{captcha.index:09d}.masks.png"


def pictures(captcha: Captcha) -> dict[str, bytes]:
    """Return the PNGs of a captcha by name: of itself, and of its masks if it has some."""
    files = {file_name(captcha): captcha.png}
    if captcha.masks is not None:
        files[masks_name(captcha)] = encode_masks(captcha.masks)
    return files


def label(plan: Plan, captcha: Captcha) -> dict[str, Any]:
    """Return the labels of a captcha by name."""
    return {name: getattr(captcha, name) for name in FEATURES} | {"generators": plan.generators}


def label_json(plan: Plan, captcha: Captcha) -> bytes:
    """Return the labels of a captcha as JSON."""
    return json.dumps(label(plan, captcha)).encode()


def coco_box(box: Sequence[int]) -> list[int]:
    """Return left, top, width and height of a box."""
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]


def objects(plan: Plan, captcha: Captcha) -> dict[str, Any]:
    """Return what object detection calls its objects: boxes as in COCO, and numbers of the glyph classes."""
    return {
        "bbox": [coco_box(box) for box in captcha.boxes],
        "category": [plan.symbols.index(symbol) for symbol in captcha.glyph_classes],
    }
