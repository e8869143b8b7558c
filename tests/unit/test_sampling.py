"""Sampling with the trained generators that come with the project."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.stats import ks_2samp

from gantcha.alphabet import BYMERGE
from gantcha.characters import usual_alphabet
from gantcha.glyphs.checkpoints import CheckpointError, Checkpoints
from gantcha.glyphs.network import Network, providers
from gantcha.glyphs.sampler import Sampler, chances, legibility
from gantcha.glyphs.specks import specks
from gantcha.home import CHECKPOINTS
from tests.conftest import invoke, refusal


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return Sampler(Checkpoints(CHECKPOINTS))


def _read(sampler: Sampler, glyphs: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """What the legibility filter takes glyphs `[..., 28, 28]` for: `[...]`."""
    return sampler.filter.run(glyphs=glyphs.reshape(-1, 28, 28)).argmax(1).reshape(glyphs.shape[:-2])


@pytest.mark.parametrize("draw", [Sampler.draw, Sampler.draw_legible])
def test_glyphs_lie_where_their_characters_are(sampler: Sampler, draw: Callable[..., npt.NDArray[np.uint8]]) -> None:
    """In a batch of mixed texts each place holds a glyph of its own class."""
    rng = np.random.default_rng(1)
    classes = rng.choice([BYMERGE.symbols.index(symbol) for symbol in "347ACHKPRTWX"], size=(100, 6)).astype(np.uint8)
    glyphs = draw(sampler, classes, rng)
    assert glyphs.shape == (100, 6, 28, 28)
    assert (_read(sampler, glyphs) == classes).mean() > 0.93


def test_a_batch_makes_one_call_for_each_class(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def counting(network, run=Network.run, **inputs):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN003, ANN202
        sizes.append(len(inputs["latent"]))
        return run(network, **inputs)

    monkeypatch.setattr(Network, "run", counting)
    classes = BYMERGE.choose(["223344", "443322", "abcabc"], np.random.default_rng(1))
    sampler.draw(classes, np.random.default_rng(1))
    assert len(sizes) == len(np.unique(classes))
    assert sum(sizes) == classes.size


def test_wider_latents_give_more_various_glyphs() -> None:
    sampler, classes = Sampler(Checkpoints(CHECKPOINTS)), np.repeat(np.arange(47, dtype=np.uint8), 50)

    def variety(latent_scale: float) -> npt.NDArray[np.float64]:
        glyphs = sampler.draw(classes, np.random.default_rng(1), latent_scale).reshape(47, 50, -1)
        return glyphs.astype(float).std(1).mean(1)

    assert (variety(0) < variety(1)).all()  # at 0 only the styles differ
    assert (variety(1) < variety(1.5)).all()


@pytest.mark.parametrize("draw", [Sampler.draw, Sampler.draw_legible])
def test_a_seed_repeats_the_glyphs_and_another_does_not(
    sampler: Sampler, draw: Callable[..., npt.NDArray[np.uint8]]
) -> None:
    classes = np.arange(47, dtype=np.uint8)
    one, same, other = (draw(sampler, classes, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_glyphs_of_a_class_differ(sampler: Sampler) -> None:
    glyphs = sampler.draw(np.repeat(np.arange(47, dtype=np.uint8), 50), np.random.default_rng(1)).reshape(47, 50, -1)
    assert all(len(np.unique(of_class, axis=0)) > 45 for of_class in glyphs)


def test_legible_glyphs_are_read_as_what_they_are_more_often(sampler: Sampler) -> None:
    """Judged by the filter itself; what an independent judge says of it is in the manifest."""
    classes = np.tile(np.arange(47, dtype=np.uint8), 60)

    def sure(glyphs: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        probabilities = sampler.filter.run(glyphs=glyphs)
        own = (probabilities * (BYMERGE.meanings[classes][:, None] == BYMERGE.meanings)).sum(1)
        return np.asarray(own >= 0.5)

    clear = np.isin(classes, [BYMERGE.symbols.index(symbol) for symbol in "2345679ACEHKMPRTWX"])
    unsure_of_any = ~sure(sampler.draw(classes, np.random.default_rng(1)))
    unsure = ~sure(sampler.draw_legible(classes, np.random.default_rng(1)))
    assert unsure[clear].mean() < unsure_of_any[clear].mean() / 3
    # What is doubtful nevertheless is not kept for the last of the batch.
    first, last = np.split(unsure, 2)
    assert last.mean() < first.mean() + 0.04


def test_captchas_contain_hardly_any_specks(sampler: Sampler) -> None:
    letters = np.full(1000, BYMERGE.symbols.index("q"), np.uint8)
    drawn, kept = (draw(letters, np.random.default_rng(1)) for draw in (sampler.draw, sampler.draw_legible))
    assert specks(drawn).mean() > 0.02
    assert specks(kept).mean() < specks(drawn).mean() / 3


def test_the_chance_of_a_glyph_rises_with_its_legibility() -> None:
    found = chances(np.array([0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1], np.float32))
    assert (np.diff(found[1:-1]) > 0).all()
    assert found[0] > 0
    assert found[2] < 0.01  # as sure as that are glyphs with specks
    assert found[-2:] == pytest.approx([1, 1])


def _surest_of_more(
    sampler: Sampler, labels: npt.NDArray[np.uint8], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """The legibility of glyphs chosen as captchas chose before: of 1.4 times as many, those of the greatest keys."""
    kept = []
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        drawn = np.full(int(count * 1.4), label, np.uint8)
        sure = legibility(sampler.draw(drawn, rng), drawn, sampler.filter, sampler.classes)
        keys = 30 * np.log(sure.clip(1e-30, 0.98) / 0.98) + rng.gumbel(size=len(drawn))
        kept.append(sure[np.argsort(-keys)[:count]])
    return np.concatenate(kept)


def test_glyphs_are_as_legible_as_when_the_best_of_more_were_kept(sampler: Sampler) -> None:
    """Over the classes that captchas usually have."""
    usual = [c.index for c in BYMERGE if c.character in usual_alphabet(BYMERGE.characters)]
    labels, rng = np.repeat(np.array(usual, np.uint8), 500), np.random.default_rng(1)
    before = _surest_of_more(sampler, labels, rng)
    now, unfiltered = (
        legibility(draw(labels, rng), labels, sampler.filter, sampler.classes)
        for draw in (sampler.draw_legible, sampler.draw)
    )
    assert ks_2samp(before, now).statistic < 0.05
    assert ks_2samp(before, unfiltered).statistic > 0.1
    assert now.mean() == pytest.approx(before.mean(), abs=0.002)
    assert (now > 0.7).mean() > 0.998  # so that each is of the class it was asked for


def test_the_size_of_a_batch_does_not_matter(sampler: Sampler) -> None:
    """Y, since the filter is sure of few of them."""
    labels, rng = np.full(800, BYMERGE.symbols.index("Y"), np.uint8), np.random.default_rng(1)
    together = sampler.draw_legible(labels, rng)
    alone = np.concatenate([sampler.draw_legible(labels[:1], rng) for _ in labels])
    sure = [legibility(glyphs, labels, sampler.filter, sampler.classes) for glyphs in (together, alone)]
    ink = [glyphs.mean((1, 2)) for glyphs in (together, alone)]
    assert ks_2samp(*sure).pvalue > 0.05
    assert ks_2samp(*ink).pvalue > 0.05


def test_a_class_that_is_never_legible_gives_the_surest_of_what_was_drawn(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["classes"]["22-upper-m"] = manifest["classes"]["01-digit-1"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    sampler = Sampler(Checkpoints(copy))
    labels, rng = np.full(50, BYMERGE.symbols.index("M"), np.uint8), np.random.default_rng(1)
    sure, sure_of_any = (
        legibility(draw(labels, rng), labels, sampler.filter, sampler.classes)
        for draw in (sampler.draw_legible, sampler.draw)
    )
    assert chances(sure).max() < 0.01
    assert np.median(sure) > 3 * np.median(sure_of_any)


def test_a_gpu_is_drawn_on_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda = "CPUExecutionProvider", "CUDAExecutionProvider"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert providers([cuda, cpu], tmp_path) == [cpu]
    (tmp_path / "nvidia0").touch()
    assert providers([cuda, cpu], tmp_path) == [cuda, cpu]
    assert providers(["AzureExecutionProvider", cpu], tmp_path) == [cpu]
    for off in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", off)
        assert providers([cuda, cpu], tmp_path) == [cpu]


def test_glyphs_are_bright_strokes_on_black(sampler: Sampler) -> None:
    glyphs = sampler.draw(np.repeat(np.arange(47, dtype=np.uint8), 50), np.random.default_rng(1))
    assert glyphs[:, 0, :].mean() < 2  # nothing at the rim
    assert (glyphs.reshape(len(glyphs), -1).max(1) > 200).mean() > 0.99
    assert 0.05 < (glyphs > 127).mean() < 0.35


def test_the_command_writes_the_npz_and_the_sheet(tmp_path: Path) -> None:
    words = ("--per-class", 3, "--seed", 1, "--out", tmp_path / "glyphs.npz", "--sheet", tmp_path / "sheet.png")
    finished = invoke("batch.sample", *words)
    assert finished.exit_code == 0, finished.stderr
    assert finished.stderr == ""
    with np.load(tmp_path / "glyphs.npz") as glyphs:
        assert (glyphs["images"].shape, glyphs["images"].dtype) == ((141, 28, 28), np.uint8)
        assert glyphs["labels"].dtype == np.uint8
        assert np.array_equal(glyphs["labels"], np.repeat(np.arange(47), 3))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 56, 47 * 56)


def test_the_command_draws_what_captchas_contain_unless_told_otherwise(sampler: Sampler, tmp_path: Path) -> None:
    labels = np.repeat(np.arange(47, dtype=np.uint8), 2)
    for options, draw in ({(): sampler.draw_legible, ("--unfiltered",): sampler.draw}).items():
        finished = invoke("batch.sample", "--per-class", 2, "--seed", 7, "--out", tmp_path / "glyphs.npz", *options)
        assert finished.exit_code == 0, finished.stderr
        with np.load(tmp_path / "glyphs.npz") as glyphs:
            assert np.array_equal(glyphs["images"], draw(labels, np.random.default_rng(7)))


def test_a_place_that_cant_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    line = refusal("batch.sample", "--per-class", 1, "--out", tmp_path / "no" / "glyphs.npz")
    assert str(tmp_path / "no" / "glyphs.npz") in line


def test_the_checkpoints_are_small_enough() -> None:
    sizes = [path.stat().st_size for path in CHECKPOINTS.glob("*.onnx")]
    assert len(sizes) == 47 + 1  # and the legibility filter
    assert max(sizes) <= 500_000
    assert sum(sizes) <= 15_000_000


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CHECKPOINTS, tmp_path / "checkpoints"))


def test_a_damaged_checkpoint_names_its_file_and_digests(copy: Path) -> None:
    victim = copy / "10-upper-a.onnx"
    content = bytearray(victim.read_bytes())
    content[1000] ^= 1
    entry = Checkpoints(copy).manifest()["classes"]["10-upper-a"]
    assert Checkpoints(copy).is_sound(entry)
    victim.write_bytes(content)
    assert not Checkpoints(copy).is_sound(entry)  # which is what a training that goes on looks at
    expected = entry["sha256"]
    with pytest.raises(CheckpointError, match=f"10-upper-a.onnx is damaged: sha256 is [0-9a-f]{{64}}.*{expected}"):
        Checkpoints(copy).load()


def test_each_fault_of_a_checkpoint_folder_is_said(copy: Path, tmp_path: Path) -> None:
    def failure() -> str:
        with pytest.raises(CheckpointError) as raised:
            Checkpoints(copy).load()
        return str(raised.value)

    (copy / "11-upper-b.onnx").rename(tmp_path / "kept")
    assert "11-upper-b.onnx can't be read" in failure()
    (tmp_path / "kept").rename(copy / "11-upper-b.onnx")
    manifest = json.loads((copy / "manifest.json").read_text())
    for change, reason in (
        ({"format": 99}, "format 99"),
        ({"format": 1}, "use the checkpoints that come with it, or train again"),
        ({"classes": {}}, "no class is finished"),
        ({"architecture": {}}, "lacks 'style_count'"),
    ):
        (copy / "manifest.json").write_text(json.dumps(manifest | change))
        assert reason in failure()
    (copy / "manifest.json").write_text("{")
    assert "not JSON" in failure()
    (copy / "manifest.json").unlink()
    assert "`python -m gantcha train` makes it" in failure()
    line = refusal("batch.sample", "--checkpoints", copy, "--out", tmp_path / "out.npz")
    assert line == f"error: {failure()}"


def test_measurements_do_not_make_other_generators(copy: Path) -> None:
    """Also where the manifest has them, as folders of earlier versions do."""
    before, path = Checkpoints(copy).digest(), copy / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["evaluation"] = {"seeds": [1]}
    for entry in manifest["classes"].values():
        entry["metrics"] = {"legibility": 0.9}
    path.write_text(json.dumps(manifest))
    assert Checkpoints(copy).digest() == before
    labels, seeds = np.arange(47, dtype=np.uint8), (np.random.default_rng(1), np.random.default_rng(1))
    shipped, old = (
        Sampler(Checkpoints(place)).draw(labels, rng) for place, rng in zip((CHECKPOINTS, copy), seeds, strict=True)
    )
    assert np.array_equal(shipped, old)
    manifest["classes"]["10-upper-a"]["latent_scale"] = 1.1
    path.write_text(json.dumps(manifest))
    assert Checkpoints(copy).digest() != before
