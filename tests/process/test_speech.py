"""The sound of a captcha. Needs espeak-ng: `apt-get install espeak-ng`."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import requests
from sqlalchemy import update

from benchmarks.strength.sound import LOWEST, LOWEST_MEAN, intelligibility
from gantcha.characters import CHARACTERS, usual_alphabet
from pool import database
from pool.errors import SpeechError
from pool.models import captcha
from pool.pool import Drawn, Issued, Pool
from pool.storage.files import new_id
from server import espeak, speech
from server.waves import RATE
from tests.conftest import PLAIN, ROOT, Site, a_png, running_server, running_site, wait_until
from tests.support.programs import needs

ALPHABET = usual_alphabet(CHARACTERS)


def _compose(code: str, seed: int = 1, language: espeak.Language = "en") -> speech.Spoken:
    return speech.compose(code, ALPHABET, language, np.random.default_rng(seed))


@needs("espeak-ng")
@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_code_is_spoken_among_other_words(language: espeak.Language) -> None:
    sound = _compose("7k2h9m", language=language)
    assert np.abs(sound.heard).max() == pytest.approx(1)
    assert len(sound.places) == 6
    assert (np.diff(sound.places.ravel()) > 0).all()  # one after another
    is_spoken = np.zeros(len(sound.alone), bool)
    for begin, end in sound.places:
        is_spoken[begin:end] = True
    assert not sound.alone[~is_spoken].any()
    voice, others = sound.heard[is_spoken], sound.heard[~is_spoken][2 * RATE :]  # what comes first is alone
    assert 1 < voice.std() / others.std() < 3


@needs("espeak-ng")
def test_there_is_no_silence_to_cut_at() -> None:
    for seed in range(4):
        sound = _compose("2d7k9x", seed)
        heard = (
            sound.heard[: len(sound.heard) // 1102 * 1102].reshape(-1, 1102).std(axis=1)
        )  # of each tenth of a second
        is_quiet = heard < 0.1 * heard.max()
        runs = np.diff(np.flatnonzero(np.diff(is_quiet, prepend=False, append=False)).reshape(-1, 2))
        assert runs.max(initial=0) < 5, seed


@needs("espeak-ng")
def test_the_length_of_a_sound_does_not_tell_the_code() -> None:
    lengths = [[len(_compose(code, seed).heard) / RATE for seed in range(6)] for code in ("777777", "wwwwww", "2d7k9x")]
    assert 10 < min(map(min, lengths)) < max(map(max, lengths)) < 13
    assert np.ptp(np.mean(lengths, axis=1)) < 0.1


@needs("espeak-ng")
def test_voices_differ_between_sounds_and_within_one(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    run = espeak.run

    def listen(options: Sequence[str], text: bytes) -> bytes:
        said.append(text.decode())
        return run(options, text)

    monkeypatch.setattr(espeak, "run", listen)
    for seed in range(10):
        _compose("2d7k9x", seed)
    cast = [re.findall(r'<voice name="en\+(\w\d)">', text) for text in said]
    assert len({voices[0] for voices in cast}) > 3
    for voices in cast:
        assert len(set(voices[:7])) == len(set(voices[7:])) == 1
        assert voices[0][0] != voices[-1][0]  # one is a woman's, one a man's


@needs("espeak-ng")
def test_the_code_is_likely_to_be_understood() -> None:
    pytest.importorskip("pystoi")
    rated = intelligibility(
        [_compose(code, seed) for seed, code in enumerate(["2d7k9x", "wj34mp"] * 6)], lambda _: None
    )
    assert rated.mean() > LOWEST_MEAN
    assert rated.min() > LOWEST


@needs("espeak-ng")
def test_every_language_says_every_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "_CHATTERED", 1)
    for language in get_args(espeak.Language):
        sounds = [_compose(code, language=language) for code in ("013456789abcdefghi", "jklmnopqrstuvwxyz2")]
        assert min(np.diff(sound.places).min() for sound in sounds) > 0.1 * RATE, language
    assert set(espeak.INTRODUCTIONS) == set(get_args(espeak.Language))
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
    assert speech.say(code, ALPHABET, "en", speech.rng_for(challenge["id"], "en", site.pool.secret())) == sound.content
    assert speech.say(code, ALPHABET, "en", speech.rng_for(new_id(), "en", site.pool.secret())) != sound.content
    russian = requests.get(challenge["audioURL"] + "?lang=ru", timeout=10)
    assert (russian.status_code, russian.json()["detail"]) == (
        410,
        "This captcha was spoken in another language; ask for a new one.",
    )
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
    program = (
        "import numpy; from server import speech; speech.say('7k2h9m', '27hkm9', 'en', numpy.random.default_rng(1))"
    )
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=os.environ | {"PATH": path}, check=True)
    assert "--stdin" in (tmp_path / "arguments").read_text()
    assert "7" not in (tmp_path / "arguments").read_text()


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
        assert len(runs.read_text().split()) - before < 5  # those that were being spoken, and this one


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
        assert len(runs.read_text().split()) == 1
        assert site.server.get(f"{path}?lang=de").status_code == 429


@needs("espeak-ng")
def test_a_captcha_is_spoken_in_one_language_by_all_processes(pool: Pool) -> None:
    """Several voices and noises over the same code would tell more than one."""
    pool.add([Drawn("abc234", a_png())], PLAIN)
    (issued,) = pool.pop(1, stock=PLAIN, redeemable=True)
    assert [pool.note_spoken(issued.id, language) for language in ("de", "fr", "de")] == [True, False, True]


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
        speech.say("7k2h9m", ALPHABET, "en", np.random.default_rng(1))


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
