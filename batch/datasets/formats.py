"""The files of a dataset, in the formats of the libraries that load them."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from batch.alphabet import CLASSES_BY_CHARACTER, SYMBOLS
from batch.datasets.plan import DatasetError, Plan, Shard
from batch.datasets.records import Record
from pool.storage.atomic import writing_durably

_ANNOTATIONS = ".annotations.json"  # of a shard, until all are merged
_ID_STEP = 16  # annotations' ids: more than characters in a captcha
_CHARACTERS = sorted(CLASSES_BY_CHARACTER)  # digits first

Files = dict[str, bytes]
"""Contents by name within the shard's folder, or under "" where a shard is one file."""


class Format(NamedTuple):
    """One way to write a dataset."""

    place: str
    """path of a shard, from `split`, `number` and the `count` of the split's shards"""
    pack: Callable[[Plan, Sequence[Record]], Files]
    finish: Callable[[Plan, Path], None]
    """writes what all shards share"""
    example: str
    """how to load it, in Python"""

    def path(self, plan: Plan, shard: Shard) -> Path:
        """Give the path of a shard within the dataset."""
        count = -(-plan.splits[shard.split] // plan.shard_size)
        return Path(self.place.format(split=shard.split, number=shard.number, count=count))


def _name(record: Record) -> str:
    return f"{record.index:09d}.png"


def _label(plan: Plan, record: Record) -> dict[str, Any]:
    return {
        "code": record.code,
        "characters": record.captcha.characters,
        "crossed_out": record.captcha.crossed_out,
        "boxes": record.captcha.boxes,
        "glyph_classes": [SYMBOLS[index] for index in record.captcha.classes],
        "kind": plan.kind,
        "difficulty": plan.difficulty,
        "generators": plan.generators,
    }


def _pack_folder(plan: Plan, records: Sequence[Record]) -> Files:
    lines = (json.dumps({"file_name": _name(record)} | _label(plan, record)) + "\n" for record in records)
    return {_name(record): record.captcha.png for record in records} | {"metadata.jsonl": "".join(lines).encode()}


def _pack_tar(plan: Plan, records: Sequence[Record]) -> Files:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for record in records:
            label = json.dumps(_label(plan, record)).encode()
            for suffix, content in ((".png", record.captcha.png), (".json", label)):
                member = tarfile.TarInfo(str(Path(_name(record)).with_suffix(suffix)))  # without date and owner
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return {"": packed.getvalue()}


_STRING = {"dtype": "string", "_type": "Value"}
_BOX = {"feature": {"dtype": "int32", "_type": "Value"}, "length": 4, "_type": "List"}
# How the library `datasets` knows that a table holds images.
_FEATURES = {
    "image": {"_type": "Image"},
    "code": _STRING,
    "characters": _STRING,
    "crossed_out": {"feature": {"dtype": "bool", "_type": "Value"}, "_type": "List"},
    "boxes": {"feature": _BOX, "_type": "List"},
    "glyph_classes": {"feature": _STRING, "_type": "List"},
    "kind": _STRING,
    "difficulty": _STRING,
    "generators": _STRING,
}


def _pack_table(plan: Plan, records: Sequence[Record]) -> Files:
    try:
        import pyarrow as pa  # noqa: PLC0415 - most datasets do without
        from pyarrow import parquet  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise DatasetError("Parquet needs pyarrow: pip install -r requirements-parquet.txt") from error
    columns = {
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "code": pa.string(),
        "characters": pa.string(),
        "crossed_out": pa.list_(pa.bool_()),
        "boxes": pa.list_(pa.list_(pa.int32(), 4)),
        "glyph_classes": pa.list_(pa.string()),
        "kind": pa.string(),
        "difficulty": pa.string(),
        "generators": pa.string(),
    }
    schema = pa.schema(list(columns.items()), {"huggingface": json.dumps({"info": {"features": _FEATURES}})})
    rows = [{"image": {"bytes": r.captcha.png, "path": _name(r)}} | _label(plan, r) for r in records]
    packed = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema), packed)
    return {"": packed.getvalue()}


