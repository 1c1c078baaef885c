"""Keeps the first and the last part of a stream; what was between is counted, not stored."""

from collections import deque


class CappedOutput:
    """Holds at most `limit` bytes of a stream: half from its start, half from its end."""

    def __init__(self, limit: int) -> None:
        self._head_limit = max(limit // 2, 1)
        self._tail_limit = max(limit - self._head_limit, 1)
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.total = 0

    def feed(self, data: bytes) -> None:
        self.total += len(data)
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail.append(data)
            self._tail_size += len(data)
            self._trim()

    def _trim(self) -> None:
        while self._tail_size > self._tail_limit:
            excess = self._tail_size - self._tail_limit
            first = self._tail.popleft()
            if len(first) > excess:
                self._tail.appendleft(first[excess:])
                self._tail_size -= excess
                return
            self._tail_size -= len(first)

    def value(self) -> bytes:
        """The stream, with a line in place of the middle if one was dropped."""
        dropped = self.total - len(self._head) - self._tail_size
        note = f"\n[... {dropped} bytes dropped ...]\n".encode() if dropped else b""
        return bytes(self._head) + note + b"".join(self._tail)
