"""Workers are started once, found again, and replaced when they die."""

import os
import signal
import stat
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent.errors import EngineError
from agent.serve.supervise import ensure_worker, stop_worker, worker_status


def ask(socket: Path, tokens: int = 4, **fields: Any) -> httpx2.Response:
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(socket)), timeout=30) as client:
        body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": tokens, **fields}
        return client.post("http://worker/v1/chat/completions", json=body)


def test_a_worker_is_warm_for_the_next_run_and_private(tiny_model: Path, runtime: Path) -> None:
    endpoint = ensure_worker(tiny_model, runtime_dir=runtime, context=1024)
    (first,) = worker_status(runtime)
    assert first.alive
    assert endpoint == ensure_worker(tiny_model, runtime_dir=runtime, context=1024)
    (second,) = worker_status(runtime)
    assert first.pid == second.pid
    assert endpoint.uds is not None
    assert stat.S_IMODE(endpoint.uds.stat().st_mode) == 0o600
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    assert stop_worker(tiny_model, runtime_dir=runtime, context=1024)
    assert worker_status(runtime) == ()
    with pytest.raises(ProcessLookupError):
        os.kill(first.pid, 0)


def test_two_starters_share_one_worker(tiny_model: Path, runtime: Path) -> None:
    found: list[Path | None] = []

    def start() -> None:
        found.append(ensure_worker(tiny_model, runtime_dir=runtime, context=1024).uds)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(worker_status(runtime)) == 1


def test_a_killed_worker_breaks_its_request_and_is_replaced(
    tiny_model: Path, runtime: Path
) -> None:
    endpoint = ensure_worker(tiny_model, runtime_dir=runtime, context=4096)
    assert endpoint.uds is not None
    (worker,) = worker_status(runtime)
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 4000, "stream": True,
            "pointsman": {"grammar": "root ::= [a-z]{1900} [a-z]{1900}"}}  # fmt: skip
    uds = httpx2.HTTPTransport(uds=str(endpoint.uds))
    with (
        httpx2.Client(transport=uds, timeout=30) as client,
        client.stream("POST", "http://worker/v1/chat/completions", json=body) as response,
    ):
        lines = response.iter_lines()
        next(lines)
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(httpx2.TransportError):
            list(lines)
    told: list[str] = []
    started = time.monotonic()
    again = ensure_worker(tiny_model, runtime_dir=runtime, context=4096, notify=told.append)
    assert time.monotonic() - started < 5
    assert again.uds is not None
    assert ask(again.uds).status_code == 200
    assert "died" in told[0]


def test_an_idle_worker_ends_and_that_is_no_crash(tiny_model: Path, runtime: Path) -> None:
    endpoint = ensure_worker(tiny_model, runtime_dir=runtime, context=1024, idle_s=0.3)
    assert endpoint.uds is not None
    deadline = time.monotonic() + 10
    while endpoint.uds.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    told: list[str] = []
    ensure_worker(tiny_model, runtime_dir=runtime, context=1024, idle_s=60, notify=told.append)
    assert told == []


def test_a_file_that_is_no_model_gives_the_workers_reason(runtime: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + os.urandom(4096))
    with pytest.raises(EngineError, match=r"bad\.gguf cannot be loaded"):
        ensure_worker(bad, runtime_dir=runtime, context=1024)
    assert worker_status(runtime) == ()


def test_a_truncated_model_is_refused(tiny_model: Path, runtime: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_model.read_bytes()[:-100_000])
    with pytest.raises(EngineError, match=r"cut\.gguf"):
        ensure_worker(cut, runtime_dir=runtime, context=1024)


def test_a_missing_model_is_named(runtime: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"none\.gguf"):
        ensure_worker(tmp_path / "none.gguf", runtime_dir=runtime)


def test_a_worker_gets_no_keys(
    tiny_model: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    ensure_worker(tiny_model, runtime_dir=runtime, context=1024)
    (worker,) = worker_status(runtime)
    environment = Path(f"/proc/{worker.pid}/environ")
    if not environment.exists():
        pytest.skip("no /proc here")
    assert b"sk-secret" not in environment.read_bytes()


CRASH = """
import sys
if sys.argv[1:2] == ["--model"] or "agent.serve.worker" in " ".join(sys.orig_argv):
    import importlib.abc, importlib.util, os, signal

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name != "agent.engine.engine":
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            run = spec.loader.exec_module

            def patched(module):
                run(module)
                test = module.Engine.self_test

                def self_test(engine, **options):
                    if "--plain-cpu" not in sys.argv:
                        os.kill(os.getpid(), signal.SIGILL)
                    return test(engine, **options)

                module.Engine.self_test = self_test

            spec.loader.exec_module = patched
            return spec

    sys.meta_path.insert(0, Finder())
"""
"""A sitecustomize that makes every worker with fast kernels do what AMX code by gcc 12.2 does."""


def test_kernels_that_crash_are_left_out_and_remembered(
    tiny_model: Path, runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import platformdirs

    from agent.serve import cpupath

    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(CRASH)
    monkeypatch.setenv("PYTHONPATH", str(site))
    told: list[str] = []
    endpoint = ensure_worker(tiny_model, runtime_dir=runtime, context=1024, notify=told.append)
    assert endpoint.uds is not None
    assert ask(endpoint.uds).status_code == 200
    assert "SIGILL in the self-test" in told[0]
    (found,) = cpupath.avoided(platformdirs.user_cache_path("pointsman"))
    assert (found.name, found.reason) == (tiny_model.name, "SIGILL")
    stop_worker(tiny_model, runtime_dir=runtime, context=1024)
    ensure_worker(tiny_model, runtime_dir=runtime, context=1024, notify=told.append)
    assert len(told) == 1, "the second start knows"
