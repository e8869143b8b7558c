"""COCO: pictures, and for each split a file of annotations that is merged from those of its shards."""

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from batch.datasets.formats.base import Format, Labels, coco_box, file_name, label, needed
from batch.datasets.places import Files, Place
from batch.datasets.plan import Plan
from gantcha.captcha import Box, Captcha

_ANNOTATIONS = ".annotations.json.gz"
"""File with the annotations of a shard: kept, so that a lost file of a split, or a longer one, needs no drawing."""
_ID_STEP = 32  # annotations' ids: more than characters in a captcha
_FINER = 3
"""Contours are found in masks that are so much larger, so that they run around the pixels and not through them."""


def _pack(plan: Plan, captchas: Sequence[Captcha]) -> Files:
    images, annotations, categories = [], [], _categories(plan)
    for captcha in captchas:
        of_image, look, masks = label(plan, captcha), captcha.look, captcha.masks
        of_characters = [of_image.pop(name) for name in ("characters", "crossed_out", "boxes", "glyph_classes")]
        size = {
            "width": look.width(len(captcha.code)) * look.pixel_ratio,
            "height": look.height * look.pixel_ratio,
        }
        images.append({"id": captcha.index, "file_name": file_name(captcha)} | size | of_image)
        for place, (character, crossed_out, box, glyph_class) in enumerate(zip(*of_characters, strict=True)):
            bbox = coco_box(box)
            annotations.append(
                {
                    "id": captcha.index * _ID_STEP + place + 1,
                    "image_id": captcha.index,
                    "category_id": categories[character],
                    "bbox": bbox,
                    "area": bbox[2] * bbox[3] if masks is None else int(masks[place].sum()),
                    "iscrowd": 0,
                    "glyph_class": glyph_class,
                    "crossed_out": crossed_out,
                }
                | ({} if masks is None else {"segmentation": _polygons(masks[place], box)})
            )
    part = json.dumps({"images": images, "annotations": annotations}).encode()
    return {file_name(captcha): captcha.png for captcha in captchas} | {_ANNOTATIONS: gzip.compress(part, mtime=0)}


def _categories(plan: Plan) -> dict[str, int]:
    """Number the characters, digits first."""
    return {character: number for number, character in enumerate(sorted(plan.classes.characters), 1)}


def _polygons(mask: npt.NDArray[np.bool_], box: Box) -> list[list[float]]:
    """Return polygons around all ink of `[H, W]` in a box.

    Where there is a hole, the box is cut through it: a polygon can't have holes.
    """
    left, top, right, bottom = box
    finer = mask[top:bottom, left:right].astype(np.uint8).repeat(_FINER, 0).repeat(_FINER, 1)
    contours, nesting = cv2.findContours(finer, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for contour, (*_, outer) in zip(contours, nesting[0] if contours else (), strict=True):
        if outer >= 0:
            cut = left + int(contour[:, 0, 0].min() + contour[:, 0, 0].max()) // (2 * _FINER) + 1
            return _polygons(mask, (left, top, cut, bottom)) + _polygons(mask, (cut, top, right, bottom))
    corners = (cv2.approxPolyDP(contour, 1, closed=True)[:, 0] for contour in contours)
    return [((points + 0.5) / _FINER + [left, top]).round(1).ravel().tolist() for points in corners]


def _annotations(place: Place, shard: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads(gzip.decompress(needed(place, f"{shard}/{_ANNOTATIONS}")))
    return found


def _read(place: Place, path: str) -> Labels:
    found = _annotations(place, path)
    boxes: dict[int, list[list[int]]] = {image["id"]: [] for image in found["images"]}
    for annotation in found["annotations"]:
        left, top, width, height = annotation["bbox"]
        boxes[annotation["image_id"]].append([left, top, left + width, top + height])
    for image in found["images"]:
        yield needed(place, f"{path}/{image['file_name']}"), image | {"boxes": boxes[image["id"]]}


def _merge(plan: Plan, place: Place, shards: Sequence[str]) -> Iterator[bytes]:
    categories = [{"id": number, "name": name} for name, number in _categories(plan).items()]
    head = {"info": {"description": "Gantcha", "version": plan.generators}, "categories": categories}
    yield json.dumps(head).encode()[:-1]
    for kind in ("images", "annotations"):
        yield f', "{kind}": [\n'.encode()
        for number, line in enumerate(_lines(place, shards, kind)):
            yield b",\n" * (number > 0) + line
        yield b"\n]"
    yield b"}\n"


def _lines(place: Place, shards: Sequence[str], kind: str) -> Iterator[bytes]:
    for shard in shards:
        entries = _annotations(place, shard)[kind]
        for entry in entries:
            if kind == "images":
                entry["file_name"] = f"{PurePosixPath(shard).name}/{entry['file_name']}"
        yield ",\n".join(map(json.dumps, entries)).encode()


COCO = Format(
    "{split}/{number:05d}",
    _pack,
    _read,
    "from pycocotools.coco import COCO\n\n"
    'dataset = COCO("{folder}/annotations/{split}.json")  # its files are in {folder}/{split}',
    merged="annotations/{split}.json",
    merge=_merge,
)
