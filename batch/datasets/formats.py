"""The files of a dataset, in the formats of the libraries that load them."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.datasets.places import Files, Place
from batch.datasets.plan import DatasetError, Plan, Shard
from gantcha.captcha import Captcha
from gantcha.drawing.png import encode_masks
from gantcha.drawing.text_lines import OF_GLYPHS, OF_LINES
from gantcha.home import cure

ANNOTATIONS = ".annotations.json"
"""File with the annotations of a shard, until those of its split are merged."""
_ID_STEP = 32  # annotations' ids: more than characters in a captcha
_METADATA = "metadata.jsonl"

Labels = Iterator[tuple[bytes, dict[str, Any]]]
"""Captchas as files of a dataset have them: PNG, and label with at least `code` and `boxes`"""


_STRING = {"dtype": "string", "_type": "Value"}
_NUMBER = {"dtype": "float32", "_type": "Value"}
_BOX = {"feature": {"dtype": "int32", "_type": "Value"}, "length": 4, "_type": "List"}
_IMAGE = {"_type": "Image"}


def _list_of(feature: dict[str, Any]) -> dict[str, Any]:
    return {"feature": feature, "_type": "List"}


_FEATURES: dict[str, Any] = {
    "code": _STRING,
    "cased": _STRING,
    "characters": _STRING,
    "crossed_out": _list_of({"dtype": "bool", "_type": "Value"}),
    "boxes": _list_of(_BOX),
    "glyph_classes": _list_of(_STRING),
    "kind": _STRING,
    "difficulty": _STRING,
    "theme": _STRING,
    "parameters": dict.fromkeys(OF_LINES, _NUMBER) | {name: _list_of(_NUMBER) for name in OF_GLYPHS},
}
"""Labels of a captcha by name, in the terms of the library `datasets`."""


class Format(NamedTuple):
    """One way to write a dataset."""

    place: str
    """path of a shard, from `split`, `number` and the `count` of the split's shards"""
    pack: Callable[[Plan, Sequence[Captcha]], Files]
    read: Callable[[Place, str, Shard], Labels]
    """reads the shard at a path"""
    example: str
    """how to load it, in Python"""
    merged: str | None = None
    """path of the annotations that all shards of a `split` share"""
    check: Callable[[], Any] = lambda: None
    """raises DatasetError where a library is missing"""

    def path(self, plan: Plan, shard: Shard) -> str:
        """Return the path of a shard within the dataset."""
        return self.place.format(split=shard.split, number=shard.number, count=plan.shard_count(shard.split))

    @property
    def folders(self) -> bool:
        """Whether each shard is a folder of files."""
        return "." not in self.place.replace(":05d", "")


def needed(place: Place, path: str) -> bytes:
    """Read a file that must be there. Raises DatasetError where it is not."""
    if (content := place.read(path)) is None:
        raise DatasetError(f"{place}/{path} is missing: --resume draws it again")
    return content


def _name(captcha: Captcha) -> str:
    return f"{captcha.index:09d}.png"


def _masks_name(captcha: Captcha) -> str:
    return f"{captcha.index:09d}.masks.png"


def _label(plan: Plan, captcha: Captcha) -> dict[str, Any]:
    return {name: getattr(captcha, name) for name in _FEATURES} | {"generators": plan.generators}


def _pictures(captcha: Captcha) -> dict[str, bytes]:
    """Return the PNGs of a captcha by name: of itself, and of its masks if it has some."""
    pictures = {_name(captcha): captcha.png}
    if captcha.masks is not None:
        pictures[_masks_name(captcha)] = encode_masks(captcha.masks)
    return pictures


def _pack_folder(plan: Plan, captchas: Sequence[Captcha]) -> Files:
    files: dict[str, bytes] = {}
    lines = []
    for captcha in captchas:
        files |= _pictures(captcha)
        names = {"file_name": _name(captcha)} | ({"masks_file_name": _masks_name(captcha)} if plan.stream.masks else {})
        lines.append(json.dumps(names | _label(plan, captcha)) + "\n")
    return files | {_METADATA: "".join(lines).encode()}


