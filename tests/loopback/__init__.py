"""Fake model servers on loopback, scripted, with every fault a real one can show.

with serve([dialects.anthropic("hello")]) as server:
    AnthropicProvider(base_url=server.url, ...)
    server.received[0].body["messages"]
"""

from tests.loopback import dialects, faults
from tests.loopback.server import Loopback, Received, Reply, serve

__all__ = ["Loopback", "Received", "Reply", "dialects", "faults", "serve"]
