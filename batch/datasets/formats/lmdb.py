"""LMDB, with the keys that deep-text-recognition-benchmark, PARSeq and PaddleOCR read."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from batch.datasets.formats.base import Format, Labels, label_json, needed, pictures
from batch.datasets.places import Files, Place
from batch.datasets.plan import DatasetError, Plan
from gantcha.captcha import Captcha
from gantcha.home import cure

_FILE = "data.mdb"
_SPACE = 3 * 4096
"""Bytes that an entry takes at most besides its own: rounded up to pages, and its share of the tree."""


def _lmdb() -> Any:
    try:
        import lmdb  # noqa: PLC0415 - most datasets do without
    except ModuleNotFoundError as error:
        raise DatasetError(f"LMDB needs the package lmdb: {cure('lmdb')}") from error
    return lmdb


def _pack(plan: Plan, captchas: Sequence[Captcha]) -> Files:
    entries = {"num-samples": str(len(captchas)).encode()}
    for number, captcha in enumerate(captchas, 1):
        of_captcha = dict(zip(("image", "masks"), pictures(captcha).values(), strict=False))
        of_captcha |= {"label": captcha.code.encode(), "json": label_json(plan, captcha)}
        entries |= {f"{name}-{number:09d}": content for name, content in of_captcha.items()}
    size = sum(len(content) + _SPACE for content in entries.values())
    # LMDB writes nothing but files; those of the same entries, in their order, have the same bytes.
    with TemporaryDirectory() as folder:
        with _lmdb().open(folder, map_size=size, sync=False) as environment, environment.begin(write=True) as all_of_it:
            for key in sorted(entries):
                all_of_it.put(key.encode(), entries[key], append=True)
        return {"": Path(folder, _FILE).read_bytes()}


def _read(place: Place, path: str) -> Labels:
    with TemporaryDirectory() as folder:
        Path(folder, _FILE).write_bytes(needed(place, path))
        with _lmdb().open(folder, readonly=True, lock=False) as environment, environment.begin() as entries:
            for number in range(1, int(entries.get(b"num-samples")) + 1):
                png, entry = (entries.get(f"{name}-{number:09d}".encode()) for name in ("image", "json"))
                yield png, json.loads(entry)


LMDB = Format(
    "{split}/{number:05d}/" + _FILE,
    _pack,
    _read,
    'import lmdb\n\nentries = lmdb.open("{folder}/{split}/00000", readonly=True, lock=False).begin()\n'
    'code, png = entries.get(b"label-000000001").decode(), entries.get(b"image-000000001")',
    check=_lmdb,
)
