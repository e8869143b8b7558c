"""The sound of a captcha. Needs espeak-ng: `apt-get install espeak-ng`."""

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import psutil
import pytest
import requests
from sqlalchemy import update

from pool import database
from pool.errors import SpeechError
from pool.models import captcha
from pool.pool import Drawn, Issued
from pool.storage.files import new_id
from server import espeak, speech
from tests.conftest import PLAIN, ROOT, Site, a_png, running_server, running_site, wait_until
from tests.support.programs import needs


def _samples(sound: bytes) -> npt.NDArray[np.float64]:
    with wave.open(io.BytesIO(sound)) as opened:
        assert opened.getparams()[:3] == (1, 2, 11025)
        samples = np.frombuffer(opened.readframes(opened.getnframes()), "<i2").astype(float)
    return samples / np.abs(samples).max()


def _likeness(sound: bytes, other: bytes) -> float:
    one, two = _samples(sound), _samples(other)
    length = min(len(one), len(two))
    return float(np.corrcoef(one[:length], two[:length])[0, 1])


@needs("espeak-ng")
@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_code_is_spoken_over_noise(monkeypatch: pytest.MonkeyPatch, language: espeak.Language) -> None:
    heard = speech.say("7k2h9m", language, np.random.default_rng(1))
    monkeypatch.setattr(speech, "_CHATTER", 0)
    monkeypatch.setattr(speech, "_HISS", 0)
    clear = speech.say("7k2h9m", language, np.random.default_rng(1))
    assert 0.7 < _likeness(heard, clear) < 0.995
    assert abs(_likeness(heard, speech.say("3w8e4p", language, np.random.default_rng(1)))) < 0.6
    assert 2 < len(_samples(clear)) / 11025 < 20


@needs("espeak-ng")
def test_every_language_says_every_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "_VOICES", ("",))
    for language in get_args(espeak.Language):
        sounds = [speech.say(code, language, np.random.default_rng(1)) for code in ("2468", "kmwx")]
        assert min(len(_samples(sound)) for sound in sounds) > 3 * 11025, language
        assert language == "en" or sounds[0] != speech.say("2468", "en", np.random.default_rng(1))
    texts = (ROOT / "server/pages/widget/texts.js").read_text()
    assert re.search(r'spoken = "(.*?)"', texts)[1].split() == list(get_args(espeak.Language))  # type: ignore[index]


@needs("espeak-ng")
def test_each_captcha_has_a_sound_of_its_own(site: Site) -> None:
    challenge = site.server.get("/challenge").json()
    sound = requests.get(challenge["audioURL"], timeout=10)
    assert sound.headers["content-type"] == "audio/wav"
    assert sound.headers["x-content-type-options"] == "nosniff"
    assert requests.get(challenge["audioURL"], timeout=10).content == sound.content  # no noise to average away
    code = site.code(challenge["id"])
    assert speech.say(code, "en", speech.rng_for(challenge["id"], "en", site.pool.secret())) == sound.content
    assert speech.say(code, "en", speech.rng_for(new_id(), "en", site.pool.secret())) != sound.content
    russian = requests.get(challenge["audioURL"] + "?lang=ru", timeout=10)
    assert russian.content != sound.content
    assert site.answer(challenge["id"], code)["success"]


@needs("espeak-ng")
def test_what_has_no_sound_says_so(site: Site) -> None:
    assert site.server.get(f"/{new_id()}.wav").status_code == 404
    uploaded = site.server.post("/load", files={"file": a_png()}).json()["id"]
    assert site.server.get(f"/{uploaded}.wav").status_code == 404
    late, _ = site.challenge()
    with database.transaction(site.pool.engine) as connection:
        past = update(captcha).where(captcha.c.id == late)
        connection.execute(past.values(expires_at=captcha.c.issued_at))
    assert site.server.get(f"/{late}.wav").status_code == 410
    file_id, _ = site.challenge()
    assert site.server.get(f"/{file_id}.wav?lang=xx").status_code == 422


@needs("espeak-ng")
def test_no_process_shows_the_code(tmp_path: Path) -> None:
    """Every argument of a process can be read by all users of the machine."""
    spy = tmp_path / "espeak-ng"
    spy.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\nexec {shutil.which("espeak-ng")} "$@"\n')
    spy.chmod(0o755)
    program = "import numpy; from server import speech; speech.say('7k2h9m', 'en', numpy.random.default_rng(1))"
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=os.environ | {"PATH": path}, check=True)
    assert "--stdin" in (tmp_path / "arguments").read_text()
    assert "7" not in (tmp_path / "arguments").read_text().replace("+m7", "")


def _slowed(folder: Path, monkeypatch: pytest.MonkeyPatch, seconds: float) -> Path:
    """Put a slow espeak-ng before the real one; give the file with a line for each of its runs."""
    slow, runs = folder / "bin/espeak-ng", folder / "runs"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\necho $$ >> {runs}\nsleep {seconds}\nexec {shutil.which("espeak-ng")} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    return runs


def _of(number: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"203.0.113.{number}"}


