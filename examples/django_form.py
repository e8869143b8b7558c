"""A form with a captcha in Django, in one file: `python examples/django_form.py runserver 8001`."""

import os
import sys

import requests
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.urls import path

GANTCHA = os.environ.get("GANTCHA_URL", "http://127.0.0.1:8000")
SECRET = os.environ["CAPTCHA_SITE_SECRET"]
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
PAGE = f"""<!doctype html><title>Comment</title>
<script src="{GANTCHA}/widget.js" defer></script>
<form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="%s">
  <input name="comment" aria-label="Comment" required>
  <div class="gantcha"></div>
  <button>Send</button>
</form>"""


def form(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return HttpResponse(PAGE % get_token(request))
    token = request.POST.get("gantcha-response", "")
    asked = requests.post(f"{GANTCHA}/siteverify", data={"secret": SECRET, "response": token}, timeout=10)
    if not asked.json()["success"]:
        return HttpResponse("Please solve the captcha.")
    return HttpResponse(f"Thank you for your {len(request.POST['comment'])} characters.")


urlpatterns = [path("", form)]
settings.configure(DEBUG=True, ROOT_URLCONF=__name__, SECRET_KEY=os.urandom(16).hex(), MIDDLEWARE=[CSRF])
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
