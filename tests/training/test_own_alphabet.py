"""Captchas in an alphabet of one's own: from a manifest with other symbols to a solved challenge."""

import json
import unicodedata
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

import gantcha
from batch.training.filter import filter_to_onnx, make_filter_model
from batch.training.writing import CheckpointWriter
from gantcha.alphabet import BYMERGE, GlyphClasses
from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.home import CHECKPOINTS
from pool.errors import SettingsError
from pool.settings import Settings, load_settings
from tests.conftest import Site, a_png, invoke, running_site, sqlite_settings_in
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
    assert {a["glyph_class"] for a in annotations["annotations"]} == set(MEANT.values())
    sample = gantcha.draw("Йяя", seed=1, checkpoints_dir=checkpoints)
    assert sample.code == "йяя" and sample.cased.lower() == "йяя" and len(sample.boxes) == 3
    with pytest.raises(ValueError, match="'7' can't be drawn"):
        gantcha.draw("7я", checkpoints_dir=checkpoints)


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


def test_a_class_that_is_not_finished_is_left_out_of_samples(checkpoints: Path, tmp_path: Path) -> None:
    manifest = json.loads((checkpoints / "manifest.json").read_bytes())
    name = [*manifest["classes"]][1]
    partial = tmp_path / "partial"
    partial.mkdir()
    for file in checkpoints.glob("*.onnx"):
        (partial / file.name).symlink_to(file)
    for classes, expected in (
        ({name: manifest["classes"][name]}, "3 of each of 1 classes"),
        ({}, "no class is finished"),
    ):
        (partial / "manifest.json").write_text(json.dumps(manifest | {"classes": classes}))
        drawn = invoke("batch.sample", "--per-class", 3, "--checkpoints", partial, "--sheet", tmp_path / "sheet.png")
        assert expected in drawn.stdout + drawn.stderr
