"""A form with a captcha in FastAPI: `uvicorn examples.fastapi_form:app --port 8001`."""

import os
from typing import Annotated

import httpx
from fastapi import FastAPI, Form
from fastapi.responses import HTMLResponse

GANTCHA = os.environ.get("GANTCHA_URL", "http://127.0.0.1:8000")
SECRET = os.environ["CAPTCHA_SITE_SECRET"]

app = FastAPI()
PAGE = f"""<!doctype html><title>Comment</title>
<script src="{GANTCHA}/widget.js" defer></script>
<form method="post">
  <input name="comment" aria-label="Comment" required>
  <div class="gantcha"></div>
  <button>Send</button>
</form>"""


@app.get("/", response_class=HTMLResponse)
async def form() -> str:
    return PAGE


@app.post("/")
async def send(comment: Annotated[str, Form()], token: Annotated[str, Form(alias="gantcha-response")] = "") -> str:
    async with httpx.AsyncClient() as client:
        asked = await client.post(f"{GANTCHA}/siteverify", data={"secret": SECRET, "response": token})
    if not asked.json()["success"]:
        return "Please solve the captcha."
    return f"Thank you for your {len(comment)} characters."
