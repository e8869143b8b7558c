"""Many clients at once, and what became of what they were given."""

import requests
from sqlalchemy import Engine, select

from pool import database
from pool.models import State, captcha
from tests.conftest import Server
from tests.support.crowd import Crowd

CLIENTS = 4


def ids_in_state(engine: Engine, state: State) -> set[str]:
    with database.transaction(engine) as connection:
        return set(connection.scalars(select(captcha.c.id).where(captcha.c.state == state)))


class Load(Crowd):
    """Clients that ask for captchas without a pause and note what they get."""

    def __init__(self, server: Server, path: str = "/generate") -> None:
        super().__init__(CLIENTS)
        self._url = server.url + path
        self.ids: list[str] = []
        self.answers: list[requests.Response] = []
        self.lost: list[requests.RequestException] = []
        """what ended a client"""

    def work(self) -> None:
        with requests.Session() as session:
            while not self.stop.is_set():
                try:
                    answer = session.get(self._url, timeout=30)
                except requests.RequestException as error:
                    self.lost.append(error)
                    return
                self.answers.append(answer)
                if answer.ok:
                    self.ids.append(answer.json()["id"])

    def is_refused(self) -> bool:
        """Return whether the last answer was a refusal."""
        return bool(self.answers) and not self.answers[-1].ok
