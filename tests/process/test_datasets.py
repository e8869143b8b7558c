"""Datasets, read by the libraries that people load them with."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from batch.datasets.formats import FORMATS
from batch.datasets.places import open_place
from gantcha.alphabet import BYMERGE
from gantcha.drawing.look import LOOKS
from tests.conftest import ROOT, environment, invoke, refusal, wait_until

COUNT, VAL = 200, 40
_OPTIONS = ("--split", "train=0.8,val=0.2", "--length", "3-16", "--alphabet", "2345abde", "--seed", 7)
_MIXED = ("--mix", "easy=0.5,hard=0.5,light=0.7,dark=0.3", "--set", "noise=0.03", "--masks", "--disjoint")
_PARQUET = [("train", "00000-of-00002.parquet"), ("train", "00001-of-00002.parquet"), ("val", "00000-of-00001.parquet")]
Labels = list[tuple[Any, ...]]


def _write(folder: Path | str, *words: object) -> None:
    finished = invoke("batch.fill", "--dataset", folder, "--quiet", "--jobs", 1, *words)
    assert finished.exit_code == 0, finished.stderr


def _digests(folder: Path) -> dict[str, str]:
    """All that a dataset holds, but for what guards its writing."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same captchas in all formats."""
    folder = tmp_path_factory.mktemp("datasets")
    for name in FORMATS:
        _write(folder / name, "--format", name, "--count", COUNT, *_OPTIONS, *_MIXED)
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
                masks = metadata.with_name(entry["masks_file_name"]) if "masks_file_name" in entry else None
                count = len(entry["characters"])
                labels.append(_label(entry, picture, _masks(Image.open(masks), count) if masks else ()))
    return labels


def _masks(stacked: Image.Image, count: int) -> tuple[str, ...]:
    """Digests of the masks of a captcha."""
    masks = np.asarray(stacked.convert("L")).reshape(count, -1, stacked.width) > 0
    return tuple(map(_digest, masks))


