"""Clients made for reCAPTCHA, hCaptcha and Turnstile, unchanged, told another URL."""

import django
import flask
import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from flask_wtf import FlaskForm, RecaptchaField
from flask_wtf.csrf import CSRFProtect

from tests.conftest import Site


@pytest.mark.parametrize("path", ["/siteverify", "/recaptcha/api/siteverify"])
def test_flask_wtf_s_recaptcha(site: Site, path: str) -> None:
    app = flask.Flask(__name__)
    app.config.update(
        SECRET_KEY="-",
        RECAPTCHA_PUBLIC_KEY="unused",
        RECAPTCHA_PRIVATE_KEY=Site.SECRET,
        RECAPTCHA_VERIFY_SERVER=site.server.url + path,
        WTF_CSRF_ENABLED=False,
    )
    CSRFProtect(app)

    class Comment(FlaskForm):  # type: ignore[misc] # the package ships no types
        captcha = RecaptchaField()

    def passes(token: str) -> bool:
        with app.test_request_context(method="POST", data={"g-recaptcha-response": token}):
            return bool(Comment().validate_on_submit())

    token = site.token()
    assert [passes(sent) for sent in ("", "made up", token, token)] == [False, False, True, False]
    app.config["RECAPTCHA_PRIVATE_KEY"] = "not-the-secret-at-all"
    assert not passes(site.token())


@pytest.fixture(scope="module")
def django_settings(site: Site) -> None:
    url = site.server.url
    settings.configure(
        HCAPTCHA_VERIFY_URL=f"{url}/siteverify",
        HCAPTCHA_SECRET=Site.SECRET,
        TURNSTILE_VERIFY_URL=f"{url}/turnstile/v0/siteverify",
        TURNSTILE_SECRET=Site.SECRET,
    )
    django.setup()


@pytest.mark.usefixtures("django_settings")
@pytest.mark.parametrize("product", ["hcaptcha", "turnstile"])
def test_django_s_fields_for_hcaptcha_and_turnstile(site: Site, product: str) -> None:
    if product == "hcaptcha":
        from hcaptcha.fields import hCaptchaField as Field  # noqa: PLC0415 - it reads the settings at once
    else:
        from turnstile.fields import TurnstileField as Field  # noqa: PLC0415 - as above

    def passes(token: str) -> bool:
        try:
            Field().clean(token)
        except ValidationError:
            return False
        return True

    token = site.token()
    assert [passes(sent) for sent in ("", "made up", token, token)] == [False, False, True, False]
