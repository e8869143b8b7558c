"""`python -m batch.fill` on real databases."""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from sqlalchemy import func, select

from gantcha.drawing.look import LOOKS
from pool import database
from pool.models import captcha
from pool.pool import Pool
from tests.conftest import (
    PLAIN,
    ROOT,
    drawn,
    environment,
    invoke,
    only_line,
    png_names,
    refusal,
    row_ids,
    run,
    wait_until,
)

LOOK = LOOKS["plain"]["standard"]


def count_rows(pool: Pool) -> int:
    with database.transaction(pool.engine) as connection:
        return connection.execute(select(func.count()).select_from(captcha)).scalar_one()


def test_count_adds_exactly_so_many_rows_and_files(pool: Pool, settings: dict[str, object]) -> None:
    pool.add(drawn(3), PLAIN)
    finished = run("batch.fill", "--count", 712, **settings)  # a whole chunk and a piece of one
    assert finished.returncode == 0, finished.stderr
    assert (
        "712 captchas added" in finished.stdout
        and "a second" in finished.stdout
        and "715 plain (standard) ready" in finished.stdout
    )
    assert count_rows(pool) == 715
    assert row_ids(pool) == png_names(pool.files.folder)
    for issued in pool.pop(715, stock=PLAIN)[3:]:
        with Image.open(io.BytesIO(pool.files.path(issued.id).read_bytes())) as image:
            assert image.size == (LOOK.width(6), LOOK.height)
        assert len(issued.code) == 6


def test_difficulty_and_look_reach_the_pictures(sqlite_settings: dict[str, object]) -> None:
    """Light on dark, twice as large; and `easy` lines are not crossed, so they hold less ink than `hard` ones."""
    sqlite_settings |= {"THEME": "dark"}
    ink = {}
    for difficulty in ("easy", "hard"):
        files = Path(str(sqlite_settings["FILES_DIR"]))
        before = set(files.rglob("*.png"))
        words = ("--count", 40, "--difficulty", difficulty, "--pixel-ratio", 2)
        assert run("batch.fill", *words, **sqlite_settings).returncode == 0
        pictures = [np.asarray(Image.open(path).convert("L")) for path in set(files.rglob("*.png")) - before]
        assert {picture.shape for picture in pictures} == {(2 * LOOK.height, 2 * LOOK.width(6))}
        ink[difficulty] = np.mean([(picture > 140).mean() for picture in pictures])
    assert 0 < ink["easy"] < ink["hard"] < 0.5


def test_target_tops_up_and_then_has_nothing_to_do(pool: Pool, settings: dict[str, object]) -> None:
    pool.add(drawn(3), PLAIN)
    assert "17 captchas added" in run("batch.fill", "--target", 20, **settings).stdout
    assert pool.level(PLAIN) == 20
    finished = run("batch.fill", "--target", 20, **settings)
    assert finished.returncode == 0
    assert "0 captchas added" in finished.stdout


def test_of_two_that_top_up_one_leaves(pool: Pool, settings: dict[str, object]) -> None:
    fills = [
        subprocess.Popen(
            [sys.executable, "-m", "batch.fill", "--target", "5000"],
            cwd=ROOT,
            env=environment(settings),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = sorted(fill.communicate(timeout=120)[0] for fill in fills)
    assert [fill.returncode for fill in fills] == [0, 0]
    assert said[0].startswith("5000 captchas added")
    assert said[1] == "another fill is topping this pool up\n"
    assert pool.level(PLAIN) == 5000


def test_quiet_prints_nothing(settings: dict[str, object]) -> None:
    finished = run("batch.fill", "--count", 5, "--quiet", **settings)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def test_alphabet_and_length_are_followed(pool: Pool, settings: dict[str, object]) -> None:
    run("batch.fill", "--count", 50, "--quiet", **settings, ALPHABET="XYZ789", LENGTH=4)
    popped = pool.pop(50, stock=PLAIN)
    assert {len(issued.code) for issued in popped} == {4}
    assert set("".join(issued.code for issued in popped)) == set("xyz789")
    with Image.open(pool.files.path(popped[0].id)) as image:
        assert image.size == (LOOK.width(4), LOOK.height)


def test_pictures_of_one_code_differ(pool: Pool, settings: dict[str, object]) -> None:
    run("batch.fill", "--count", 2, "--quiet", **settings, ALPHABET="ab", LENGTH=4)
    one, other = (
        np.asarray(Image.open(pool.files.path(i.id)).convert("L")).astype(int) for i in pool.pop(2, stock=PLAIN)
    )
    assert np.abs(one - other).mean() > 5


def test_a_killed_fill_keeps_what_it_finished_and_the_next_one_clears_up(
    pool: Pool, settings: dict[str, object]
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "batch.fill", "--count", "50000", "--quiet"], cwd=ROOT, env=environment(settings)
    ) as process:
        try:
            wait_until(lambda: pool.level(PLAIN) >= 1000, "the first chunk")
            drawing = psutil.Process(process.pid).children(recursive=True)
            files = len(png_names(pool.files.folder))
            wait_until(lambda: len(png_names(pool.files.folder)) > files + 20, "files of the next chunk")
        finally:
            process.kill()
    finished_rows = row_ids(pool)
    assert len(finished_rows) % 1000 == 0
    assert drawing
    wait_until(lambda: not any(one.is_running() for one in drawing), "the drawing processes to end as well")
    assert finished_rows <= png_names(pool.files.folder)
    assert "1 captchas added" in run("batch.fill", "--count", 1, **settings).stdout
    two_hours_ago = time.time() - 7200
    for path in pool.files.folder.rglob("*.png"):
        os.utime(path, (two_hours_ago, two_hours_ago))
    assert run("pool.sweep", **settings).returncode == 0
    assert finished_rows < row_ids(pool) == png_names(pool.files.folder)


def test_mistakes_of_the_command_line_are_told_from_failures(sqlite_settings: dict[str, object]) -> None:
    for words in ((), ("--count", 0), ("--count", 1, "--target", 1), ("--count", "many")):
        mistaken = invoke("batch.fill", *words, **sqlite_settings)
        assert mistaken.exit_code == 2
        assert "Usage" in mistaken.stderr
    line = refusal("batch.fill", "--count", 1, **sqlite_settings | {"DATABASE_URL": "sqlite://"})
    assert "python -m gantcha migrate" in line
    warned = run("batch.fill", "--count", 1, **sqlite_settings, COLOUR="red")
    assert warned.returncode == 0
    assert warned.stderr == "warning: not settings of Gantcha, and ignored: CAPTCHA_COLOUR\n"
    line = only_line(run("batch.fill", "--count", 1, **sqlite_settings, THEMES="dark"))
    assert line == "error: CAPTCHA_THEMES is not a setting: did you mean CAPTCHA_THEME?"


def test_a_database_that_is_not_there_is_said_in_one_line(sqlite_settings: dict[str, object]) -> None:
    url = "postgresql+psycopg://nobody:secret@127.0.0.1:1/none"
    line = only_line(run("batch.fill", "--count", 1, **sqlite_settings | {"DATABASE_URL": url}))
    assert "127.0.0.1" in line
    assert "secret" not in line


def test_a_fill_without_generators_fails_in_one_line(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    line = only_line(run("batch.fill", "--count", 1, "--quiet", **sqlite_settings | {"CHECKPOINTS_DIR": tmp_path}))
    assert line.startswith("error: ") and str(tmp_path) in line
