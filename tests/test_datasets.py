"""Datasets, read by the libraries that people load them with."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from batch.datasets.formats import FORMATS
from batch.drawing.style import STYLES
from tests.conftest import ROOT, environment, only_line, refusal, run, wait_until

COUNT, VAL = 1200, 120
Labels = list[tuple[Any, ...]]


def _write(folder: Path, *words: object, **settings: object) -> None:
    finished = run("batch.fill", "--dataset", folder, "--quiet", *words, **settings)
    assert finished.returncode == 0, finished.stderr


def _digests(folder: Path) -> dict[str, str]:
    """All that a dataset holds, but for what guards its writing."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same captchas in all formats."""
    folder = tmp_path_factory.mktemp("datasets")
    options = ("--count", COUNT, "--split", "train=0.9,val=0.1", "--length", "4-8", "--seed", 7)
    for name in FORMATS:
        _write(folder / name, "--format", name, *options)
    return folder


@pytest.fixture(scope="module")
def labels(written: Path) -> dict[str, Labels]:
    """What the plain files say, in the order of the captchas: code, boxes, glyph_classes and the picture's digest."""
    return {split: _read_folder(written / "imagefolder" / split) for split in ("train", "val")}


def _read_folder(split: Path) -> Labels:
    labels = []
    for metadata in sorted(split.glob("*/metadata.jsonl")):
        for line in metadata.read_text().splitlines():
            entry = json.loads(line)
            with Image.open(metadata.with_name(entry["file_name"])) as picture:
                labels.append(_label(entry, picture))
    return labels


def _label(entry: dict[str, Any], picture: Image.Image) -> tuple[Any, ...]:
    pixels = hashlib.sha256(picture.convert("L").tobytes()).hexdigest()
    return entry["code"], tuple(map(tuple, entry["boxes"])), tuple(entry["glyph_classes"]), picture.size, pixels


def test_splits_hold_their_shares_and_labels_fit_the_pictures(labels: dict[str, Labels]) -> None:
    assert {split: len(held) for split, held in labels.items()} == {"train": COUNT - VAL, "val": VAL}
    for code, boxes, glyph_classes, (width, height), _ in labels["train"] + labels["val"]:
        assert len(boxes) == len(glyph_classes) == len(code)
        assert width == STYLES["plain"]["standard"].width(len(code))
        assert "".join(glyph_classes).lower() == code
        assert all(0 <= left < right <= width and 0 <= top < bottom <= height for left, top, right, bottom in boxes)
        assert [left for left, *_ in boxes] == sorted(left for left, *_ in boxes)
    assert {len(code) for code, *_ in labels["train"]} == {4, 5, 6, 7, 8}
    assert len({label[-1] for label in labels["train"] + labels["val"]}) == COUNT


