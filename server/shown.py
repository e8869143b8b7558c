"""Until when pictures may be shown."""

from collections import OrderedDict
from datetime import UTC, datetime

from pool.pool import Pool, Shown
from server.group_commit import GroupCommit

_MOST = 50_000  # pictures that are remembered, some 200 bytes each


class ShownPictures:
    """Remembers until when pictures may be shown, and looks up those it does not know. Lives in one event loop.

    The time does not change once a captcha is handed out. Only a captcha that nobody has seen is given back to the
    pool, and then its next expiry is later.
    """

    def __init__(self, pool: Pool) -> None:
        self._until: OrderedDict[str, datetime] = OrderedDict()
        self.look_ups: GroupCommit[str, Shown] = GroupCommit("pictures", pool.look_up_all)

    def note(self, file_id: str, until: datetime) -> None:
        """Remember a picture, and forget the oldest if there are too many."""
        self._until[file_id] = until
        if len(self._until) > _MOST:
            self._until.popitem(last=False)

    async def until(self, file_id: str) -> datetime | None:
        """Return when a picture expires, or did; None for a captcha that was not issued yet.

        Raises:
            UnknownCaptchaError: there is no such captcha.
            DatabaseError: this one is not remembered, and the database does not answer.
        """
        until = self._until.get(file_id)
        if until and until > datetime.now(UTC):
            return until
        until = (await self.look_ups.ask(file_id)).expires_at
        if until:
            self.note(file_id, until)
        return until
