"""How many tokens a prompt has, at the place it would go to."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agent.providers.base import estimate_tokens
from agent.types import Endpoint, Message, Request

if TYPE_CHECKING:
    from agent.router import Place

__all__ = ["Counter", "counter"]

Counter = Callable[[Request, "Place"], int]


def counter(local: Callable[[], Endpoint | None]) -> Counter:
    """Exact for the local model: its own template and vocabulary. Elsewhere an estimate that errs
    upwards: nothing is sent away to be counted."""

    def count(request: Request, place: "Place") -> int:
        endpoint = local() if place.location == "local" else None
        found = _ask(endpoint, request) if endpoint else None
        return found if found is not None else estimate_tokens(request)

    return count


def _ask(endpoint: Endpoint, request: Request) -> int | None:
    """What the worker counts; None when it does not answer."""
    import httpx2

    wanted = {"messages": [_message(m) for m in request.messages], "tools": _tools(request)}
    uds = None if endpoint.uds is None else str(endpoint.uds)
    url = f"{endpoint.base_url.removesuffix('/v1')}/tokenize"
    try:
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=uds), timeout=30) as http:
            response = http.post(url, content=json.dumps(wanted))
        return int(response.json()["count"]) if response.status_code == 200 else None
    except (httpx2.HTTPError, ValueError, KeyError):
        return None


def _message(message: Message) -> dict[str, Any]:
    calls = [
        {"type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for c in message.tool_calls
    ]
    return {"role": message.role, "content": message.content, "tool_calls": calls}


def _tools(request: Request) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": t.name,
                "description": t.description,
                "parameters": json.loads(t.schema),
            },
        }
        for t in request.tools
    ]