@pytest.mark.parametrize("name", ["imagefolder", "parquet"])
def test_datasets_loads_images_and_labels(
    name: str, written: Path, labels: dict[str, Labels], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    import datasets  # noqa: PLC0415 - it reads its settings when it is imported

    loaded = datasets.load_dataset(name, data_dir=str(written / name), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation"}
    for split, ours in (("train", "train"), ("validation", "val")):
        assert sorted(_label(entry, entry["image"]) for entry in loaded[split]) == sorted(labels[ours])
        assert set(loaded[split]["difficulty"]) == {"standard"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its files to be closed
def test_webdataset_streams_images_and_labels(written: Path, labels: dict[str, Labels]) -> None:
    import webdataset  # noqa: PLC0415 - the other tests need not wait for it

    for split, held in labels.items():
        shards = [str(path) for path in sorted((written / "webdataset").glob(f"{split}-*.tar"))]
        stream = webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("png", "json")
        assert [_label(entry, picture) for picture, entry in stream] == held


def test_coco_finds_a_box_for_each_character(written: Path, labels: dict[str, Labels]) -> None:
    from pycocotools.coco import COCO  # noqa: PLC0415

    for split, held in labels.items():
        coco, found = COCO(str(written / "coco" / "annotations" / f"{split}.json")), []
        for image in coco.loadImgs(sorted(coco.getImgIds())):
            annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
            code = "".join(coco.cats[annotation["category_id"]]["name"] for annotation in annotations)
            boxes = [(x, y, x + w, y + h) for x, y, w, h in (annotation["bbox"] for annotation in annotations)]
            entry = {
                "code": code,
                "boxes": boxes,
                "glyph_classes": [annotation["glyph_class"] for annotation in annotations],
            }
            with Image.open(written / "coco" / split / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"])
                found.append(_label(entry, picture))
            assert image["code"] == code
        assert found == held


def test_a_seed_gives_the_same_bytes_however_many_draw(tmp_path: Path) -> None:
    for name, jobs in (("one", 1), ("two", 2)):
        _write(tmp_path / name / "set", "--count", 2100, "--seed", 5, "--format", "webdataset", "--jobs", jobs)
    assert _digests(tmp_path / "one") == _digests(tmp_path / "two")


def test_a_captcha_is_the_same_in_shards_of_any_size(labels: dict[str, Labels], tmp_path: Path) -> None:
    options = ("--count", 700, "--length", "4-8", "--seed", 7, "--shard-size", 130)
    _write(tmp_path / "set", *options)
    assert _read_folder(tmp_path / "set" / "train") == (labels["train"] + labels["val"])[:700]


def test_a_killed_one_is_gone_on_with_to_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL once some shards are there; `--resume` alone finishes, and finds nothing to do the next time."""
    options = [
        "--count",
        "3000",
        "--seed",
        "9",
        "--format",
        "coco",
        "--shard-size",
        "250",
        "--split",
        "train=0.8,val=0.2",
    ]
    killed = tmp_path / "killed" / "set"
    command = [sys.executable, "-m", "batch.fill", "--dataset", str(killed), *options, "--quiet"]
    with subprocess.Popen(command, cwd=ROOT, env=environment({}), start_new_session=True) as process:
        wait_until(lambda: len(list(killed.glob("*/0000*"))) >= 3, "three shards")
        os.killpg(process.pid, signal.SIGKILL)
    assert len(list(killed.glob("*/0000*"))) < 12
    _write(killed, "--resume")
    _write(tmp_path / "unbroken" / "set", *options)
    assert _digests(tmp_path / "killed") == _digests(tmp_path / "unbroken")
    assert "0 drawn" in run("batch.fill", "--dataset", killed, "--resume").stdout


def test_given_codes_are_drawn_in_their_order(tmp_path: Path) -> None:
    codes = [f"{number:04x}" + "a" * (number % 5) for number in range(60)]
    (tmp_path / "codes.txt").write_text("\n".join(codes).upper())
    _write(tmp_path / "set", "--codes", tmp_path / "codes.txt", "--difficulty", "easy")
    assert [code for code, *_ in _read_folder(tmp_path / "set" / "train")] == codes
    _write(tmp_path / "split", "--codes", tmp_path / "codes.txt", "--split", "train=0.5,test=0.5")
    train, test = ([code for code, *_ in _read_folder(tmp_path / "split" / split)] for split in ("train", "test"))
    assert sorted(train + test) == sorted(codes)
    assert train != codes[:30]  # shuffled, for files of codes are often sorted


def test_what_cant_be_written_is_refused_in_a_line(written: Path, tmp_path: Path) -> None:
    (tmp_path / "codes.txt").write_text("ab12\n\nab 12\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("dear diary")
    begun, new, few = written / "parquet", tmp_path / "new", ("--count", 5)
    for folder, options, reason in (
        (begun, few, "--resume"),
        (begun, (*few, "--resume", "--split", "train=0.9,val=0.1", "--length", "4-8"), "begun with other"),
        (begun, ("--resume", "--count", COUNT, "--seed", 8), "begun with other"),
        (tmp_path / "full", few, "not empty"),
        (new, (), "--count"),
        (new, (*few, "--split", "train=0.9"), "make up 1"),
        (new, (*few, "--split", "train=0.99,val=0.01"), "nothing of 5 captchas is left for val"),
        (new, (*few, "--length", "4-9"), "--length 4-9"),
        (new, (*few, "--alphabet", "ab!"), "CAPTCHA_ALPHABET"),
        (new, ("--codes", tmp_path / "codes.txt"), "line 3: 'ab 12'"),
        (new, ("--codes", tmp_path / "none.txt"), "No such file"),
    ):
        assert reason in refusal("batch.fill.__main__", "--dataset", folder, *options), options
    assert not new.exists()


def test_a_preview_shows_the_boxes(written: Path, tmp_path: Path) -> None:
    finished = run("batch.dataset.preview", written / "parquet", "--out", tmp_path / "boxes.png")
    assert finished.returncode == 0, finished.stderr
    with Image.open(io.BytesIO((tmp_path / "boxes.png").read_bytes())) as page:
        assert page.mode == "RGB" and page.width > 900
    assert "holds no dataset" in only_line(run("batch.dataset.preview", tmp_path))
