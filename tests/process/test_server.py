"""The HTTP contract, asked of a real server process."""

import io
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import requests
from PIL import Image, PngImagePlugin
from sqlalchemy import text

from gantcha.errors import StorageError
from pool.pool import Drawn, Pool
from pool.settings import Settings
from pool.storage.files import new_id
from pool.sweep import Sweep
from tests.conftest import (
    PLAIN,
    ROOT,
    Server,
    a_png,
    drawn,
    environment,
    ids_in,
    only_line,
    png_names,
    refusal,
    row_ids,
    run,
    running_server,
    wait_until,
)

Serve = Callable[..., Server]
KEY = "a-key-of-sixteen-or-more"


def test_generate_gives_a_code_and_a_url_that_shows_it(pool: Pool, settings: dict[str, object], serve: Serve) -> None:
    pool.add([Drawn("7k2h9m", a_png(5))], PLAIN)
    answer = serve(settings).get("/generate")
    assert answer.status_code == 200
    assert answer.json()["code"] == "7k2h9m"
    picture = requests.get(answer.json()["fileURL"], timeout=10)
    assert picture.content == a_png(5)
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["cache-control"] == "no-store"
    assert picture.headers["x-content-type-options"] == "nosniff"


def test_a_picture_that_cant_be_read_and_a_folder_that_went_away_are_told_in_the_log(
    sqlite_settings: dict[str, object], serve: Serve, tmp_path: Path
) -> None:
    pool = Pool.open(
        Settings(database_url=str(sqlite_settings["DATABASE_URL"]), files_dir=sqlite_settings["FILES_DIR"])
    )
    pool.add(drawn(3), PLAIN)
    server = serve(sqlite_settings)
    file_id = server.get("/generate").json()["id"]
    pool.files.path(file_id).unlink()
    pool.files.path(file_id).mkdir()  # root, too, can't read a folder
    assert server.get(f"/{file_id}").status_code == 503
    wait_until(lambda: f"can't read {pool.files.path(file_id)}" in server.printed(), "the line in the log")

    assert server.get("/readyz").ok
    pool.files.folder.rename(tmp_path / "elsewhere")
    pool.files.folder.mkdir()  # as an unmounted disk leaves it
    wait_until(lambda: server.get("/readyz").status_code == 503, "another look")
    assert any("is the disk mounted?" in problem for problem in server.get("/readyz").json()["problems"])
    with pytest.raises(StorageError, match="is the disk mounted"):
        pool.add(drawn(1), PLAIN)
    assert not png_names(pool.files.folder)
    pool.engine.dispose()


def test_five_hundred_requests_give_five_hundred_ids(pool: Pool, settings: dict[str, object], serve: Serve) -> None:
    pool.add(drawn(500), PLAIN)
    server = serve(settings)
    answers = [server.get("/generate").json() for _ in range(500)]
    assert len({answer["fileURL"] for answer in answers}) == 500
    assert sorted(answer["code"] for answer in answers) == [f"{number:06d}" for number in range(500)]


def test_an_empty_pool_says_when_to_come_back(idle_server: Server) -> None:
    answer = idle_server.get("/generate")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "empty" in answer.json()["detail"]


def test_public_url_is_what_file_urls_begin_with(pool: Pool, settings: dict[str, object], serve: Serve) -> None:
    pool.add(drawn(1), PLAIN)
    server = serve(settings | {"PUBLIC_URL": "https://captcha.example/c/"})
    assert server.get("/challenge").json()["fileURL"].startswith("https://captcha.example/c/")


def test_unknown_and_odd_ids_are_not_found(idle_server: Server) -> None:
    for path in (new_id(), "nothing", "..%2f..%2fetc%2fpasswd", new_id().upper(), ".lock"):
        answer = idle_server.get(f"/{path}")
        assert answer.status_code == 404
        assert answer.json()["detail"]


def test_an_expired_captcha_is_gone(pool: Pool, settings: dict[str, object], serve: Serve) -> None:
    pool.ttl = timedelta(seconds=-1)
    pool.add(drawn(1), PLAIN)
    (issued,) = pool.pop(stock=PLAIN)
    answer = serve(settings).get(f"/{issued.id}")
    assert answer.status_code == 410
    assert "expired" in answer.json()["detail"]