def _pack_annotated(plan: Plan, records: Sequence[Record]) -> Files:
    images, annotations = [], []
    for record in records:
        label = _label(plan, record)
        of_characters = [label.pop(name) for name in ("characters", "crossed_out", "boxes", "glyph_classes")]
        ratio = plan.style.pixel_ratio
        size = {"width": plan.style.width(len(record.code)) * ratio, "height": plan.style.height * ratio}
        images.append({"id": record.index, "file_name": _name(record)} | size | label)
        for place, (character, crossed_out, (left, top, right, bottom), glyph_class) in enumerate(
            zip(*of_characters, strict=True)
        ):
            width, height = right - left, bottom - top
            annotations.append(
                {
                    "id": record.index * _ID_STEP + place + 1,
                    "image_id": record.index,
                    "category_id": _CHARACTERS.index(character) + 1,
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "glyph_class": glyph_class,
                    "crossed_out": crossed_out,
                }
            )
    part = json.dumps({"images": images, "annotations": annotations}).encode()
    return {_name(record): record.captcha.png for record in records} | {_ANNOTATIONS: part}


def _merge_annotations(plan: Plan, folder: Path) -> None:
    """Write one file for each split, a shard at a time, then remove those of the shards."""
    categories = [{"id": number, "name": name} for number, name in enumerate(_CHARACTERS, 1)]
    for split in plan.splits:
        shards = [folder / FORMATS["coco"].path(plan, shard) for shard in plan.shards() if shard.split == split]
        merged = folder / "annotations" / f"{split}.json"
        if not merged.exists():
            with writing_durably(merged) as file:
                head = {"info": {"description": "Gantcha", "version": plan.generators}, "categories": categories}
                file.write(json.dumps(head).encode()[:-1])
                for kind in ("images", "annotations"):
                    file.write(f', "{kind}": [\n'.encode())
                    for number, line in enumerate(_parts(shards, kind)):
                        file.write(b",\n" * (number > 0) + line)
                    file.write(b"\n]")
                file.write(b"}\n")
        for shard in shards:
            (shard / _ANNOTATIONS).unlink(missing_ok=True)


def _parts(shards: Sequence[Path], kind: str) -> Iterator[bytes]:
    for shard in shards:
        entries = json.loads((shard / _ANNOTATIONS).read_bytes())[kind]
        for entry in entries:
            if kind == "images":
                entry["file_name"] = f"{shard.name}/{entry['file_name']}"
        if entries:
            yield ",\n".join(map(json.dumps, entries)).encode()


def _nothing(_plan: Plan, _folder: Path) -> None:
    pass


FORMATS = {
    "imagefolder": Format(
        "{split}/{number:05d}",
        _pack_folder,
        _nothing,
        'from datasets import load_dataset\n\ndataset = load_dataset("imagefolder", data_dir="{folder}")',
    ),
    "webdataset": Format(
        "{split}-{number:06d}.tar",
        _pack_tar,
        _nothing,
        'import webdataset\n\ndataset = webdataset.WebDataset("{folder}/{split}-{{000000..{last:06d}}}.tar", '
        'shardshuffle=False)\ndataset = dataset.decode("pil").to_tuple("png", "json")',
    ),
    "parquet": Format(
        "{split}-{number:05d}-of-{count:05d}.parquet",
        _pack_table,
        _nothing,
        'from datasets import load_dataset\n\ndataset = load_dataset("parquet", data_dir="{folder}")',
    ),
    "coco": Format(
        "{split}/{number:05d}",
        _pack_annotated,
        _merge_annotations,
        "from pycocotools.coco import COCO\n\n"
        'dataset = COCO("{folder}/annotations/{split}.json")  # its files are in {folder}/{split}',
    ),
}
