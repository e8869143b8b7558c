"""The files of a dataset, in the formats of the libraries that load them."""

from batch.datasets.formats.base import Format
from batch.datasets.formats.coco import COCO
from batch.datasets.formats.folders import IMAGEFOLDER, TEXT
from batch.datasets.formats.lmdb import LMDB
from batch.datasets.formats.tables import PARQUET
from batch.datasets.formats.tar import WEBDATASET

__all__ = ["FORMATS", "Format"]

FORMATS: dict[str, Format] = {
    "imagefolder": IMAGEFOLDER,
    "webdataset": WEBDATASET,
    "parquet": PARQUET,
    "coco": COCO,
    "text": TEXT,
    "lmdb": LMDB,
}