def test_an_upload_with_a_code_joins_the_pool(settings: dict[str, object], serve: Serve) -> None:
    server = serve(settings)
    loaded = server.post("/load", files={"file": ("x.png", a_png(4))}, data={"code": "ABC234"})
    assert loaded.status_code == 200, loaded.text
    generated = server.get("/generate").json()
    assert generated["code"] == "abc234"
    assert generated["fileURL"] == loaded.json()["fileURL"]


def test_an_upload_without_a_code_is_only_shown(settings: dict[str, object], serve: Serve) -> None:
    server = serve(settings)
    loaded = server.post("/load", files={"file": ("x.png", a_png(9))}).json()
    shown = requests.get(loaded["fileURL"], timeout=10)
    assert Image.open(io.BytesIO(shown.content)).convert("L").getextrema() == (153, 153)
    assert server.get("/generate").status_code == 503


def test_an_upload_keeps_its_pixels_and_nothing_else(settings: dict[str, object], serve: Serve) -> None:
    secret = PngImagePlugin.PngInfo()
    secret.add_text("Comment", "secret words")
    encoded = io.BytesIO()
    picture = Image.effect_noise((120, 40), 50).convert("RGB")
    picture.save(encoded, "PNG", pnginfo=secret)
    loaded = serve(settings).post("/load", files={"file": encoded.getvalue() + b"secret tail"}).json()
    shown = requests.get(loaded["fileURL"], timeout=10).content
    assert b"secret" not in shown
    assert Image.open(io.BytesIO(shown)).tobytes() == picture.tobytes()


def test_an_upload_stays_transparent(idle_server: Server) -> None:
    encoded = io.BytesIO()
    picture = Image.new("P", (120, 40), 1)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.save(encoded, "PNG", transparency=1)
    loaded = idle_server.post("/load", files={"file": encoded.getvalue()}).json()
    shown = Image.open(io.BytesIO(requests.get(loaded["fileURL"], timeout=10).content))
    assert shown.convert("RGBA").getextrema()[3] == (0, 0)


def test_other_sites_may_show_a_picture(idle_server: Server) -> None:
    loaded = idle_server.post("/load", files={"file": a_png()}).json()
    shown = idle_server.get(f"/{loaded['id']}")
    assert shown.headers["cross-origin-resource-policy"] == "cross-origin"  # even where they isolate themselves


def _png_without_a_palette() -> bytes:
    encoded = io.BytesIO()
    Image.new("P", (8, 8)).save(encoded, "PNG")
    content = encoded.getvalue()
    palette, pixels = content.index(b"PLTE") - 4, content.index(b"IDAT") - 4
    return content[:palette] + content[pixels:]


def _png_of(side: int) -> bytes:
    encoded = io.BytesIO()
    Image.new("1", (side, side)).save(encoded, "PNG")
    return encoded.getvalue()


@pytest.mark.parametrize(
    ("files", "data", "status", "reason"),
    [
        ({"file": b"not a picture"}, {}, 415, "not a valid PNG"),
        ({"file": a_png()[:60]}, {}, 415, "not a valid PNG"),
        ({"file": _png_without_a_palette()}, {}, 415, "not a valid PNG"),
        ({"file": bytes(2 * 1024 * 1024)}, {}, 413, "larger than 1 MiB"),
        ({"file": bytes(1024 * 1024 + 1)}, {}, 413, "larger than 1 MiB"),
        ({"file": _png_of(20_000)}, {}, 413, "2048 pixels"),
        ({"file": a_png()}, {"code": "abc"}, 422, "6 characters"),
        ({"file": a_png()}, {"code": "abc-34"}, 422, "6 characters"),
        ({"other": a_png()}, {}, 422, "file"),
    ],
)
def test_bad_uploads_are_refused_with_a_reason(
    idle_server: Server,
    files: dict[str, bytes],
    data: dict[str, str],
    status: int,
    reason: str,
) -> None:
    answer = idle_server.post("/load", files=files, data=data)
    assert answer.status_code == status
    assert reason in answer.json()["detail"]


