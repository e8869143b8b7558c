"""Debian's WebKitGTK, driven by its WebDriver: `apt-get install webkit2gtk-driver xvfb`."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

from tests.conftest import answers, free_port, wait_until
from tests.support.engines import Engine, ScriptError, WebDriverEngine

_LONGEST_SECONDS = 60
_START_SECONDS = 15
_STARTS = 3
_LISTEN = """(() => {
    const heard = (window.complaintsForTests = []);
    for (const level of ["error", "warn"]) {
        const say = console[level];
        console[level] = (...words) => (heard.push(words.join(" ")), say.apply(console, words));
    }
    addEventListener("error", (event) => heard.push(event.message));
    addEventListener("unhandledrejection", (event) => heard.push(String(event.reason)));
})()"""


class WebKit:
    """A running driver, which starts a browser for each session, one at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = requests.Session()

    def command(self, method: str, path: str, timeout: float = _LONGEST_SECONDS, **parameters: Any) -> Any:
        """Send a command; give its value."""
        body = parameters if method == "POST" else None
        answer = self._http.request(method, self._url + path, json=body, timeout=timeout)
        value = answer.json()["value"]
        if not answer.ok:
            raise ScriptError(value["message"] or value["error"])
        return value

    @contextmanager
    def page(self) -> Iterator[Engine]:
        """Open a page in a browser of its own."""
        wanted = {
            "webkitgtk:browserOptions": {"binary": _browser(), "args": ["--automation"]},
            # With "eager", scripts sometimes never answer.
            "pageLoadStrategy": "normal",
            "timeouts": {"script": 10_000},
        }
        session = self._start({"alwaysMatch": wanted})
        try:
            yield WebKitEngine(self, f"/session/{session}")
        finally:
            self.command("DELETE", f"/session/{session}")

    def _start(self, capabilities: dict[str, Any]) -> str:
        """Start a browser; give its session.

        The driver chooses a free port for it, and waits for ever if another program has that port by then.
        """
        for _ in range(_STARTS - 1):
            with suppress(requests.Timeout):
                return str(self.command("POST", "/session", _START_SECONDS, capabilities=capabilities)["sessionId"])
        return str(self.command("POST", "/session", capabilities=capabilities)["sessionId"])

    def close(self) -> None:
        self._http.close()


class WebKitEngine(WebDriverEngine):
    """A page in WebKitGTK's small browser. Its driver tells nothing of the console: `complaints` begin after `open`."""

    def __init__(self, webkit: WebKit, session: str) -> None:
        self._webkit, self._session = webkit, session

    def open(self, url: str) -> None:
        self._command("url", url=url)
        self.evaluate(_LISTEN)

    @property
    def complaints(self) -> list[str]:
        try:
            return list(self.evaluate("window.complaintsForTests ?? []"))  # of this page, not of one that it led to
        except ScriptError:
            return []

    def _run(self, promise: str) -> str:
        script = (
            f"const end = arguments[0]; {promise}.then((value) => end([value]), (error) => end([null, `${{error}}`]))"
        )
        value, *error = self._command("execute/async", script=script, args=[])
        if error:
            raise ScriptError(*error)
        return str(value)

    def _perform(self, actions: dict[str, Any]) -> None:
        self._command("actions", actions=[actions])

    def _command(self, path: str, **parameters: Any) -> Any:
        return self._webkit.command("POST", f"{self._session}/{path}", **parameters)


@contextmanager
def running_webkit() -> Iterator[WebKit]:
    """Run the driver, on a screen of its own where there is none."""
    with TemporaryDirectory(prefix="webkit-") as folder, _screen() as display:
        environment = os.environ | {"DISPLAY": display, "HOME": folder, "LC_ALL": "C"}
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        log, command = Path(folder, "log"), ["WebKitWebDriver", f"--port={port}"]
        with (
            open(log, "w") as file,
            subprocess.Popen(command, stdout=file, stderr=file, env=environment, start_new_session=True) as process,
        ):
            try:
                wait_until(lambda: process.poll() is not None or answers(f"{url}/status"), "WebKitWebDriver to answer")
                assert process.poll() is None, log.read_text()
                webkit = WebKit(url)
                yield webkit
                webkit.close()
            finally:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _screen() -> Iterator[str]:
    """Give the name of a display; Xvfb chooses one that is free."""
    if display := os.environ.get("DISPLAY"):
        yield display
        return
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as screen:
        try:
            assert screen.stdout
            number = screen.stdout.readline().strip()
            assert number, "Xvfb ended"
            yield f":{number}"
        finally:
            screen.terminate()


def _browser() -> str:
    """Find the browser of the driver's own library, which is no command."""
    found = sorted(Path("/usr/lib").glob("*/webkit*gtk-*/MiniBrowser"))
    assert found, "WebKitGTK has no MiniBrowser here"
    return str(found[-1])
