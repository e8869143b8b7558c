"""`python -m pool.status`: what it shows is what is there."""

import json
from pathlib import Path

from gantcha.glyphs.checkpoints import Checkpoints
from gantcha.home import CHECKPOINTS
from pool.pool import Pool
from tests.conftest import PLAIN, drawn, only_line, run
from tests.support.settling import check


def test_the_table_shows_states_marks_and_fills(pool: Pool, settings: dict[str, object], tmp_path: Path) -> None:
    settings |= {"TARGET": 2000, "LOW_WATER": 1000}
    assert run("batch.fill", "--count", 3, **settings).returncode == 0
    assert run("batch.fill", "--count", 3, **settings | {"CHECKPOINTS_DIR": tmp_path}).returncode == 1
    pool.add(drawn(4), PLAIN)
    right, _ = pool.pop(2, redeemable=True, stock=PLAIN)
    check(pool, right.id, right.code)
    shown = run("pool.status", **settings)
    assert shown.returncode == 0, shown.stderr
    lines = [" ".join(line.replace("\u2502", " ").split()) for line in shown.stdout.splitlines()]
    for beginning in ("ready 5 ", "issued 1 ", "solved 1 ", "failed 0", "expired 0"):
        assert any(line.startswith(beginning) for line in lines), (beginning, shown.stdout)
    assert "plain (standard) 5 1000 2000 0.0 below the low-water mark" in lines
    assert any("manifest.json can't be read" in line for line in lines)

    told = json.loads(run("pool.status", "--json", **settings).stdout)
    assert told["states"]["ready"]["count"] == 5
    assert told["states"]["ready"]["oldest"] >= told["states"]["ready"]["youngest"] >= 0
    assert told["states"]["expired"] == {"count": 0, "youngest": None, "oldest": None}
    (stock,) = told["stocks"]
    assert stock == {
        "kind": "plain",
        "difficulty": "standard",
        "pixel_ratio": 1,
        "is_kept": True,
        "level": 5,
        "demand": 2 / 60,
        "low_water": 1000,
        "target": 2000,
    }
    failed, done = told["fills"]
    assert (failed["added"], done["added"]) == (0, 3)
    assert done["checkpoints"] == Checkpoints(CHECKPOINTS).digest()
    assert done["seconds"] > 0
    assert done["error"] is None
    assert told["files"] == 7
    assert told["disk_bytes"] > 7 * 1000


def test_what_stands_in_the_way_is_said_in_one_line(settings: dict[str, object]) -> None:
    assert "python -m gantcha migrate" in only_line(run("pool.status", **settings | {"DATABASE_URL": "sqlite://"}))
