"""The errors of the agent; with those of `tools.errors` they form one tree with exit codes.

PointsmanError                   exit code
├── ConfigError                  2   a setting is unknown, malformed or contradictory
├── BudgetExceeded               3   a reservation would pass a budget; nothing was sent
├── PolicyError                  4   denied: local-only, privacy label, missing key, refusal
├── ProviderError                5   one attempt at a model failed
│   ├── ProviderUnavailable          no answer, 5xx, broken or truncated stream
│   ├── RateLimited                  429/529; `retry_after_s` if the server said so
│   ├── AuthError                4   401/403
│   ├── RequestRejected              4xx: our request is wrong; retrying cannot help
│   └── ContextOverflow              the request does not fit the model's window
├── LedgerError                  5   the ledger cannot be written: nothing is sent
├── EngineError                  5   the local engine: worker gone, model unloadable
└── Cancelled                  130   the user interrupted
(and EditError, ConflictError, RepoError, TestCommandError, SandboxError from tools.errors)
"""

from typing import Literal

from tools.errors import PointsmanError

__all__ = [
    "AuthError",
    "BudgetExceeded",
    "Cancelled",
    "ConfigError",
    "ContextOverflow",
    "EngineError",
    "LedgerError",
    "PointsmanError",
    "PolicyError",
    "ProviderError",
    "ProviderUnavailable",
    "RateLimited",
    "RequestRejected",
]

Billed = Literal["no", "unknown"]


class ConfigError(PointsmanError):
    """A setting is unknown, malformed or contradictory."""

    exit_code = 2


class BudgetExceeded(PointsmanError):
    """A reservation would pass a budget. Nothing was sent."""

    exit_code = 3


class PolicyError(PointsmanError):
    """Denied by policy: local-only, a privacy label, a missing key, a refused approval."""

    exit_code = 4


class ProviderError(PointsmanError):
    """One attempt at a model failed. `billed` decides how its ledger row is closed."""

    exit_code = 5

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        billed: Billed = "unknown",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.billed = billed
        self.retry_after_s = retry_after_s


class ProviderUnavailable(ProviderError):
    """No answer, a server error, or a stream that broke off. Worth another attempt."""


class RateLimited(ProviderError):
    """The provider asked us to wait. Worth another attempt."""


class AuthError(ProviderError):
    """The credential was refused."""

    exit_code = 4


class RequestRejected(ProviderError):
    """The request itself was refused: an attempt with the same request cannot succeed."""


class ContextOverflow(ProviderError):
    """The request does not fit the model's window. Nothing was truncated."""


class LedgerError(PointsmanError):
    """The ledger cannot be read or written. Nothing is sent without it."""

    exit_code = 5


class EngineError(PointsmanError):
    """The local engine failed: worker gone, model unloadable, self-test not passed."""

    exit_code = 5


class Cancelled(PointsmanError):
    """The user interrupted."""

    exit_code = 130
