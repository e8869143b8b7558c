"""Captchas in an alphabet of one's own: from a manifest with other symbols to a solved challenge."""

import json
import re
import shutil
import unicodedata
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

import gantcha
from batch.training.filter import filter_to_onnx, make_filter_model
from batch.training.writing import CheckpointWriter
from gantcha.alphabet import BYMERGE, GlyphClasses
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.home import CHECKPOINTS
from pool.errors import SettingsError
from pool.settings import Settings, load_settings
from tests.conftest import Site, a_png, invoke, refusal, running_site, sqlite_settings_in
from tests.support.chromium import running_chromium
from tests.support.programs import needs

MEANT = {"N": "Й", "R": "я"}
"""The letters that take the place of EMNIST's symbols."""
CHARACTERS = "йя"


def renamed(meant: dict[str, str], place: Path) -> Path:
    """EMNIST's generators of some letters as those of others, and a filter of these that has learnt nothing."""
    folder = CheckpointWriter(place)
    shipped, classes = Checkpoints(CHECKPOINTS).manifest(), GlyphClasses("".join(meant.values()))
    entries = {}
    for symbol, own in zip(meant, classes, strict=True):
        entry = shipped["classes"][BYMERGE[BYMERGE.symbols.index(symbol)].name]
        entries[own.name] = entry | folder.write(own.name, (CHECKPOINTS / entry["file"]).read_bytes())
    legibility = folder.write("legibility-filter", filter_to_onnx(make_filter_model(len(classes))))
    folder.write_manifest(shipped | {"symbols": classes.symbols, "classes": entries, "legibility_filter": legibility})
    return folder.folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generators of two Cyrillic letters."""
    return renamed(MEANT, tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with running_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def own_site(checkpoints: Path, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with captchas of these generators."""
    settings = sqlite_settings_in(sqlite_template, tmp_path_factory.mktemp("site")) | {"CHECKPOINTS_DIR": checkpoints}
    for kind in ("plain", "crossed-out"):
        filled = invoke("batch.fill", "--count", 12, "--kind", kind, "--jobs", 1, "--quiet", **settings)
        assert filled.exit_code == 0, filled.stderr
    with running_site(settings) as site:
        yield site


