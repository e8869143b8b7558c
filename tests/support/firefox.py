"""Debian's Firefox, driven by WebDriver BiDi, which it speaks by itself: `apt-get install firefox-esr`."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from websocket import WebSocket, create_connection

from tests.conftest import wait_until
from tests.support.engines import Engine, ScriptError, WebDriverEngine

_LONGEST_SECONDS = 60
_PREFERENCES: dict[str, object] = {
    "browser.aboutwelcome.enabled": False,
    "browser.startup.page": 0,
    "intl.accept_languages": "en-GB, en",
    "services.settings.server": "data:,",
}
"""A new profile shows nothing, asks nobody for news, and has the language of the tests, whatever the developer's is."""


class Firefox:
    """A running Firefox, and the connection that commands it."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket, self._numbers = socket, count(1)
        self.heard: list[dict[str, Any]] = []

    def command(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command; give its result. What the browser tells meanwhile is kept."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("method") == "log.entryAdded":
                self.heard.append(message["params"])
            if message.get("id") == number:
                if message["type"] == "error":
                    raise ScriptError(message["message"])
                return dict(message["result"])

    @contextmanager
    def page(self) -> Iterator[Engine]:
        """Open a page in a container of its own."""
        self.heard.clear()
        user = self.command("browser.createUserContext")["userContext"]
        try:
            yield FirefoxEngine(self, self.command("browsingContext.create", type="tab", userContext=user)["context"])
        finally:
            self.command("browser.removeUserContext", userContext=user)  # closes the page too


class FirefoxEngine(WebDriverEngine):
    """A page in Firefox."""

    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox, self._context = firefox, context

    def open(self, url: str) -> None:
        self._firefox.command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    @property
    def complaints(self) -> list[str]:
        self._firefox.command("session.status")  # what was said before it is heard by its answer
        return [entry["text"] for entry in self._firefox.heard if entry["level"] in ("error", "warn")]

    def _run(self, promise: str) -> str:
        target = {"context": self._context}
        answer = self._firefox.command("script.evaluate", expression=promise, target=target, awaitPromise=True)
        if answer["type"] == "exception":
            raise ScriptError(answer["exceptionDetails"]["text"])
        return str(answer["result"]["value"])

    def _perform(self, actions: dict[str, Any]) -> None:
        self._firefox.command("input.performActions", context=self._context, actions=[actions])


@contextmanager
def running_firefox() -> Iterator[Firefox]:
    """Run a headless Firefox with a new profile; it chooses a free port itself."""
    with TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as folder:
        preferences = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _PREFERENCES.items())
        Path(folder, "user.js").write_text("\n".join(preferences))
        log = Path(folder, "log")
        command = ["firefox-esr", "--headless", "--no-remote", "--remote-debugging-port=0", "--profile", folder]
        environment = os.environ | {"HOME": folder, "MOZ_CRASHREPORTER_DISABLE": "1"}
        with open(log, "w") as file, subprocess.Popen(command, stdout=file, stderr=file, env=environment) as process:
            try:
                wait_until(lambda: process.poll() is not None or bool(_address(log)), "Firefox to listen")
                assert process.poll() is None, log.read_text()
                socket = create_connection(f"{_address(log)}/session", timeout=_LONGEST_SECONDS, suppress_origin=True)
                firefox = Firefox(socket)
                firefox.command("session.new", capabilities={})
                firefox.command("session.subscribe", events=["log.entryAdded"])
                yield firefox
                firefox.command("browser.close")
                socket.close()
                process.wait(_LONGEST_SECONDS)
            finally:
                process.kill()


def _address(log: Path) -> str:
    found = re.search(r"WebDriver BiDi listening on (ws://\S+)\n", log.read_text())
    return found[1] if found else ""
