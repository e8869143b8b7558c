"""The sound of a captcha. Needs espeak-ng: `apt-get install espeak-ng`."""

import io
import os
import re
import shutil
import subprocess
import sys
import wave
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import requests
from sqlalchemy import update

from pool import database
from pool.errors import SpeechError
from pool.models import captcha
from pool.storage.files import new_id
from server import speech
from tests.conftest import ROOT, Site, a_png, running_server
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
def test_the_code_is_spoken_over_noise(monkeypatch: pytest.MonkeyPatch, language: speech.Language) -> None:
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
    for language in get_args(speech.Language):
        sounds = [speech.say(code, language, np.random.default_rng(1)) for code in ("2468", "kmwx")]
        assert min(len(_samples(sound)) for sound in sounds) > 3 * 11025, language
        assert language == "en" or sounds[0] != speech.say("2468", "en", np.random.default_rng(1))
    texts = (ROOT / "server/pages/widget/texts.js").read_text()
    assert re.search(r'spoken = "(.*?)"', texts)[1].split() == list(get_args(speech.Language))  # type: ignore[index]


@needs("espeak-ng")
def test_each_captcha_has_a_sound_of_its_own(site: Site) -> None:
    challenge = site.server.get("/challenge").json()
    sound = requests.get(challenge["audioURL"], timeout=10)
    assert sound.headers["content-type"] == "audio/wav"
    assert sound.headers["x-content-type-options"] == "nosniff"
    assert requests.get(challenge["audioURL"], timeout=10).content == sound.content  # no noise to average away
    code = site.code(challenge["id"])
    assert speech.say(code, "en", speech.rng_for(challenge["id"], site.pool.secret())) == sound.content
    assert speech.say(code, "en", speech.rng_for(new_id(), site.pool.secret())) != sound.content
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
