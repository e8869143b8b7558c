"""A folder of images of one's own: any size, dark on light or light on dark, in any script."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batch.images.folder import normalize, read_folder
from batch.images.labelled import ImagesError
from batch.images.source import read_images
from tests.support import emnist_files


def _scan(ink: int = 20, paper: int = 230) -> Image.Image:
    """A bar with a foot, off the middle of a sheet that is not square."""
    page = np.full((150, 90), paper, np.uint8)
    page[20:110, 40:52] = ink
    page[98:110, 40:80] = ink
    return Image.fromarray(page)


def test_size_and_polarity_make_no_difference(tmp_path: Path) -> None:
    """All come out as EMNIST has its images: bright on black, in the middle, 24 pixels the longer way."""
    upright = normalize(np.asarray(_scan()), tmp_path)
    assert upright.max() == 255
    rows, columns = (np.flatnonzero((upright > 80).any(axis)) for axis in (1, 0))
    assert (rows[0], rows[-1]) == (2, 25)
    assert abs(columns[0] + columns[-1] - 27) <= 1
    for other in (_scan(240, 15), _scan(90, 160), _scan().resize((45, 75)), _scan().resize((270, 450))):
        assert np.abs(normalize(np.asarray(other), tmp_path).astype(int) - upright).mean() < 4


def test_each_sub_folder_is_a_character(tmp_path: Path) -> None:
    """Its images may be of any format; each tenth is for testing."""
    for name, suffix, count in (
        ("Ж", "png", 20),
        ("ж", "jpg", 9),
        ("U+0438", "webp", 10),
        ("и\u0306", "png", 3),
        ("+", "png", 1),
        ("U+002F", "png", 1),
    ):
        (tmp_path / name).mkdir()
        for number in range(count):
            _scan().save(tmp_path / name / f"{number}.{suffix}")
    transparent = Image.new("RGBA", (60, 60), (0, 0, 0, 0))
    transparent.paste((0, 0, 0, 255), (20, 10, 28, 50))
    transparent.save(tmp_path / "ж" / "transparent.png")
    (tmp_path / "ж" / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    for left in ("ж/._1.png", ".ipynb_checkpoints/1.png", "@eaDir/1.png"):  # by other programs
        (tmp_path / left).parent.mkdir(exist_ok=True)
        (tmp_path / left).write_bytes(b"no image")
    train, test = read_images(tmp_path, "train"), read_images(tmp_path, "test")
    assert train.classes.symbols == "+/Жжий"
    assert [c.name for c in train.classes] == [
        "00-u002b",
        "01-u002f",
        "02-u0416",
        "03-u0436",
        "04-u0438",
        "05-u0439",
    ]
    assert train.classes.characters == "+/жий"
    assert train.counts().tolist() == [1, 1, 18, 9, 9, 3] and test.counts().tolist() == [0, 0, 2, 1, 1, 0]
    assert train.digest == read_images(tmp_path, "train").digest != test.digest


def test_each_fault_of_a_folder_is_said(tmp_path: Path) -> None:
    def failure() -> str:
        with pytest.raises(ImagesError) as caught:
            read_folder(tmp_path, "train")
        return str(caught.value)

    (tmp_path / "ж").mkdir()
    _scan().save(tmp_path / "ж" / "1.png")
    assert "1 characters" in failure()
    (tmp_path / "и").mkdir()
    broken = tmp_path / "и" / "1.png"
    broken.write_bytes(b"no PNG")
    assert f"{broken} can't be read" in failure()
    Image.new("L", (30, 30), 200).save(broken)
    assert f"{broken}: nothing is written on it" in failure()
    (tmp_path / "и").rename(tmp_path / "be")
    assert "be: the name must be one letter" in failure()
    (tmp_path / "be").rename(tmp_path / "U+0020")
    assert "U+0020: the name must be one letter, digit or symbol" in failure()


@pytest.mark.parametrize("place", ["gzip", "EMNIST/raw", "."])
def test_emnist_is_found_where_nist_and_torchvision_put_it(tmp_path: Path, place: str) -> None:
    """Torchvision unpacks it."""
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    emnist_files.write(folder, emnist_files.strokes(47, np.random.default_rng(1)), np.arange(47, dtype=np.uint8))
    if place == "EMNIST/raw":
        emnist_files.unpack(folder)
    assert read_images(tmp_path, "train").labels.tolist() == list(range(47))
