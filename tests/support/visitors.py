"""Visitors and back ends that go on while servers behind a proxy come and go."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection, HTTPException

from tests.conftest import wait_until
from tests.support.crowd import Crowd
from tests.support.solving import solved

VISITORS_AT_ONCE = 4


class Visitors(Crowd):
    """Visitors, each from an address of its own, who solve a challenge; and back ends that ask for captchas."""

    def __init__(self, connect: Callable[[str], HTTPConnection], key: str, code_of: Callable[[str], str]) -> None:
        """`connect` takes the address to connect from, `code_of` the id of a captcha."""
        super().__init__(VISITORS_AT_ONCE)
        self._connect, self._key, self._code_of = connect, key, code_of
        self._addresses = itertools.product(range(1, 255), repeat=3)
        self.outcomes, self._visits = Counter[str](), 0

    def work(self) -> None:
        with closing(self._connect("127.0.0.1")) as back_end:
            while not self.stop.wait(0.2):  # so that the stock lasts for a slow restart
                self._visit()
                for _ in range(5):
                    self._ask(back_end, "GET", "/generate")

    def _visit(self) -> None:
        with closing(self._connect("127.{}.{}.{}".format(*next(self._addresses)))) as visitor:
            challenge = self._ask(visitor, "GET", "/challenge")
            if not challenge:
                return
            shown = json.loads(challenge)
            self._ask(visitor, "GET", "/" + shown["fileURL"].rpartition("/")[2])
            given = {"id": shown["id"], "answer": self._code_of(shown["id"])}
            if shown.get("work"):
                given["work"] = solved(shown["work"])
            verified = self._ask(visitor, "POST", "/verify", json.dumps(given))
            if verified and not (verdict := json.loads(verified))["success"]:
                self.outcomes[f"/verify not solved: {verdict['reason']}"] += 1
        self._visits += 1

    def _ask(self, client: HTTPConnection, method: str, path: str, body: str | None = None) -> bytes:
        """Count what becomes of a request; return the body if it succeeds."""
        headers = {"Content-Type": "application/json", "X-Forwarded-For": "203.0.113.1"}
        if path == "/generate":
            headers["Authorization"] = f"Bearer {self._key}"
        name = re.sub(r"[0-9a-f]{32}", "{id}", path)
        try:
            client.request(method, f"/captcha{path}", body, headers)
            answer = client.getresponse()
            content = answer.read()
        except (OSError, HTTPException) as error:
            self.outcomes[f"{name} {type(error).__name__}"] += 1
            return b""
        self.outcomes[f"{name} {answer.status}"] += 1
        return content if answer.status == 200 else b""

    def wait_for_visits(self, count: int) -> None:
        """Wait until so many visits more have come to their end."""
        before = self._visits
        wait_until(lambda: self._visits >= before + count, f"{count} visits, after {self.outcomes}", 120)