def _digest(pixels: npt.NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _label(entry: dict[str, Any], picture: Image.Image, masks: tuple[str, ...]) -> tuple[Any, ...]:
    assert picture.mode == "L"
    of_characters = tuple(map(tuple, entry["boxes"])), tuple(entry["glyph_classes"]), masks
    parameters = (
        entry["difficulty"],
        entry["theme"],
        entry["cased"],
        float(np.float32(entry["parameters"]["baseline_amplitude"])),
    )
    return entry["code"], *of_characters, *parameters, picture.size, _digest(np.asarray(picture))


def test_splits_hold_their_shares_and_labels_fit_the_pictures(labels: dict[str, Labels]) -> None:
    assert {split: len(held) for split, held in labels.items()} == {"train": COUNT - VAL, "val": VAL}
    both = labels["train"] + labels["val"]
    for code, boxes, glyph_classes, masks, difficulty, _, cased, amplitude, (width, height), _ in both:
        assert len(boxes) == len(glyph_classes) == len(masks) == len(code)
        assert width == LOOKS["plain"]["standard"].width(len(code))
        assert cased == "".join(glyph_classes) and cased.lower() == code
        assert all(0 <= left < right <= width and 0 <= top < bottom <= height for left, top, right, bottom in boxes)
        assert [left for left, *_ in boxes] == sorted(left for left, *_ in boxes)
        least, most = LOOKS["plain"][difficulty].baseline_amplitude
        assert least <= amplitude <= most
    assert {len(code) for code, *_ in labels["train"]} == set(range(3, 17))
    assert len({label[-1] for label in both}) == COUNT
    for place, (one, other) in {4: ("easy", "hard"), 5: ("dark", "light")}.items():
        counts = Counter(label[place] for label in both)
        assert set(counts) == {one, other} and 0.2 < counts[one] / COUNT < 0.6


def test_characters_are_equally_likely_and_no_code_is_in_two_splits(labels: dict[str, Labels]) -> None:
    codes = {split: [code for code, *_ in held] for split, held in labels.items()}
    assert not set(codes["train"]) & set(codes["val"])
    counts = Counter("".join(codes["train"]))
    assert set(counts) == set("2345abde")
    assert min(counts.values()) > 0.75 * max(counts.values())


def test_masks_fill_their_boxes(written: Path) -> None:
    metadata = written / "imagefolder" / "train" / "00000" / "metadata.jsonl"
    for line in metadata.read_text().splitlines()[:50]:
        entry = json.loads(line)
        with Image.open(metadata.with_name(entry["masks_file_name"])) as stacked:
            masks = np.asarray(stacked).reshape(len(entry["characters"]), -1, stacked.width)
        for mask, box in zip(masks, entry["boxes"], strict=True):
            down, across = np.nonzero(mask)
            assert [across.min(), down.min(), across.max() + 1, down.max() + 1] == box
        picture = cv2.imread(str(metadata.with_name(entry["file_name"])), cv2.IMREAD_UNCHANGED)
        inked, paper = picture[masks.any(0)].mean(), picture[~masks.any(0)].mean()
        assert inked > paper + 80 if entry["theme"] == "dark" else inked < paper - 80


@pytest.mark.parametrize("name", ["imagefolder", "parquet", "text"])
def test_datasets_loads_images_and_labels(
    name: str, written: Path, labels: dict[str, Labels], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    import datasets  # noqa: PLC0415 - it reads its settings when it is imported

    loaded = datasets.load_dataset(str(written / name), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train", "val"]
    for split, held in loaded.items():
        read = [_label(e, e["image"], _masks(e["masks"], len(e["characters"]))) for e in held]
        assert sorted(read) == sorted(labels[split])
    assert sorted(loaded["train"]["index"]) == [*range(COUNT - VAL)]
    objects = loaded["train"].features["objects"]
    for entry in loaded["train"].select(range(5)):
        assert [[x, y, x + w, y + h] for x, y, w, h in entry["objects"]["bbox"]] == entry["boxes"]
        if name == "parquet":
            names = objects["category"].feature.int2str(entry["objects"]["category"])
        else:
            names = [BYMERGE.symbols[category] for category in entry["objects"]["category"]]
        assert names == entry["glyph_classes"]
    pixels = loaded["train"].with_format("numpy")[0]["image"]
    assert pixels.ndim == 2 and pixels.max() - pixels.min() > 180


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves its files to be closed
def test_webdataset_streams_images_and_labels(written: Path, labels: dict[str, Labels]) -> None:
    import webdataset  # noqa: PLC0415 - the other tests need not wait for it

    for split, held in labels.items():
        shards = [str(path) for path in sorted((written / "webdataset").glob(f"{split}-*.tar"))]
        stream = webdataset.WebDataset(shards, shardshuffle=False).decode("pill").to_tuple("png", "json", "masks.png")
        assert [_label(entry, png, _masks(masks, len(entry["boxes"]))) for png, entry, masks in stream] == held


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of its decoder of masks
def test_coco_finds_a_box_and_polygons_for_each_character(written: Path, labels: dict[str, Labels]) -> None:
    """Drawn by its own library, the polygons are the masks."""
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
            polygons = [polygon for annotation in annotations for polygon in annotation["segmentation"]]
            assert all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons)
            assert not any(annotation["iscrowd"] for annotation in annotations)
            drawn = [coco.annToMask(annotation) > 0 for annotation in annotations]
            assert [annotation["area"] for annotation in annotations] == [mask.sum() for mask in drawn]
            masks = tuple(map(_digest, drawn))
            with Image.open(written / "coco" / split / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"])
                found.append(_label(image | entry, picture, masks))
            assert image["code"] == code
        assert found == held


def test_parquet_files_are_one_table(written: Path, labels: dict[str, Labels]) -> None:
    import pandas as pd  # noqa: PLC0415 - the other tests need not wait for it
    import pyarrow.dataset  # noqa: PLC0415

    folder = written / "parquet" / "data"
    assert {path.name for path in folder.iterdir()} == {f"{split}-{n}" for split, n in _PARQUET}
    assert pyarrow.dataset.dataset(folder).count_rows() == COUNT
    table = pd.read_parquet(folder).sort_values("index")
    assert [*table["code"]] == [code for code, *_ in labels["train"] + labels["val"]]


def test_a_list_of_texts_names_each_picture(written: Path, labels: dict[str, Labels]) -> None:
    """As create_lmdb_dataset.py of deep-text-recognition-benchmark and PaddleOCR read it."""
    for split, held in labels.items():
        found = []
        for line in (written / "text" / split / "labels.txt").read_text().splitlines():
            path, text = line.split("\t")
            with Image.open(written / "text" / split / path) as picture:
                found.append((text, _digest(np.asarray(picture))))
        assert found == [(code, digest) for code, *_, digest in held]


def test_lmdb_has_the_keys_of_readers_of_text(written: Path, labels: dict[str, Labels]) -> None:
    """As deep-text-recognition-benchmark, PARSeq and PaddleOCR walk over its folders."""
    import lmdb  # noqa: PLC0415 - the other tests need not wait for it

    for split, held in labels.items():
        found = []
        for file in sorted((written / "lmdb" / split).rglob("data.mdb")):
            with lmdb.open(str(file.parent), readonly=True, lock=False) as environment, environment.begin() as entries:
                for number in range(1, int(entries.get(b"num-samples")) + 1):
                    text, png, masks, entry = (
                        entries.get(f"{name}-{number:09d}".encode()) for name in ("label", "image", "masks", "json")
                    )
                    entry = json.loads(entry)
                    assert text.decode() == entry["code"]
                    with Image.open(io.BytesIO(png)) as picture, Image.open(io.BytesIO(masks)) as stacked:
                        found.append(_label(entry, picture, _masks(stacked, len(entry["boxes"]))))
        assert found == held


def test_a_seed_gives_the_same_bytes_however_many_draw(tmp_path: Path) -> None:
    for name, jobs in (("one", 1), ("two", 2)):
        _write(
            tmp_path / name / "set",
            "--count",
            500,
            "--seed",
            5,
            "--shard-size",
            125,
            "--format",
            "webdataset",
            "--jobs",
            jobs,
        )
    assert _digests(tmp_path / "one") == _digests(tmp_path / "two")


def test_a_captcha_is_the_same_in_shards_of_any_size(labels: dict[str, Labels], tmp_path: Path) -> None:
    _write(tmp_path / "set", "--count", COUNT, *_OPTIONS, *_MIXED, "--shard-size", 130)
    assert _read_folder(tmp_path / "set" / "train") == labels["train"]


def test_a_killed_one_is_gone_on_with_to_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL once some shards are there; `--resume` alone finishes, and finds nothing to do the next time."""
    options = [
        "--count",
        "1000",
        "--seed",
        "9",
        "--format",
        "coco",
        "--shard-size",
        "125",
        "--split",
        "train=0.8,val=0.2",
    ]
    killed = tmp_path / "killed" / "set"
    command = [sys.executable, "-m", "batch.fill", "--dataset", str(killed), *options, "--quiet"]
    with subprocess.Popen(command, cwd=ROOT, env=environment({}), start_new_session=True) as process:
        wait_until(lambda: len(list(killed.glob("*/0000*"))) >= 2, "two shards")
        os.killpg(process.pid, signal.SIGKILL)
    assert len(list(killed.glob("*/0000*"))) < 9
    _write(killed, "--resume")
    _write(tmp_path / "unbroken" / "set", *options)
    assert _digests(tmp_path / "killed") == _digests(tmp_path / "unbroken")
    assert "0 drawn" in invoke("batch.fill", "--dataset", killed, "--resume").stdout


def test_one_killed_before_its_first_shard_is_gone_on_with(tmp_path: Path) -> None:
    killed, options = tmp_path / "killed" / "set", ["--count", "1000", "--seed", "9", "--shard-size", "1000"]
    command = [sys.executable, "-m", "batch.fill", "--dataset", str(killed), *options, "--quiet"]
    with subprocess.Popen(command, cwd=ROOT, env=environment({}), start_new_session=True) as process:
        wait_until((killed / ".gantcha" / "plan.json").exists, "the plan")
        os.killpg(process.pid, signal.SIGKILL)
    assert not list(killed.glob("train/0*"))
    assert "--resume" in refusal("batch.fill", "--dataset", killed, *options)
    _write(killed, "--resume")
    _write(tmp_path / "unbroken" / "set", *options)
    assert _digests(tmp_path / "killed") == _digests(tmp_path / "unbroken")


def test_one_killed_before_its_plan_is_begun_anew(tmp_path: Path) -> None:
    """As a kill leaves it while the codes or the plan are written."""
    for name in ("lock", "codes.txt", "plan.part"):
        (tmp_path / "set" / ".gantcha").mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / ".gantcha" / name).write_text("")
    assert "holds no dataset to resume" in refusal("batch.fill", "--dataset", tmp_path / "set", "--resume")
    _write(tmp_path / "set", "--count", 5)
    assert len(_read_folder(tmp_path / "set" / "train")) == 5


@pytest.mark.parametrize("name", ["imagefolder", "coco", "parquet"])
def test_an_extended_one_keeps_its_files(name: str, written: Path, labels: dict[str, Labels], tmp_path: Path) -> None:
    """Two times: nothing is drawn again, and no code is in two splits."""
    folder = tmp_path / "set"
    shutil.copytree(written / name, folder)
    for _ in range(2):
        before = _digests(folder)
        _write(folder, "--extend", 100)
        after = _digests(folder)
        changed = {path for path, digest in before.items() if after.get(path) != digest}
        assert all(re.match(r"\.gantcha/plan|\.gantcha/checksums/annot|annotations/|README", path) for path in changed)
    assert "holds 320 train, 80 val" in invoke("batch.fill", "--dataset", folder, "--resume").stdout
    assert f"{COUNT + 200} captchas, all as" in invoke("batch.fill", "--dataset", folder, "--verify").stdout
    assert "| train | 320 |" in (folder / "README.md").read_text()
    if name == "imagefolder":
        held = {split: _read_folder(folder / split) for split in ("train", "val")}
        assert {split: len(own) for split, own in held.items()} == {"train": 320, "val": 80}
        assert all(held[split][: len(own)] == own for split, own in labels.items())
        assert len({picture for own in held.values() for *_, picture in own}) == COUNT + 200
        assert not {code for code, *_ in held["train"]} & {code for code, *_ in held["val"]}
    if name == "coco":
        images = json.loads((folder / "annotations" / "train.json").read_text())["images"]
        assert len({image["id"] for image in images}) == len(images) == 320
        assert all((folder / "train" / image["file_name"]).exists() for image in images)


def test_a_killed_extension_is_gone_on_with_to_the_same_bytes(tmp_path: Path) -> None:
    killed, unbroken = tmp_path / "killed" / "set", tmp_path / "unbroken" / "set"
    options = [
        "--count",
        "250",
        "--seed",
        "9",
        "--format",
        "coco",
        "--shard-size",
        "125",
        "--split",
        "train=0.5,val=0.5",
    ]
    _write(killed, *options)
    shutil.copytree(killed, unbroken)
    command = [sys.executable, "-m", "batch.fill", "--dataset", str(killed), "--extend", "1000", "--quiet"]
    with subprocess.Popen(command, cwd=ROOT, env=environment({}), start_new_session=True) as process:
        wait_until((killed / "train" / "00001").exists, "a shard")
        os.killpg(process.pid, signal.SIGKILL)
    assert len(list(killed.glob("*/0000*"))) < 10
    assert "finish it with --resume" in refusal("batch.fill", "--dataset", killed, "--extend", 1000)
    _write(killed, "--resume")
    _write(unbroken, "--extend", 1000)
    assert _digests(killed) == _digests(unbroken)


def test_a_dataset_of_another_drawing_is_not_gone_on_with(tmp_path: Path) -> None:
    _write(tmp_path / "set", "--count", 5)
    plan = tmp_path / "set" / ".gantcha" / "plan.json"
    of_now = json.loads(plan.read_text())
    del of_now["drawing"]  # as the first version left it
    plan.write_text(json.dumps(of_now))
    assert "a version of Gantcha that draws otherwise" in refusal(
        "batch.fill", "--dataset", tmp_path / "set", "--resume"
    )
    assert "all as they were written" in invoke("batch.fill", "--dataset", tmp_path / "set", "--verify").stdout


def test_given_codes_are_drawn_in_their_order(tmp_path: Path) -> None:
    codes = [f"{number:04x}" + "a" * (number % 5) for number in range(60)]
    (tmp_path / "codes.txt").write_text("\n".join(codes).upper())
    _write(tmp_path / "set", "--codes", tmp_path / "codes.txt", "--difficulty", "easy")
    assert [code for code, *_ in _read_folder(tmp_path / "set" / "train")] == codes
    _write(tmp_path / "split", "--codes", tmp_path / "codes.txt", "--split", "train=0.5,test=0.5")
    train, test = ([code for code, *_ in _read_folder(tmp_path / "split" / split)] for split in ("train", "test"))
    assert sorted(train + test) == sorted(codes)
    assert train != codes[:30]  # shuffled, for files of codes are often sorted


def test_a_pattern_of_codes(tmp_path: Path) -> None:
    _write(tmp_path / "set", "--count", 120, "--pattern", r"[a-c]{2}x\d{0,2}", "--split", "a=0.4,b=0.3,c=0.3")
    codes = [code for split in "abc" for code, *_ in _read_folder(tmp_path / "set" / split)]
    assert len(codes) == 120 and all(re.fullmatch(r"[a-c]{2}x[0-9]{0,2}", code) for code in codes)
    assert {len(code) for code in codes} == {3, 4, 5}


def test_what_cant_be_written_is_refused_in_a_line(written: Path, tmp_path: Path) -> None:
    (tmp_path / "codes.txt").write_text("ab12\n\nab 12\n")
    (tmp_path / "twice.txt").write_text("ab12\nAB12\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("dear diary")
    (tmp_path / "good.txt").write_text("ab12\n")
    _write(given := tmp_path / "given", "--codes", tmp_path / "good.txt")
    begun, new, few = written / "parquet", tmp_path / "new", ("--count", 5)
    for folder, options, reason in (
        (begun, few, "--resume"),
        (begun, (*few, "--resume"), f"was begun with --count {COUNT}"),
        (begun, ("--resume", "--seed", 8), "was begun with --seed 7"),
        (begun, ("--resume", "--format", "coco"), "was begun with --format parquet"),
        (begun, ("--resume", "--difficulty", "hard"), "was begun with no --difficulty"),
        (tmp_path / "full", few, "not empty"),
        (tmp_path / "full", ("--resume",), "holds no dataset to resume"),
        (tmp_path / "full", ("--verify",), "holds no dataset to verify"),
        (new, (), "--count"),
        (new, (*few, "--split", "train=0.9"), "make up 1"),
        (new, (*few, "--split", "train=0.99,val=0.01"), "nothing of 5 captchas is left for val"),
        (new, (*few, "--length", "4-17"), "length (4, 17): must be 1 to 16"),
        (new, (*few, "--length", "four"), "--length four: must be a number"),
        (new, (*few, "--alphabet", "ab!"), "CAPTCHA_ALPHABET"),
        (new, (*few, "--pattern", "[a-c]{2}!"), "pattern [a-c]{2}!: must look like"),
        (new, (*few, "--pattern", "[z-a]"), "no class of characters"),
        (new, (*few, "--pattern", "a{17}"), "1 to 16 characters"),
        (new, (*few, "--pattern", "a", "--length", "3"), "leave --length"),
        (new, (*few, "--mix", "easy=0.5,hard=0.4"), "each difficulty must make up 1"),
        (new, (*few, "--mix", "medium=1"), "mix medium: must be shares of"),
        (new, (*few, "--mix", "easy:1"), "--mix easy:1: must look like"),
        (new, (*few, "--mix", "easy=1", "--difficulty", "hard"), "leave --difficulty out"),
        (new, (*few, "--set", "hue=1"), "the look has no setting 'hue'"),
        (new, (*few, "--set", "noise=loud"), "--set noise=loud: must look like"),
        (new, (*few, "--set", "grain=0"), "grain: must be from 1"),
        (new, (*few, "--set", "contrast=0.9,0.2"), "the lower limit comes first"),
        (new, (*few, "--split", "a=0.6,b=0.4", "--length", "1", "--disjoint"), "15 codes are too few"),
        (new, (*few, "--masks", "--shard-size", 9000), "at most 4999"),
        (begun, ("--extend", 5, "--seed", 8), "was begun with --seed 7"),
        (given, ("--extend", 5), "there are no next ones"),
        (new, ("--extend", 5), "holds no dataset to extend"),
        (new, ("--codes", tmp_path / "codes.txt"), "line 3: 'ab 12'"),
        (new, ("--codes", tmp_path / "none.txt"), "No such file"),
        (new, ("--codes", tmp_path / "twice.txt", "--disjoint"), "repeats 1 codes"),
    ):
        assert reason in refusal("batch.fill", "--dataset", folder, *options), options
    assert not new.exists()
    assert "leave --resume" in invoke("batch.fill", "--dataset", begun, "--extend", 5, "--resume").stderr
    for option, value in {"--format": "foo", "--length": "1", "--split": "a=1", "--mix": "easy=1", "--seed": 1}.items():
        result = invoke("batch.fill", *few, option, value)
        assert result.exit_code == 2 and ("is not one of" if value == "foo" else f"{option} needs") in result.stderr


def test_a_failed_start_leaves_nothing(tmp_path: Path, small_disk: Path) -> None:
    """Ray does not answer, or the disk is too small for the first shard; an extension leaves what it began with."""
    command = ("batch.fill", "--count", 600, "--shard-size", 600, "--dataset")
    ray = ("--engine", "ray", "--ray-address", "127.0.0.1:1")
    assert "does not answer" in refusal(*command, tmp_path / "set", *ray)
    assert not (tmp_path / "set").exists()
    assert "free some space" in refusal(*command, small_disk / "set")
    assert not list(small_disk.iterdir())
    _write(tmp_path / "set", "--count", 5)
    before = _digests(tmp_path / "set")
    assert "does not answer" in refusal("batch.fill", "--dataset", tmp_path / "set", "--extend", 5, *ray)
    assert _digests(tmp_path / "set") == before


def test_damage_is_found_and_drawn_again(written: Path, tmp_path: Path) -> None:
    """A truncated shard, a lost picture, annotations that are lost, and what has its size but other bytes."""

    def refused(folder: Path) -> str:
        return refusal("batch.fill", "--dataset", folder, "--verify")

    for name, damaged in (("webdataset", "train-000001.tar"), ("coco", "annotations/val.json")):
        folder = tmp_path / name
        shutil.copytree(written / name, folder)
        before = _digests(folder)
        assert f"{COUNT} captchas, all as" in invoke("batch.fill", "--dataset", folder, "--verify").stdout
        os.truncate(folder / damaged, 1000)
        if name == "coco":
            next((folder / "train" / "00001").glob("*.png")).unlink()
        assert f"{2 if name == 'coco' else 1} shards are damaged" in refused(folder)
        _write(folder, "--resume")
        assert _digests(folder) == before
        with open(folder / damaged, "r+b") as file:
            file.write(b"another")
        assert "0 drawn" in invoke("batch.fill", "--dataset", folder, "--resume").stdout
        assert "1 shards are damaged" in refused(folder)
        _write(folder, "--resume", "--verify")
        assert _digests(folder) == before
    (folder / "annotations" / "train.json").unlink()
    assert ": 0 drawn" in invoke("batch.fill", "--dataset", folder, "--resume").stdout
    assert _digests(folder) == before


def test_a_dataset_in_a_bucket(written: Path, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes as in a folder, also of annotations that are merged; a bucket that is missing is told."""
    for name, value in {"ENDPOINT_URL": s3_server, "ACCESS_KEY_ID": "us", "SECRET_ACCESS_KEY": "no secret"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    url = "s3://captchas/sets/coco"
    _write(url, "--format", "coco", "--count", COUNT, *_OPTIONS, *_MIXED)
    there = open_place(url)
    held = _digests(written / "coco")
    assert there.names() == set(held)
    assert {name: there.digest(name) for name in held if "plan" not in name} == {
        name: digest for name, digest in held.items() if "plan" not in name
    }
    there.write("val/00000/000000160.png", b"a part of it")
    assert f"{VAL} drawn" in invoke("batch.fill", "--dataset", url, "--resume").stdout
    assert there.digest("val/00000/000000160.png") == held["val/00000/000000160.png"]
    there.remove({"val/00000/000000160.png"})
    assert "1 shards are damaged" in refusal("batch.fill", "--dataset", url, "--verify")
    assert "was begun with" in refusal("batch.fill", "--dataset", url, "--resume", "--count", 3)
    preview = invoke("batch.preview", "s3://captchas/sets/coco", "--out", tmp_path / "boxes.png")
    assert preview.exit_code == 0, preview.stderr
    line = refusal("batch.fill", "--count", 5, "--dataset", "s3://nowhere/set")
    assert line == "error: s3://nowhere/set: there is no such bucket; create it, or correct the URL"


def test_a_preview_shows_the_boxes(written: Path, tmp_path: Path) -> None:
    for name in FORMATS:
        finished = invoke("batch.preview", written / name, "--out", tmp_path / f"{name}.png")
        assert finished.exit_code == 0, finished.stderr
        assert (tmp_path / f"{name}.png").read_bytes() == (tmp_path / "imagefolder.png").read_bytes()
    with Image.open(io.BytesIO((tmp_path / "imagefolder.png").read_bytes())) as page:
        assert page.mode == "RGB" and page.width > 900
    assert "holds no dataset" in refusal("batch.preview", tmp_path)
