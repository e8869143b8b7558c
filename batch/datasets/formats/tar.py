"""WebDataset: shards that are tar files, which are read from beginning to end."""

import io
import json
import tarfile
from collections.abc import Sequence

from batch.datasets.formats.base import Format, Labels, label_json, needed, pictures
from batch.datasets.places import Files, Place
from batch.datasets.plan import Plan
from gantcha.captcha import Captcha


def _pack(plan: Plan, captchas: Sequence[Captcha]) -> Files:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for captcha in captchas:
            files = pictures(captcha) | {f"{captcha.index:09d}.json": label_json(plan, captcha)}
            for name, content in files.items():
                member = tarfile.TarInfo(name)  # without date and owner
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return {"": packed.getvalue()}


def _read(place: Place, path: str) -> Labels:
    png = b""
    with tarfile.open(fileobj=io.BytesIO(needed(place, path))) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content and member.name.endswith(".json"):
                yield png, json.loads(content.read())
            elif content and ".masks." not in member.name:
                png = content.read()


WEBDATASET = Format(
    "{split}-{number:06d}.tar",
    _pack,
    _read,
    'import webdataset\n\ndataset = webdataset.WebDataset("{folder}/{split}-{{000000..{last:06d}}}.tar", '
    'shardshuffle=False)\ndataset = dataset.decode("pill").to_tuple("png", "json")',
    on_the_hub="{split}-[0-9]*.tar",
)
