"""`HEAD` for every route that answers `GET`."""

from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """ASGI middleware that asks for what `GET` answers and leaves out the body."""

    def __init__(self, app: ASGIApp, own: Collection[str]) -> None:
        """`own` are the paths that answer `HEAD` by themselves, since their `GET` hands something out."""
        self.app = app
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, as a `GET` if it is a `HEAD`."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"] in self._own:
            await self.app(scope, receive, send)
            return

        async def send_no_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        asked = {**scope, "method": "GET"}
        await self.app(asked, receive, send_no_body)
        scope["route"] = asked.get("route")  # for the metrics