def test_a_body_without_a_declared_length_is_counted(idle_server: Server) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="x.png"\r\n\r\n'
        yield from (bytes(65536) for _ in range(40))

    answer = idle_server.post("/load", data=endless(), headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 413


def test_with_a_key_only_its_bearer_gets_in(sqlite_settings: dict[str, object], serve: Serve) -> None:
    server = serve(sqlite_settings | {"API_KEY": KEY})
    server.post("/load", files={"file": a_png()}, data={"code": "abc234"}, headers={"Authorization": f"Bearer {KEY}"})
    for headers in ({}, {"Authorization": "Bearer wrong-key-wrong-key"}, {"Authorization": f"Basic {KEY}"}):
        answer = server.get("/generate", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert server.post("/load", files={"file": a_png()}, headers=headers).status_code == 401
    assert server.get("/generate", headers={"Authorization": f"Bearer {KEY}"}).json()["code"] == "abc234"


def test_without_a_key_only_programs_of_this_machine_get_in(idle_server: Server) -> None:
    assert idle_server.get("/generate").status_code == 503  # let in, and the pool is empty
    for headers in (
        {"X-Forwarded-For": "203.0.113.9"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "unknown"},
        {"Forwarded": "for=203.0.113.9"},
        {"X-Real-IP": "203.0.113.9"},
        {"X-Forwarded-Proto": "https"},
        {"X-Client-IP": "203.0.113.9"},
        {"True-Client-IP": "203.0.113.9"},
        {"CF-Ray": "230b030023ae2822-SJC"},
        {"Via": "1.1 proxy.example"},
        {"Host": "rebound.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert idle_server.get("/generate", headers=headers).status_code == 403, headers
        assert idle_server.post("/load", files={"file": a_png()}, headers=headers).status_code == 403, headers
        assert idle_server.get(f"/{new_id()}", headers=headers).status_code == 404, headers


def test_another_machine_does_not_get_in_without_a_key(sqlite_settings: dict[str, object], serve: Serve) -> None:
    server = serve(sqlite_settings, host="0.0.0.0")  # noqa: S104 - to be reached from this machine's other address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; tells which address this machine has towards others
        address = probe.getsockname()[0]
    server.url = server.url.replace("127.0.0.1", address)
    assert server.get("/generate").status_code == 403


def test_a_database_out_of_reach_is_503_and_not_the_end(pool: Pool, settings: dict[str, object], serve: Serve) -> None:
    pool.add(drawn(1), PLAIN)
    server = serve(settings)
    assert server.get("/generate").status_code == 200
    with pool.engine.begin() as connection:
        connection.execute(text("ALTER TABLE captcha RENAME TO elsewhere"))
    wait_until(lambda: not server.get("/readyz").ok, "the next look")
    for path in ("/generate", f"/{new_id()}", "/readyz"):
        answer = server.get(path)
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert server.get("/healthz").json() == {"status": "ok"}
    with pool.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO captcha"))
    pool.add(drawn(2), PLAIN)
    assert server.get("/generate").status_code == 200
    wait_until(lambda: server.get("/readyz").json()["ready"], "the next look")


def test_the_log_holds_no_code(sqlite_settings: dict[str, object], serve: Serve) -> None:
    server = serve(sqlite_settings)
    server.post("/load", files={"file": a_png()}, data={"code": "q7w8e9"})
    answer = server.get("/generate").json()
    server.get(f"/{answer['id']}")
    output = server.stop()
    assert answer["id"] in ids_in(output)
    assert "q7w8e9" not in output


def test_ctrl_c_ends_the_server_cleanly(sqlite_settings: dict[str, object], serve: Serve) -> None:
    server = serve(sqlite_settings)
    output = server.stop()
    assert server.process.returncode in (0, -signal.SIGINT)
    assert "Traceback" not in output
    assert "Application shutdown complete" in output


def test_the_original_command_starts_it(sqlite_settings: dict[str, object]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "server.app:application", "--port", "0"],
        cwd=ROOT,
        env=environment(sqlite_settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any("Uvicorn running on" in line for line in process.stderr)
    process.terminate()
    process.communicate(timeout=30)


def test_foreign_variables_are_named_once(sqlite_settings: dict[str, object], serve: Serve) -> None:
    for workers in (1, 2):
        server = serve(sqlite_settings | {"MONSTER": "x", "SOLVER_SERVICE_PORT": 1}, workers=workers)
        server.stop()
        (line,) = [line for line in server.printed().splitlines() if "CAPTCHA_MONSTER" in line]
        assert "CAPTCHA_MONSTER, CAPTCHA_SOLVER_SERVICE_PORT" in line


def test_bad_settings_stop_the_start_with_one_line() -> None:
    assert (
        only_line(run("server", TARGETT=5)) == "error: CAPTCHA_TARGETT is not a setting: did you mean CAPTCHA_TARGET?"
    )
    assert "CAPTCHA_DATABASE_URL" in only_line(run("uvicorn", "server.app:application", DATABASE_URL="mysql://x"))
    for name, value in {
        "LENGTH": "six",
        "DATABASE_URL": "postgresql+psycopg2://localhost/x",
        "PUBLIC_URL": "https://x.example/?a=1",
        "API_KEY": "too short",
        "REFILL_SECONDS": "inf",
    }.items():
        assert f"CAPTCHA_{name}" in refusal("server", "--check", **{name: value})
    assert "CAPTCHA_LOW_WATER" in refusal("server", "--check", LOW_WATER=50, TARGET=10)


def test_an_unwritable_folder_stops_the_start_with_one_line() -> None:
    for workers in (1, 2):
        assert "/proc/files" in only_line(run("server", "--workers", workers, FILES_DIR="/proc/files"))
    assert "/proc/1" in only_line(run("server", DATABASE_URL="sqlite:////proc/1/nowhere/pool.db"))


def test_the_pool_is_refilled_without_a_hand(sqlite_settings: dict[str, object], serve: Serve) -> None:
    """Each refill makes 40, so a hundred ids take three, the later ones at the low-water mark."""
    server = serve(sqlite_settings | {"TARGET": 40, "LOW_WATER": 20, "REFILL_SECONDS": 5})
    ids = set()

    def a_hundred_ids() -> bool:
        answer = server.get("/generate")
        if answer.ok:
            ids.add(answer.json()["id"])
        return len(ids) == 100

    wait_until(a_hundred_ids, "three refills", seconds=120)
    wait_until(lambda: server.get("/readyz").json()["stocks"][0]["low_water"] > 20, "the marks to follow the demand")
    (stock,) = server.get("/readyz").json()["stocks"]
    assert stock["target"] > stock["low_water"]
    assert all(server.get(f"/{file_id}").status_code == 200 for file_id in ids)


def test_a_server_that_stops_ends_its_refill(sqlite_settings: dict[str, object], serve: Serve) -> None:
    server = serve(sqlite_settings | {"TARGET": 1_000_000, "LOW_WATER": 1000})

    def children() -> list[psutil.Process]:
        return psutil.Process(server.process.pid).children()

    wait_until(lambda: bool(children()), "the refill to start")
    (fill,) = children()
    wait_until(lambda: fill.nice() > psutil.Process(server.process.pid).nice(), "the refill to make way")
    wait_until(lambda: server.get("/generate").ok, "its first chunk")
    output = server.stop()
    assert not fill.is_running()
    assert "Traceback" not in output
    pool = Pool.open(
        Settings(database_url=str(sqlite_settings["DATABASE_URL"]), files_dir=sqlite_settings["FILES_DIR"])
    )
    Sweep(pool, timedelta(0), orphan_age=timedelta(0)).all()
    assert row_ids(pool) == png_names(pool.files.folder)
    pool.engine.dispose()


def test_a_log_on_a_full_disk_stops_no_request(sqlite_settings: dict[str, object]) -> None:
    with running_server(sqlite_settings, log=Path("/dev/full")) as server:
        try:
            assert server.get("/readyz").status_code == 503  # which logs that the pool is empty
            answered = server.post("/verify", json={"id": new_id(), "answer": "x"})
            assert answered.json() == {"success": False, "token": None, "reason": "expired"}
        finally:
            server.process.terminate()  # not `stop`, which reads the log
            server.process.wait(timeout=30)


def test_a_refill_that_fails_says_why_and_is_not_tried_at_once(
    sqlite_settings: dict[str, object], serve: Serve, tmp_path: Path
) -> None:
    server = serve(
        sqlite_settings | {"TARGET": 40, "LOW_WATER": 20, "REFILL_SECONDS": 3600, "CHECKPOINTS_DIR": tmp_path}
    )
    wait_until(lambda: "refill failed" in server.printed(), "the refill to fail")
    for _ in range(20):
        assert server.get("/generate").status_code == 503
    wait_until(lambda: server.get("/readyz").json()["refill_error"], "the next check")
    readiness = server.get("/readyz")
    assert readiness.status_code == 503
    assert "the pool has no plain (standard) captchas" in readiness.json()["problems"]
    assert "manifest.json can't be read" in readiness.json()["refill_error"]
    output = server.stop()
    assert output.count("refill failed") == 1
    assert "manifest.json can't be read" in output
