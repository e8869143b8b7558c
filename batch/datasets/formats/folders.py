"""Folders of pictures: for Hugging Face `datasets`, and with a list of texts for those who train readers of text."""

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from batch.datasets.formats.base import Format, Labels, file_name, label, masks_name, needed, objects, pictures
from batch.datasets.places import Files, Place
from batch.datasets.plan import Plan
from gantcha.captcha import Captcha

_METADATA = "metadata.jsonl"


def _pack(plan: Plan, captchas: Sequence[Captcha]) -> Files:
    files: dict[str, bytes] = {}
    lines = []
    for captcha in captchas:
        files |= pictures(captcha)
        names = {"file_name": file_name(captcha)} | (
            {"masks_file_name": masks_name(captcha)} if plan.stream.masks else {}
        )
        lines.append(json.dumps(names | label(plan, captcha) | {"objects": objects(plan, captcha)}) + "\n")
    return files | {_METADATA: "".join(lines).encode()}


def _read(place: Place, path: str) -> Labels:
    for line in needed(place, f"{path}/{_METADATA}").splitlines():
        entry = json.loads(line)
        yield needed(place, f"{path}/{entry['file_name']}"), entry


def _texts(_plan: Plan, place: Place, shards: Sequence[str]) -> Iterator[bytes]:
    for shard in shards:
        entries = map(json.loads, needed(place, f"{shard}/{_METADATA}").splitlines())
        folder = PurePosixPath(shard).name
        yield "".join(f"{folder}/{entry['file_name']}\t{entry['code']}\n" for entry in entries).encode()


IMAGEFOLDER = Format(
    "{split}/{number:05d}",
    _pack,
    _read,
    'from datasets import load_dataset\n\ndataset = load_dataset("{folder}")',
    on_the_hub="{split}/**",
    objects=True,
)
TEXT = Format(
    "{split}/{number:05d}",
    _pack,
    _read,
    'lines = open("{folder}/{split}/labels.txt", encoding="utf-8").read().splitlines()\n'
    'codes = dict(line.split("\\t") for line in lines)  # by the paths of the pictures within {folder}/{split}',
    on_the_hub="{split}/**",
    objects=True,
    merged="{split}/labels.txt",
    merge=_texts,
)
