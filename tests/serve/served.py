"""A real `agent serve` in a process of its own, and what it needs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from agent.ledger import Ledger, Row

SECRET = "sk-live-4f9a8c7b6d5e4f3a2b1c"


@dataclass(slots=True)
class Served:
    """A running server, its token and its directories."""

    process: "subprocess.Popen[str]"
    url: str
    token: str
    home: Path
    errors: Path

    @property
    def http(self) -> httpx2.Client:
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60)

    def chat(self, **fields: Any) -> httpx2.Response:
        body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 16, **fields}
        with self.http as http:
            return http.post("/v1/chat/completions", json=body)

    def rows(self) -> tuple[Row, ...]:
        """Newest first."""
        with Ledger(self.home / "state" / "pointsman" / "ledger.sqlite") as ledger:
            return tuple(sorted(ledger.rows(limit=1000), key=lambda r: -r.id))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=20)


def environment(home: Path, runtime: Path, **more: str) -> dict[str, str]:
    kept = {k: os.environ[k] for k in ("PATH", "HOME", "LANG") if k in os.environ}
    dirs = {f"XDG_{n}_HOME": str(home / n.lower()) for n in ("CACHE", "CONFIG", "DATA", "STATE")}
    quiet = {"PYTHONUNBUFFERED": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    return {**kept, **dirs, **quiet, "XDG_RUNTIME_DIR": str(runtime), **more}


@contextmanager
def served(home: Path, runtime: Path, *words: str, **variables: str) -> Iterator[Served]:
    """`agent serve` with these words, in `home/work`, where a `.env` holds a secret."""
    work = home / "work"
    work.mkdir(parents=True, exist_ok=True)
    (work / ".env").write_text(f"API_TOKEN={SECRET}\n")
    errors = home / "stderr"
    argv = (sys.executable, "-P", "-m", "agent.cli.main", "serve", "--port", "0", "--json", *words)
    with errors.open("w") as log:
        process = subprocess.Popen(
            argv, cwd=work, env=environment(home, runtime, **variables),
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, errors.read_text()
        told = json.loads(line)
        token = Path(told["token_file"]).read_text().strip()
        yield Served(process, told["url"], token, home, errors)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=20)
        assert process.stdout is not None
        process.stdout.close()
