"""The forms of `examples/`, run as their first lines say, before a real server."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.conftest import ROOT, Site, answers, environment, free_port, wait_until
from tests.support.programs import needs

EXAMPLES = {
    "fastapi_form.py": ["-m", "uvicorn", "examples.fastapi_form:app", "--port", "{port}"],
    "flask_form.py": ["-m", "flask", "--app", "examples.flask_form", "run", "--port", "{port}"],
    "django_form.py": ["examples/django_form.py", "runserver", "{port}", "--noreload"],
    "php/send.php": ["-S", "127.0.0.1:{port}", "-t", "examples/php"],
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[needs("php")] if name.startswith("php") else []) for name in EXAMPLES]
)
def test_the_form_takes_a_comment_with_a_token_and_no_other(site: Site, name: str) -> None:
    program = "php" if name.startswith("php") else sys.executable
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    command = [program, *(part.format(port=port) for part in EXAMPLES[name])]
    settings = environment({"SITE_SECRET": Site.SECRET}) | {"GANTCHA_URL": site.server.url}
    with (
        requests.Session() as session,
        subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process,
    ):
        try:
            wait_until(lambda: process.poll() is not None or answers(url), "the form")
            page = session.get(url, timeout=10).text
            assert '<div class="gantcha"></div>' in page
            assert "/widget.js" in page
            action = re.search('action="(.*?)"', page)
            csrf = re.search('name="csrfmiddlewaretoken" value="(.*?)"', page)
            fields = {"comment": "hello"} | ({"csrfmiddlewaretoken": csrf[1]} if csrf else {})
            token = site.token()
            shown = [
                session.post(
                    url + (action[1] if action else ""), data=fields | {"gantcha-response": sent}, timeout=10
                ).text
                for sent in ("", "made up", token, token)
            ]
        finally:
            process.terminate()
            process.communicate()
    assert ["Thank you for your 5 characters." in answer for answer in shown] == [False, False, True, False]
    assert all("solve the captcha" in shown[number] for number in (0, 1, 3))


def test_the_examples_are_short() -> None:
    for name in EXAMPLES:
        assert len(Path(ROOT / "examples" / name).read_text().splitlines()) <= 40