def test_the_alphabet_is_that_of_the_manifest(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPTCHA_CHECKPOINTS_DIR", str(checkpoints))
    assert sorted(load_settings().alphabet) == sorted(CHARACTERS)
    assert load_settings(alphabet="ЯИ\u0306").alphabet == "яй"
    with pytest.raises(SettingsError, match=f"different characters of {Settings().characters}"):
        load_settings(alphabet="abc")


def test_a_challenge_is_solved(own_site: Site) -> None:
    """In capitals and decomposed, as some keyboards send it; nothing speaks Cyrillic letters in all languages."""
    challenge = own_site.server.get("/challenge").json()
    code = own_site.code(challenge["id"])
    assert len(code) == 6 and set(code) <= set(CHARACTERS)
    assert challenge["audioURL"] is None
    assert own_site.server.get(f"/{challenge['id']}.wav").status_code == 501
    assert own_site.server.get(f"/{challenge['id']}").headers["content-type"] == "image/png"
    token = own_site.answer(challenge["id"], unicodedata.normalize("NFD", code.upper()))["token"]
    assert own_site.siteverify(token)["success"]
    assert not own_site.answer(*own_site.challenge()[:1], "юююююю")["success"]


def test_trusted_callers_get_and_give_such_codes(own_site: Site) -> None:
    assert set(own_site.server.get("/generate").json()["code"]) <= set(CHARACTERS)
    loaded = own_site.server.post("/load", files={"file": a_png()}, data={"code": "ЯЙЙЯЯЯ"})
    assert own_site.code(loaded.json()["id"]) == "яййяяя"
    refused = own_site.server.post("/load", files={"file": a_png()}, data={"code": "abc234"})
    assert refused.status_code == 422 and "6 characters of йя" in refused.json()["detail"]


@needs("chromium")
def test_the_widget_takes_the_answer(own_site: Site, browser: Browser) -> None:
    page = browser.new_page()
    with page.expect_response(lambda answer: "/challenge" in answer.url) as shown:
        page.goto(own_site.server.url + "/demo")
    page.get_by_label("Answer").press_sequentially(own_site.code(shown.value.json()["id"]))
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Thank you")).to_be_visible()
    assert page.get_by_role("button", name="Listen").count() == 0
    page.close()


def test_datasets_and_the_library_have_its_labels(checkpoints: Path, tmp_path: Path) -> None:
    words = ("--count", 20, "--pattern", "[й-я]{2}Я", "--seed", 1, "--jobs", 1, "--format", "coco")
    written = invoke("batch.fill", *words, "--dataset", tmp_path / "set", CHECKPOINTS_DIR=checkpoints)
    assert written.exit_code == 0, written.stderr
    annotations = json.loads((tmp_path / "set" / "annotations" / "train.json").read_text())
    assert [category["name"] for category in annotations["categories"]] == sorted(CHARACTERS)
    assert {image["code"][2] for image in annotations["images"]} == {"я"}
    preview = invoke("batch.preview", tmp_path / "set", "--out", tmp_path / "boxes.png")
    assert preview.exit_code == 0, preview.stderr
    assert _captions(tmp_path / "boxes.png") == len({image["code"] for image in annotations["images"]}) > 1
    assert {a["glyph_class"] for a in annotations["annotations"]} == set(MEANT.values())
    sample = gantcha.draw("Йяя", seed=1, checkpoints_dir=checkpoints)
    assert sample.code == "йяя" and sample.cased.lower() == "йяя" and len(sample.boxes) == 3
    with pytest.raises(ValueError, match="'7' can't be drawn"):
        gantcha.draw("7я", checkpoints_dir=checkpoints)


def _captions(preview: Path) -> int:
    """Count the different captions: boxes for letters that a font lacks would all look alike."""
    with Image.open(preview) as page:
        width, height = page.width // 4, page.height // 5
        places = [(column * width, row * height) for row in range(5) for column in range(4)]
        return len({page.crop((left, top, left + width, top + 24)).tobytes() for left, top in places})


def test_symbols_that_are_no_letters_are_drawn(tmp_path: Path) -> None:
    """Those too that mean something in a pattern."""
    folder = renamed({"N": "-", "R": "]", "T": "?", "A": "^", "B": "\\", "4": "4"}, tmp_path)
    assert set("".join(captcha.code for captcha in islice(gantcha.samples(checkpoints_dir=folder), 50))) == set(
        "-]?^\\4"
    )
    one = next(gantcha.samples(pattern=r"4[\-?]{3}\^", checkpoints_dir=folder))
    assert one.code[0] == "4" and set(one.code[1:4]) <= set("-?") and one.code[4] == "^"
    assert gantcha.draw("4?-", checkpoints_dir=folder).cased == "4?-"
    filled = invoke("batch.fill", "--count", 3, "--dataset", tmp_path / "set", "--jobs", 1, CHECKPOINTS_DIR=folder)
    assert filled.exit_code == 0, filled.stderr


def test_what_is_finished_of_a_training_is_drawn(tmp_path: Path) -> None:
    folder = renamed({"N": "Й", "R": "Д", "T": "д", "4": "я"}, tmp_path / "own")
    path, sheet = folder / "manifest.json", tmp_path / "sheet.png"
    manifest = json.loads(path.read_bytes())
    unfinished = [manifest["classes"].pop(GlyphClasses(manifest["symbols"])[label].name) for label in (1, 2)]
    path.write_text(json.dumps(manifest))
    for entry in unfinished:
        (folder / entry["file"]).unlink()
    drawn = invoke("batch.sample", "--per-class", 3, "--checkpoints", folder, "--sheet", sheet)
    assert "3 of each of 2 classes" in drawn.stdout, drawn.stderr
    words = ("--count", 10, "--jobs", 1, "--dataset")
    filled = invoke("batch.fill", *words, tmp_path / "set", CHECKPOINTS_DIR=folder)
    assert filled.exit_code == 0, filled.stderr
    assert {captcha.code for captcha in islice(gantcha.samples(checkpoints_dir=folder), 200)} <= {
        "".join(code) for code in product("йя", repeat=6)
    }
    remedy = r"'д' is not trained yet: `python -m gantcha train --resume --classes 01-u0414,02-u0434`"
    line = refusal("batch.fill", "--alphabet", "йд", *words, tmp_path / "other", CHECKPOINTS_DIR=folder)
    assert remedy in line
    for fault in (
        lambda: gantcha.draw("йдя", checkpoints_dir=folder),
        lambda: gantcha.samples(alphabet="йд", checkpoints_dir=folder),
    ):
        with pytest.raises((ValueError, gantcha.GantchaError), match=re.escape(remedy)):
            fault()
    path.write_text(json.dumps(manifest | {"classes": {}}))
    for line in (
        refusal("batch.sample", "--checkpoints", folder, "--sheet", sheet),
        refusal("batch.fill", *words, tmp_path / "none", CHECKPOINTS_DIR=folder),
    ):
        assert "no class is finished" in line


def test_noise_is_warned_of(checkpoints: Path, sqlite_template: Path, tmp_path: Path) -> None:
    """In the pool, in a dataset and in samples, by one line."""
    folder = shutil.copytree(checkpoints, tmp_path / "own")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for entry, share in zip(manifest["classes"].values(), (0.04, 0.5), strict=True):
        entry["legible"] = share
    (folder / "manifest.json").write_text(json.dumps(manifest))
    settings = sqlite_settings_in(sqlite_template, tmp_path) | {"CHECKPOINTS_DIR": folder}
    few = ("batch.fill", "--count", 3, "--jobs", 1)
    for drawn in (
        invoke(*few, **settings),
        invoke(*few, "--dataset", tmp_path / "set", **settings),
        invoke("batch.sample", "--checkpoints", folder, "--sheet", tmp_path / "sheet.png"),
    ):
        assert drawn.exit_code == 0
        assert drawn.stderr == "warning: 4% of the glyphs of Й are legible: train longer\n"
    assert invoke(*few, "--quiet", **settings).stderr == ""
