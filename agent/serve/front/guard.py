"""Who may ask: whoever has the token, from this machine, and no web page.

A page in the user's browser can send requests to 127.0.0.1 and, by rebinding a name of its own,
even read the answers. It cannot hide its `Origin`, nor send another `Host` than its own name.
"""

import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from agent.serve.refusals import Dialect

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Guard", "dialect_of"]

HOSTS = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """ASGI middleware: Host allow-list, no Origin, and the token, in this order."""

    def __init__(self, app: "ASGIApp", *, token: str, hosts: Sequence[str] = HOSTS) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            return
        refused = self._refusal(Headers(scope=scope))
        if refused is None:
            await self._app(scope, receive, send)
            return
        status, text = refused
        body = _body(status, text, dialect_of(scope["path"], Headers(scope=scope)))
        headers = {"www-authenticate": "Bearer"} if status == 401 else {}
        await JSONResponse(body, status_code=status, headers=headers)(scope, receive, send)

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in self._hosts:
            return 403, "this server answers to its loopback address only"
        if "origin" in headers:
            return 403, "requests of web pages are refused"
        if not self._knows(headers):
            return 401, "the token is missing or wrong: it is in the file that agent serve names"
        return None

    def _knows(self, headers: Headers) -> bool:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token)


def dialect_of(path: str, headers: Headers) -> Dialect:
    """Whose errors a client expects."""
    anthropic = path.startswith("/v1/messages") or "anthropic-version" in headers
    return "anthropic" if anthropic else "openai"


def _body(status: int, text: str, dialect: Dialect) -> dict[str, Any]:
    kind = "authentication_error" if status == 401 else "permission_error"
    if dialect == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": text}}
    code = "invalid_api_key" if status == 401 else "forbidden"
    return {"error": {"message": text, "type": kind, "param": None, "code": code}}