def _read_folder(place: Place, path: str, _shard: Shard) -> Labels:
    for line in needed(place, f"{path}/{_METADATA}").splitlines():
        label = json.loads(line)
        yield needed(place, f"{path}/{label['file_name']}"), label


def _pack_tar(plan: Plan, captchas: Sequence[Captcha]) -> Files:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for captcha in captchas:
            label = {f"{captcha.index:09d}.json": json.dumps(_label(plan, captcha)).encode()}
            for name, content in (_pictures(captcha) | label).items():
                member = tarfile.TarInfo(name)  # without date and owner
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return {"": packed.getvalue()}


def _read_tar(place: Place, path: str, _shard: Shard) -> Labels:
    png = b""
    with tarfile.open(fileobj=io.BytesIO(needed(place, path))) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content and member.name.endswith(".json"):
                yield png, json.loads(content.read())
            elif content and ".masks." not in member.name:
                png = content.read()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - most datasets do without
        from pyarrow import parquet  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise DatasetError(f"Parquet needs pyarrow: {cure('parquet')}") from error
    return pa, parquet


def _arrow_type(pa: Any, feature: dict[str, Any]) -> Any:
    """Return the type of a feature in a table."""
    kind = feature.get("_type")
    if kind == "Image":
        return pa.struct({"bytes": pa.binary(), "path": pa.string()})
    if kind == "Value":
        return pa.type_for_alias(feature["dtype"])
    if kind == "List":
        return pa.list_(_arrow_type(pa, feature["feature"]), feature.get("length", -1))
    return pa.struct({name: _arrow_type(pa, own) for name, own in feature.items()})


def _pack_table(plan: Plan, captchas: Sequence[Captcha]) -> Files:
    pa, parquet = _pyarrow()
    images = ["image", "masks"] if plan.stream.masks else ["image"]
    features = dict.fromkeys(images, _IMAGE) | _FEATURES | {"generators": _STRING}
    columns = {name: _arrow_type(pa, feature) for name, feature in features.items()}
    schema = pa.schema(list(columns.items()), {"huggingface": json.dumps({"info": {"features": features}})})
    rows = [
        dict(zip(images, ({"bytes": png, "path": name} for name, png in _pictures(one).items()), strict=True))
        | _label(plan, one)
        for one in captchas
    ]
    packed = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema), packed)
    return {"": packed.getvalue()}


def _read_table(place: Place, path: str, _shard: Shard) -> Labels:
    _, parquet = _pyarrow()
    for row in parquet.read_table(io.BytesIO(needed(place, path))).to_pylist():
        yield row["image"]["bytes"], row


def _pack_annotated(plan: Plan, captchas: Sequence[Captcha]) -> Files:
    images, annotations, categories = [], [], _categories(plan)
    for captcha in captchas:
        label, look, masks = _label(plan, captcha), captcha.look, captcha.masks
        of_characters = [label.pop(name) for name in ("characters", "crossed_out", "boxes", "glyph_classes")]
        size = {
            "width": look.width(len(captcha.code)) * look.pixel_ratio,
            "height": look.height * look.pixel_ratio,
        }
        images.append({"id": captcha.index, "file_name": _name(captcha)} | size | label)
        for place, (character, crossed_out, (left, top, right, bottom), glyph_class) in enumerate(
            zip(*of_characters, strict=True)
        ):
            width, height = right - left, bottom - top
            annotations.append(
                {
                    "id": captcha.index * _ID_STEP + place + 1,
                    "image_id": captcha.index,
                    "category_id": categories[character],
                    "bbox": [left, top, width, height],
                    "area": width * height if masks is None else int(masks[place].sum()),
                    "iscrowd": 0,
                    "glyph_class": glyph_class,
                    "crossed_out": crossed_out,
                }
                | ({} if masks is None else {"segmentation": _run_lengths(masks[place])})
            )
    part = json.dumps({"images": images, "annotations": annotations}).encode()
    return {_name(captcha): captcha.png for captcha in captchas} | {ANNOTATIONS: part}


