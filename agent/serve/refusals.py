"""Errors as the two dialects tell them: one table of status codes, types and codes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agent.errors import (
    AuthError,
    BudgetExceeded,
    Cancelled,
    ContextOverflow,
    EngineError,
    LedgerError,
    PointsmanError,
    PolicyError,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)

__all__ = ["Busy", "Dialect", "NoSuchModel", "Refusal", "TooLarge", "refusal"]

Dialect = Literal["openai", "anthropic"]


class Busy(PointsmanError):
    """Too many requests are waiting."""


class NoSuchModel(PointsmanError):
    """The client names a model that is not served here."""

    exit_code = 2


class TooLarge(RequestRejected):
    """The body is larger than this server reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error ready to be sent."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Row:
    error: type[PointsmanError]
    status: int
    openai: str
    code: str
    anthropic: str


_ROWS = (
    _Row(ContextOverflow, 400, "invalid_request_error", "context_length_exceeded",
         "invalid_request_error"),
    _Row(TooLarge, 413, "invalid_request_error", "request_too_large", "request_too_large"),
    _Row(RequestRejected, 400, "invalid_request_error", "invalid_request",
         "invalid_request_error"),
    _Row(NoSuchModel, 404, "invalid_request_error", "model_not_found", "not_found_error"),
    _Row(BudgetExceeded, 402, "insufficient_quota", "budget_reached", "billing_error"),
    _Row(PolicyError, 403, "permission_error", "policy", "permission_error"),
    _Row(Busy, 503, "overloaded_error", "queue_full", "overloaded_error"),
    _Row(Cancelled, 499, "cancelled", "cancelled", "api_error"),
    _Row(RateLimited, 429, "rate_limit_error", "rate_limited", "rate_limit_error"),
    _Row(AuthError, 502, "upstream_error", "upstream_auth", "api_error"),
    _Row(ProviderUnavailable, 502, "upstream_error", "upstream_unavailable", "api_error"),
    _Row(ProviderError, 502, "upstream_error", "upstream_error", "api_error"),
    _Row(EngineError, 500, "engine_error", "engine_error", "api_error"),
    _Row(LedgerError, 500, "server_error", "ledger_error", "api_error"),
    _Row(PointsmanError, 500, "engine_error", "engine_error", "api_error"),
)  # fmt: skip
_FINAL = (BudgetExceeded, PolicyError, NoSuchModel)
"""Asking again cannot help; the header says so to SDKs that would."""


def refusal(error: PointsmanError, dialect: Dialect = "openai") -> Refusal:
    """The error as this dialect tells it, with when or whether to try again."""
    row = next(r for r in _ROWS if isinstance(error, r.error))
    text = f"{error}; try: {error.remedy}" if error.remedy else str(error)
    if dialect == "anthropic":
        body = {"type": "error", "error": {"type": row.anthropic, "message": text}}
    else:
        body = {"error": {"message": text, "type": row.openai, "param": None, "code": row.code}}
    status = 529 if dialect == "anthropic" and isinstance(error, Busy) else row.status
    return Refusal(status=status, body=body, headers=_headers(error))


def _headers(error: PointsmanError) -> Mapping[str, str]:
    if isinstance(error, Busy):
        return {"retry-after": "1"}
    if isinstance(error, RateLimited) and error.retry_after_s is not None:
        return {"retry-after": f"{error.retry_after_s:.0f}"}
    return {"x-should-retry": "false"} if isinstance(error, _FINAL) else {}
