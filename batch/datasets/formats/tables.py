"""Parquet, in the layout of the Hugging Face Hub."""

import io
import json
from collections.abc import Sequence
from typing import Any

from batch.datasets.formats.base import BOX, FEATURES, STRING, Format, Labels, label, list_of, needed, objects, pictures
from batch.datasets.places import Files, Place
from batch.datasets.plan import DatasetError, Plan
from gantcha.captcha import Captcha
from gantcha.home import cure

_IMAGE = {"_type": "Image"}


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
    if kind == "ClassLabel":
        return pa.int64()
    if kind == "Value":
        return pa.type_for_alias(feature["dtype"])
    if kind == "List":
        return pa.list_(_arrow_type(pa, feature["feature"]), feature.get("length", -1))
    return pa.struct({name: _arrow_type(pa, own) for name, own in feature.items()})


def _pack(plan: Plan, captchas: Sequence[Captcha]) -> Files:
    pa, parquet = _pyarrow()
    images = ["image", "masks"] if plan.stream.masks else ["image"]
    classes = {"names": list(plan.symbols), "_type": "ClassLabel"}
    of_objects = {"bbox": list_of(BOX), "category": list_of(classes)}
    features = dict.fromkeys(images, _IMAGE) | FEATURES | {"generators": STRING, "objects": of_objects}
    columns = {name: _arrow_type(pa, feature) for name, feature in features.items()}
    schema = pa.schema(list(columns.items()), {"huggingface": json.dumps({"info": {"features": features}})})
    rows = [
        dict(zip(images, ({"bytes": png, "path": name} for name, png in pictures(one).items()), strict=True))
        | label(plan, one)
        | {"objects": objects(plan, one)}
        for one in captchas
    ]
    packed = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema), packed)
    return {"": packed.getvalue()}


def _read(place: Place, path: str) -> Labels:
    _, parquet = _pyarrow()
    for row in parquet.read_table(io.BytesIO(needed(place, path))).to_pylist():
        yield row["image"]["bytes"], row


PARQUET = Format(
    "data/{split}-{number:05d}-of-{count:05d}.parquet",
    _pack,
    _read,
    'from datasets import load_dataset\n\ndataset = load_dataset("{folder}")',
    on_the_hub="data/{split}-[0-9]*",
    objects=True,
    check=_pyarrow,
)
