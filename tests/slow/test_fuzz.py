"""A short run of the fuzzer, the same requests every time."""

from pathlib import Path

from tests.conftest import running_site
from tests.fuzz import KEY, attack


def test_made_up_requests_do_no_harm(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    with running_site(sqlite_settings | {"API_KEY": KEY, "WORK": "light", "FILES_DIR": tmp_path / "files"}) as site:
        report = attack(site, seed=9, seconds=12, threads=4)
    assert not report.failures, report
    assert report.requests > 50
    assert report.statuses.keys() >= {"200", "401", "404", "405", "415", "431"}
