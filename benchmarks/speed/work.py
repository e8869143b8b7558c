"""How long a visitor waits for work: `python -m benchmarks.speed.work`, in Debian's Chromium."""

import shutil
import statistics
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gantcha.terminal import run
from pool import database

if TYPE_CHECKING:
    from playwright.sync_api import Page

_KEYS = """
[sites.quiet]
sitekey = "quiet"
secret = "a-secret-of-sixteen-or-more"
mode = "quiet"
quiet_limit = "100000/minute"
"""
_PAGE = """<!doctype html><html lang="en"><title>A page</title><link rel="icon" href="data:,">
<script src="widget.js"></script><div id="host"></div>
<script>
    window.took = {};
    window.pass = () => {
        gantcha.render(host, { sitekey: "quiet", mode: "quiet" });
        const begun = performance.now();
        host.shadowRoot.querySelector("[role=checkbox]").click();
        host.addEventListener("gantcha-verified", () => {
            took.quiet = performance.now() - begun;
            gantcha.remove(host);
        }, { once: true });
    };
</script>
<script type="module">
    %s
    window.work = async () => {
        const challenge = await (await fetch("challenge?sitekey=quiet")).json();
        const begun = performance.now();
        await solve(challenge.work, "/", new AbortController().signal, () => {});
        took.picture = performance.now() - begun;
    };
</script>"""
_SLOWER = (1, 4, 6)
_READY = 50_000  # captchas: each piece of work alone needs one
_MOST_SECONDS = 120
_addresses = count(1)


def main(tries: Annotated[int, typer.Option(min=1, help="Of each kind and slowness.")] = 100) -> None:
    """Print the time from the click on a quiet box to its token, and that of the light work of a picture alone.

    Chromium slows down the page's own thread as asked, but not the one that derives keys.

    \b
    Examples:
        python -m benchmarks.speed.work
        python -m benchmarks.speed.work --tries 25
    """
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only developers have these

    from benchmarks.speed.load import running  # noqa: PLC0415
    from benchmarks.speed.pools import ROOT, environment, insert_ready  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        keys = Path(name, "keys.toml")
        keys.write_text(_KEYS)
        settings = environment(Path(name)) | {"CAPTCHA_WORK": "light", "CAPTCHA_KEYS_FILE": str(keys)}
        settings |= {"CAPTCHA_TRUSTED_PROXIES": "127.0.0.1", "CAPTCHA_ISSUE_LIMIT": "100000/minute"}
        settings |= {"CAPTCHA_TARGET": "0", "CAPTCHA_LOW_WATER": "0", "CAPTCHA_DOUBT": "false"}
        engine = database.connect(settings["CAPTCHA_DATABASE_URL"])
        insert_ready(engine, _READY)
        engine.dispose()
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with running(["server"], settings, "/healthz") as (url, _):
            page = chromium.new_page()
            source = (ROOT / "server/pages/widget/work.js").read_text().replace("export ", "")
            page.route(f"{url}/page", lambda route: route.fulfill(body=_PAGE % source, content_type="text/html"))
            page.goto(f"{url}/page")
            protocol = page.context.new_cdp_session(page)
            for slower in _SLOWER:
                protocol.send("Emulation.setCPUThrottlingRate", {"rate": slower})
                for what, call in {"quiet": "pass()", "picture": "work()"}.items():
                    seconds = sorted(_seconds(page, what, call) for _ in range(tries))
                    late = seconds[min(round(tries * 0.95), tries - 1)]
                    middle = statistics.median(seconds)
                    print(
                        f"{what}, page {slower} times slower: median {middle:.2f} s, 95 of 100 {late:.2f} s", flush=True
                    )
        chromium.close()


def _seconds(page: "Page", what: str, call: str) -> float:
    """Have work done by a visitor of another address, since few may pass from one; return how long it took."""
    number = next(_addresses)
    page.set_extra_http_headers({"X-Forwarded-For": f"10.0.{number // 256}.{number % 256}"})
    page.evaluate(f"took = {{}}, void {call}")
    page.wait_for_function(f"took.{what}", timeout=_MOST_SECONDS * 1000)
    return float(page.evaluate(f"took.{what}")) / 1000


if __name__ == "__main__":
    run(main)
