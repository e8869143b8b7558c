"""A form with a captcha in Flask: `flask --app examples.flask_form run --port 8001`."""

import os

import requests
from flask import Flask, request

GANTCHA = os.environ.get("GANTCHA_URL", "http://127.0.0.1:8000")
SECRET = os.environ["CAPTCHA_SITE_SECRET"]

app = Flask(__name__)
PAGE = f"""<!doctype html><title>Comment</title>
<script src="{GANTCHA}/widget.js" defer></script>
<form method="post">
  <input name="comment" aria-label="Comment" required>
  <div class="gantcha"></div>
  <button>Send</button>
</form>"""


@app.get("/")
def form() -> str:
    return PAGE


@app.post("/")
def send() -> str:
    token = request.form.get("gantcha-response", "")
    asked = requests.post(f"{GANTCHA}/siteverify", data={"secret": SECRET, "response": token}, timeout=10)
    if not asked.json()["success"]:
        return "Please solve the captcha."
    return f"Thank you for your {len(request.form['comment'])} characters."