def _categories(plan: Plan) -> dict[str, int]:
    """Number the characters, digits first."""
    return {character: number for number, character in enumerate(sorted(plan.classes.characters), 1)}


def _run_lengths(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return COCO's run lengths of `[H, W]`: down the columns, of 0 and 1 by turns."""
    pixels = np.concatenate([[False], mask.ravel("F")])
    changes = np.flatnonzero(pixels[1:] != pixels[:-1])
    return {"size": list(mask.shape), "counts": np.diff([0, *changes, mask.size]).tolist()}


def _read_annotated(place: Place, path: str, shard: Shard) -> Labels:
    merged = json.loads(needed(place, _MERGED.format(split=shard.split)))
    images = [image for image in merged["images"] if shard.start <= image["id"] < shard.end]
    boxes: dict[int, list[list[int]]] = {image["id"]: [] for image in images}
    for annotation in merged["annotations"]:
        left, top, width, height = annotation["bbox"]
        boxes.get(annotation["image_id"], []).append([left, top, left + width, top + height])
    for image in images:
        yield needed(place, f"{path}/{image['file_name'].rpartition('/')[2]}"), image | {"boxes": boxes[image["id"]]}


def merge_annotations(plan: Plan, place: Place, split: str) -> None:
    """Write one file of annotations for a split, a shard at a time."""
    categories = [{"id": number, "name": name} for name, number in _categories(plan).items()]
    shards = [FORMATS["coco"].path(plan, shard) for shard in plan.shards() if shard.split == split]
    with place.writing(_MERGED.format(split=split)) as file:
        head = {"info": {"description": "Gantcha", "version": plan.generators}, "categories": categories}
        file.write(json.dumps(head).encode()[:-1])
        for kind in ("images", "annotations"):
            file.write(f', "{kind}": [\n'.encode())
            for number, line in enumerate(_parts(place, shards, kind)):
                file.write(b",\n" * (number > 0) + line)
            file.write(b"\n]")
        file.write(b"}\n")


def _parts(place: Place, shards: Sequence[str], kind: str) -> Iterator[bytes]:
    for shard in shards:
        entries = json.loads(needed(place, f"{shard}/{ANNOTATIONS}"))[kind]
        for entry in entries:
            if kind == "images":
                entry["file_name"] = f"{PurePosixPath(shard).name}/{entry['file_name']}"
        yield ",\n".join(map(json.dumps, entries)).encode()


_MERGED = "annotations/{split}.json"
FORMATS = {
    "imagefolder": Format(
        "{split}/{number:05d}",
        _pack_folder,
        _read_folder,
        'from datasets import load_dataset\n\ndataset = load_dataset("imagefolder", data_dir="{folder}")',
    ),
    "webdataset": Format(
        "{split}-{number:06d}.tar",
        _pack_tar,
        _read_tar,
        'import webdataset\n\ndataset = webdataset.WebDataset("{folder}/{split}-{{000000..{last:06d}}}.tar", '
        'shardshuffle=False)\ndataset = dataset.decode("pill").to_tuple("png", "json")',
    ),
    "parquet": Format(
        "{split}-{number:05d}-of-{count:05d}.parquet",
        _pack_table,
        _read_table,
        'from datasets import load_dataset\n\ndataset = load_dataset("parquet", data_dir="{folder}")',
        check=_pyarrow,
    ),
    "coco": Format(
        "{split}/{number:05d}",
        _pack_annotated,
        _read_annotated,
        "from pycocotools.coco import COCO\n\n"
        'dataset = COCO("{folder}/annotations/{split}.json")  # its files are in {folder}/{split}',
        _MERGED,
    ),
}
