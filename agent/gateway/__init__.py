"""The only spender."""

from agent.gateway.core import Gateway
from agent.gateway.egress import check_egress, fingerprint
from agent.gateway.retry import RetryPolicy

__all__ = ["Gateway", "RetryPolicy", "check_egress", "fingerprint"]
