"""Reading EMNIST's official format, and saying what is wrong with a file."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from batch.images.emnist import read_emnist
from batch.images.labelled import ImagesError
from tests.support import emnist_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    emnist_files.write(tmp_path, emnist_files.strokes(47, rng), np.arange(47, dtype=np.uint8))
    return tmp_path


def test_images_come_out_upright_with_their_labels(folder: Path) -> None:
    emnist = read_emnist(folder, "train")
    assert np.array_equal(emnist.images, emnist_files.strokes(47, np.random.default_rng(1)))
    assert np.array_equal(emnist.labels, np.arange(47))


def test_the_digest_tells_data_apart(folder: Path) -> None:
    before = read_emnist(folder, "train").digest
    assert read_emnist(folder, "train").digest == before
    emnist_files.write(folder, emnist_files.strokes(47, np.random.default_rng(2)), np.arange(47, dtype=np.uint8))
    assert read_emnist(folder, "train").digest != before


def _repack(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))


def test_each_fault_names_its_file_and_itself(folder: Path) -> None:
    images, labels = emnist_files.paths(folder, "train")
    whole = {path: path.read_bytes() for path in (images, labels)}
    faults: list[tuple[Path, Callable[[], object], str]] = [
        (images, images.unlink, "is missing"),
        (labels, lambda: labels.write_bytes(b"no gzip"), "not a whole gzip file"),
        (images, lambda: images.write_bytes(whole[images][:-30]), "not a whole gzip file"),
        (images, lambda: images.write_bytes(whole[labels]), "magic number 0x00000801, not 0x00000803"),
        (images, lambda: _repack(images, lambda content: content[:-784]), "where the header promises"),
        (labels, lambda: _repack(labels, lambda content: content[:3]), "too few for an IDX header"),
        (labels, lambda: _repack(labels, lambda content: content[:-1] + bytes([47])), "label 47"),
        (
            labels,
            lambda: labels.write_bytes(gzip.compress(emnist_files.idx(0x801, np.zeros(46, np.uint8)))),
            "46 labels for the 47 images",
        ),
        (
            images,
            lambda: images.write_bytes(gzip.compress(emnist_files.idx(0x803, np.zeros((47, 14, 28), np.uint8)))),
            "14 x 28 pixels",
        ),
    ]
    for path, break_it, reason in faults:
        break_it()
        with pytest.raises(ImagesError, match=reason) as caught:
            read_emnist(folder, "train")
        assert str(path) in str(caught.value)
        path.write_bytes(whole[path])
    read_emnist(folder, "train")
