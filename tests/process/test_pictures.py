"""`GET /{id}`: from memory for what was handed out, looked up for the rest, and read where nothing can hang."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from PIL import Image
from sqlalchemy import text

from pool.pool import Pool
from pool.storage.files import FileStore, new_id
from tests.conftest import PLAIN, Server, a_png, drawn

Serve = Callable[..., Server]


def test_what_was_handed_out_is_shown_without_the_database(
    pool: Pool, settings: dict[str, object], serve: Serve
) -> None:
    pool.add(drawn(4), PLAIN)
    server, other = serve(settings), serve(settings)
    ids = [server.get(path).json()["id"] for path in ("/generate", "/challenge")]
    with pool.engine.begin() as connection:
        connection.execute(text("ALTER TABLE captcha RENAME TO elsewhere"))
    for file_id in ids:
        assert server.get(f"/{file_id}").content == a_png()
        assert other.get(f"/{file_id}").status_code == 503
    with pool.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO captcha"))
    for file_id in ids:
        assert other.get(f"/{file_id}").content == a_png()


def test_an_id_that_nobody_has_is_found_once_somebody_has_it(
    pool: Pool, settings: dict[str, object], serve: Serve
) -> None:
    server, file_id = serve(settings), new_id()
    pool.files.write(file_id, a_png())
    assert server.get(f"/{file_id}").status_code == 404  # the file alone is nothing
    (added,) = pool.add(drawn(1), PLAIN)
    with pool.engine.begin() as connection:
        connection.execute(text(f"UPDATE captcha SET id = '{file_id}' WHERE id = '{added}'"))  # noqa: S608 - our ids
    assert server.get(f"/{file_id}").content == a_png()


def test_a_crowd_gets_each_its_own_picture(pool: Pool, settings: dict[str, object], serve: Serve) -> None:
    server = serve(settings)
    ids = pool.add(drawn(60), PLAIN)
    for number, file_id in enumerate(ids):
        pool.files.path(file_id).write_bytes(a_png(number))
    asked = [file_id for pair in zip(ids, [new_id() for _ in ids], strict=True) for file_id in pair]
    with ThreadPoolExecutor(30) as crowd:
        answers = list(crowd.map(lambda file_id: server.get(f"/{file_id}"), asked))
    assert [answer.status_code for answer in answers] == [200, 404] * 60
    assert [answer.content for answer in answers[::2]] == [a_png(number) for number in range(60)]


def test_a_large_picture_is_whole(idle_server: Server) -> None:
    picture = Image.effect_noise((500, 400), 50)
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    shown = requests.get(idle_server.post("/load", files={"file": encoded.getvalue()}).json()["fileURL"], timeout=10)
    assert len(shown.content) > 100_000
    assert Image.open(io.BytesIO(shown.content)).tobytes() == picture.tobytes()


def test_a_row_without_its_file_is_a_fault_of_ours(pool: Pool, settings: dict[str, object], serve: Serve) -> None:
    (file_id,) = pool.add(drawn(1), PLAIN)
    pool.files.remove([file_id])
    assert serve(settings).get(f"/{file_id}").status_code == 503


def test_a_local_disk_is_read_at_once(small_disk: Path) -> None:
    named = small_disk / "with a space"
    files, file_id = FileStore(named), new_id()
    files.write(file_id, a_png())
    assert files.read_now(file_id) == files.read(file_id) == a_png()
    for read in (files.read_now, files.read):
        with pytest.raises(FileNotFoundError):
            read(new_id())
    files.path(file_id).write_bytes(bytes(100_000))
    assert files.read_now(file_id) is None
    assert len(files.read(file_id)) == 100_000
