"""Programs under a locale whose encoding is not UTF-8, and files that begin with a byte order mark."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pool.keys_file import read_keys_file
from tests.conftest import ROOT, Server, refusal, run

# The narrowest encoding there is, and no locale has to be installed for it.
_ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
_KEYS = '\ufeff# Schlüssel\n[sites."laden"]\nsitekey = "shop"\nsecret = "a-secret-of-sixteen-or-more"\n'


@pytest.fixture(autouse=True)
def _locale(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _ASCII.items():
        monkeypatch.setenv(name, value)


def test_a_server_reads_and_serves_utf_8(
    sqlite_settings: dict[str, object], serve: Callable[..., Server], tmp_path: Path
) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(_KEYS, "utf-8")
    # Two workers are programs of their own, with a locale of their own.
    server = serve(sqlite_settings | {"KEYS_FILE": keys}, workers=2)
    texts = (ROOT / "server" / "pages" / "languages" / "ru.json").read_bytes()
    assert server.get("/languages/ru.json").content == texts
    page = server.get("/plain", params={"language": "ru", "sitekey": "shop"})
    assert json.loads(texts)["failed"] in page.content.decode()  # the pool is empty
    assert {server.get(path).status_code for path in ("/widget.js", "/demo")} == {200}


def test_a_fill_and_a_dataset_are_drawn(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "codes.txt").write_text("\ufeffab12\ncd34\n", "utf-8")
    for words in (("--count", 1), ("--codes", tmp_path / "codes.txt", "--dataset", tmp_path / "set", "--jobs", 1)):
        finished = run("batch.fill", *words, **sqlite_settings)
        assert finished.returncode == 0, finished.stderr


def test_byte_order_marks_are_no_part_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text(_KEYS, "utf-8")
    assert list(read_keys_file(tmp_path / "keys.toml").sites) == ["laden"]
    (tmp_path / "keys.toml").write_bytes("[sites]\n# Schlüssel".encode("latin-1"))
    assert "is not TOML" in refusal("server", "--check", KEYS_FILE=tmp_path / "keys.toml")