@needs("espeak-ng")
def test_the_queue_of_sounds_is_short_and_fair(
    sqlite_settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = _slowed(tmp_path, monkeypatch, 1)
    with running_site(sqlite_settings | {"TRUSTED_PROXIES": "127.0.0.1"}) as site, ThreadPoolExecutor(12) as threads:
        ids = [issued.id for issued in _issued(site, 30)]

        def ask(number: int) -> requests.Response:
            return site.server.get(f"/{ids[number]}.wav", headers=_of(number))

        answers = list(threads.map(ask, range(12)))
        assert sorted({answer.status_code for answer in answers}) == [200, 503]
        assert sum(answer.ok for answer in answers) >= 8
        assert {answer.headers.get("retry-after") for answer in answers if not answer.ok} == {"2"}

        both = list(threads.map(lambda number: site.server.get(f"/{ids[number]}.wav", headers=_of(1)), (20, 21)))
        assert sorted(answer.status_code for answer in both) == [200, 503]  # one at a time for each address

        before, address = len(runs.read_text().split()), urlsplit(site.server.url)
        for number in range(12, 20):  # they hang up at once
            with socket.create_connection((address.hostname, address.port)) as connection:
                head = f"GET /{ids[number]}.wav HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.{number}\r\n\r\n"
                connection.sendall(head.encode())
                time.sleep(0.05)
        assert ask(22).ok
        assert len(runs.read_text().split()) - before < 8  # two each for those that were being spoken, and for this one


def _issued(site: Site, count: int) -> list[Issued]:
    site.pool.add([Drawn("7k2h9m", a_png())] * count, PLAIN)
    return site.pool.pop(count, stock=PLAIN)


@needs("espeak-ng")
def test_a_sound_is_spoken_and_counted_once(
    sqlite_settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = _slowed(tmp_path, monkeypatch, 0)
    with running_site(sqlite_settings | {"ISSUE_LIMIT": "1/hour"}) as site, ThreadPoolExecutor(3) as threads:
        path = f"/{_issued(site, 1)[0].id}.wav"
        one, *others = threads.map(lambda _: site.server.get(path), range(3))
        size = len(one.content)
        assert [other.content for other in others] == [one.content] * 2
        for asked, status, content, described in [
            ("bytes=0-1", 206, one.content[:2], f"bytes 0-1/{size}"),
            ("bytes=100-", 206, one.content[100:], f"bytes 100-{size - 1}/{size}"),
            ("bytes=-7", 206, one.content[-7:], f"bytes {size - 7}-{size - 1}/{size}"),
            (f"bytes=10-{size * 2}", 206, one.content[10:], f"bytes 10-{size - 1}/{size}"),
            (f"bytes={size}-", 416, b"", f"bytes */{size}"),
            ("bytes=-0", 416, b"", f"bytes */{size}"),
            ("bytes=0-1,4-5", 200, one.content, None),
            ("bytes=5-1", 200, one.content, None),
            ("bytes=-", 200, one.content, None),
            ("bytes=" + "9" * 20_000, 200, one.content, None),
        ]:
            answer = site.server.get(path, headers={"Range": asked})
            found = (answer.status_code, answer.content, answer.headers.get("content-range"))
            assert found == (status, content, described), asked
        assert len(runs.read_text().split()) == 2  # the code, and the chatter
        assert site.server.get(f"{path}?lang=de").status_code == 429


def test_no_two_sounds_share_their_noise() -> None:
    file_id = new_id()
    first = [speech.rng_for(file_id, language, "secret").random() for language in get_args(espeak.Language)]
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("end", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=needs("timeout"))])
def test_a_program_that_hangs_ends_with_the_server(
    sqlite_settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: signal.Signals
) -> None:
    runs = _slowed(tmp_path, monkeypatch, 1)
    (tmp_path / "bin/espeak-ng").write_text(f"#!/bin/sh\necho $$ > {runs}\nexec sleep 1000\n")
    with running_site(sqlite_settings) as site, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(site.server.get, f"/{_issued(site, 1)[0].id}.wav")
        wait_until(runs.exists, "the program to start")
        site.server.stop(end)
        assert asked.exception() or not asked.result().ok
    wait_until(lambda: not psutil.pid_exists(int(runs.read_text())), "the program to end", 15)


@pytest.mark.parametrize("said", ["", "RIFF", "no sound at all"])
def test_a_program_that_says_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    program = tmp_path / "espeak-ng"
    program.write_text(f"#!/bin/sh\ncat > /dev/null\nprintf '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SpeechError, match="espeak-ng failed"):
        speech.say("7k2h9m", "en", np.random.default_rng(1))


@pytest.mark.parametrize("why", ["not installed", "not wanted"])
def test_without_speech_the_route_says_so(
    sqlite_settings: dict[str, object], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "not installed":
        monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    else:
        sqlite_settings |= {"AUDIO": "false"}
    with running_server(sqlite_settings) as server:
        server.post("/load", files={"file": a_png()}, data={"code": "abc234"})
        challenge = server.get("/challenge").json()
        assert challenge["audioURL"] is None
        answer = server.get(f"/{challenge['id']}.wav")
    assert answer.status_code == 501
    assert "espeak-ng" in answer.json()["detail"]
