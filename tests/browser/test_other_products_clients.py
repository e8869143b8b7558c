"""Clients and forms made for reCAPTCHA, hCaptcha and Turnstile: unchanged, but told another host and other keys."""

import runpy
import ssl
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlencode

import django
import pytest
import requests
from django import forms
from django.conf import settings
from django.http import HttpRequest, QueryDict
from playwright.sync_api import Browser
from werkzeug.datastructures import MultiDict

from tests.conftest import Site, environment
from tests.support.chromium import Visit
from tests.support.documents import under
from tests.support.programs import missing, needs

_PHP_CLIENT = "/usr/share/php/ReCaptcha/autoload.php"


@pytest.fixture(scope="module")
def tls_url(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site behind TLS, with a certificate that this process trusts: django-recaptcha speaks nothing else."""
    if missing("openssl"):
        pytest.skip(missing("openssl"))
    certificate = tmp_path_factory.mktemp("tls") / "both.pem"
    request = "openssl req -x509 -newkey rsa:2048 -noenc -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*request.split(), "-keyout", certificate, "-out", certificate], check=True, capture_output=True)

    class Relay(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = {"Content-Type": self.headers["Content-Type"]} if body else {}
            answer = requests.request(self.command, site.server.url + self.path, data=body, headers=kind, timeout=10)
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_GET  # noqa: N815 - as the class wants it

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("localhost", 0), Relay) as server, pytest.MonkeyPatch.context() as patch:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        patch.setenv("SSL_CERT_FILE", str(certificate))
        yield f"https://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def recipe(
    site: Site, tls_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Runs the Python under a heading of docs/recipes.md, and gives its names."""
    folder = tmp_path_factory.mktemp("recipes")

    def run(heading: str) -> dict[str, Any]:
        code = under("docs/recipes.md", heading).replace("https://captcha.example.com", site.server.url)
        file = folder / f"{heading}.py"
        file.write_text(code.replace("captcha.example.com", tls_url.removeprefix("https://")))
        return runpy.run_path(str(file))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAPTCHA_SITE_SECRET", Site.SECRET)
        yield run


@pytest.fixture(scope="module")
def _django(recipe: Callable[[str], dict[str, Any]]) -> None:
    recipes = [recipe(heading) for heading in ("django-recaptcha", "django-hcaptcha", "django-turnstile")]
    apps = [app for names in recipes for app in names["INSTALLED_APPS"]]
    given = {name: value for names in recipes for name, value in names.items() if name.isupper()}
    settings.configure(**given | {"INSTALLED_APPS": apps})
    django.setup()


Form = tuple[str, Callable[[dict[str, str]], bool]]
"""The HTML of a captcha, and what its back end says of the fields of the form that were sent."""


@pytest.fixture
def form(request: pytest.FixtureRequest, recipe: Callable[[str], dict[str, Any]], product: str) -> Form:
    if product == "Flask-WTF":
        return _flask_form(recipe(product))
    if product == "WTForms":
        comment = recipe(product)["Comment"]
        return str(comment().captcha()), lambda sent: bool(comment(MultiDict(sent)).validate())
    request.getfixturevalue("_django")
    # They read the settings when they are imported.
    from django_recaptcha.fields import ReCaptchaField  # noqa: PLC0415
    from django_recaptcha.widgets import ReCaptchaV3  # noqa: PLC0415
    from hcaptcha.fields import hCaptchaField  # noqa: PLC0415
    from turnstile.fields import TurnstileField  # noqa: PLC0415

    fields = {
        "django-recaptcha": ReCaptchaField,
        "django-recaptcha, version 3": partial(ReCaptchaField, widget=ReCaptchaV3(action="comment")),
        "django-hcaptcha": hCaptchaField,
        "django-turnstile": TurnstileField,
    }
    made = type("Comment", (forms.Form,), {"captcha": fields[product]()})

    def passes(sent: dict[str, str]) -> bool:
        request = HttpRequest()  # django-recaptcha looks for a variable of this name
        request.POST = QueryDict(urlencode(sent))
        return bool(made(request.POST).is_valid())

    return str(made()["captcha"]), passes


def _flask_form(names: dict[str, Any]) -> Form:
    app, comment = names["app"], names["Comment"]
    app.config["WTF_CSRF_ENABLED"] = False

    def passes(sent: dict[str, str]) -> bool:
        with app.test_request_context(method="POST", data=sent):
            return bool(comment().validate_on_submit())

    with app.test_request_context():
        return str(comment().captcha()), passes


_FIELDS = {
    "Flask-WTF": "g-recaptcha-response",
    "WTForms": "gantcha-response",
    "django-recaptcha": "g-recaptcha-response",
    "django-hcaptcha": "h-captcha-response",
    "django-turnstile": "cf-turnstile-response",
}


@pytest.mark.parametrize("product", _FIELDS)
def test_a_back_end_takes_each_token_once(site: Site, product: str, form: Form) -> None:
    token = site.token()
    sent = ({_FIELDS[product]: given} for given in ("", "made up", token, token))
    assert [form[1](fields) for fields in sent] == [False, False, True, False]


@needs("chromium")
@pytest.mark.parametrize("product", [*_FIELDS, "django-recaptcha, version 3"])
def test_a_form_is_solved_and_sent(request: pytest.FixtureRequest, browser: Browser, product: str, form: Form) -> None:
    site: Site = request.getfixturevalue("site")
    url = request.getfixturevalue("tls_url") if product.startswith("django-recaptcha") else site.server.url
    html, passes = form
    context = browser.new_context(ignore_https_errors=True)
    visit = Visit(context)
    page = visit.page
    html = f'<form method="post">{html}<button>Send</button></form>'
    send = page.get_by_role("button", name="Send")
    if product.endswith("3"):  # asks when the form is sent
        visit.serve(url, html)
        page.goto(f"{url}/page")
        file_id = visit.renewed_by(send.click)
    else:
        file_id = visit.show(url, html)
    page.get_by_label("Answer").fill(site.code(file_id))
    with page.expect_request(lambda asked: asked.method == "POST" and asked.url.endswith("/page")) as sent:
        page.get_by_label("Answer").press("Enter")
        if not product.endswith("3"):
            page.get_by_text("Confirmed").wait_for()
            send.click()
    fields = dict(parse_qsl(sent.value.post_data))
    assert passes(fields)
    assert not passes(fields)
    assert visit.complaints == []
    context.close()


@needs("php")
@needs(_PHP_CLIENT)
def test_the_php_client_of_recaptcha(site: Site) -> None:
    """Debian's package of google/recaptcha."""
    recipe = under("docs/recipes.md", "PHP with google/recaptcha").replace(
        "https://captcha.example.com", site.server.url
    )
    script = f"""
        require '{_PHP_CLIENT}';
        foreach (array_slice($argv, 1) as $token) {{
            $_POST['g-recaptcha-response'] = $token;
            {recipe.replace("->verify", "->setExpectedHostname('127.0.0.1')->setExpectedAction('comment')->verify")}
            echo $answer->isSuccess() ? $answer->getHostname() : $answer->getErrorCodes()[0], "\\n";
        }}"""
    file_id, code = site.challenge()
    answer = {"id": file_id, "answer": code, "action": "comment"}
    token = site.server.post("/verify", json=answer).json()["token"]
    words = ["php", "-r", script, "--", "", "made up", token, token]
    variables = environment({"SITE_SECRET": Site.SECRET})
    finished = subprocess.run(words, env=variables, capture_output=True, text=True, check=True)
    answers = ["missing-input-response", "invalid-input-response", "127.0.0.1", "timeout-or-duplicate"]
    assert finished.stdout.split() == answers
