"""`agent serve` as it was told to be: what it may spend, where it may send, and how it ends."""

import socket
import time
from pathlib import Path

from agent.serve.supervise import stop_all
from tests.loopback.server import Loopback
from tests.serve.served import served

HELLO = [{"role": "user", "content": "hello"}]


def test_local_only_budgets_and_labels_hold(
    paid: Loopback, tiny_model: Path, tmp_path: Path
) -> None:
    keys = {"ANTHROPIC_API_KEY": "sk-ant-test", "POINTSMAN_ANTHROPIC_BASE_URL": paid.url}
    before = len(paid.received)
    for words, variables, status in (
        (("--local-only",), {}, 403),
        (("--max-cost", "0.0001"), {}, 402),
        ((), {"POINTSMAN_PRIVACY_LOCAL_ONLY": "secret/**"}, 403),
    ):
        with served(
            tmp_path, tmp_path, *words, "--local-model", "none", **keys, **variables
        ) as running:
            assert running.chat(model="auto").status_code == status, words
            assert running.stop() == 0
    assert len(paid.received) == before


def test_a_place_that_is_down_is_left_out_and_any_model_name_is_routed(
    paid: Loopback, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        port = taken.getsockname()[1]
        variables = {
            "ANTHROPIC_API_KEY": "sk-ant-test",
            "POINTSMAN_ANTHROPIC_BASE_URL": paid.url,
            "POINTSMAN_ONPREM_URL": f"http://127.0.0.1:{port}/v1",
            "POINTSMAN_ONPREM_MODEL": "far",
        }
        words = ("--local-model", "none", "--any-model")
        with served(tmp_path, tmp_path, *words, **variables) as running:
            body = running.chat(model="gpt-whatever").json()
            assert body["pointsman"]["location"] == "frontier"
            states = [(r.entry.location, r.state) for r in running.rows()]
            assert states == [("frontier", "settled"), ("onprem", "released")]
            refused = running.chat(model="far")
            assert (refused.status_code, refused.json()["error"]["code"]) == (
                502, "upstream_unavailable",
            )  # fmt: skip


def test_ctrl_c_ends_it_cleanly_with_an_answer_under_way(tiny_model: Path, tmp_path: Path) -> None:
    words = ("--local-model", str(tiny_model), "--strategy", "copy")
    with served(tmp_path, tmp_path, *words) as running:
        body = running.chat(model="local").json()
        assert body["pointsman"]["decode"]["strategy"].startswith("copy")
        fields = {"model": "local", "max_tokens": 3500, "temperature": 1.5, "stream": True}
        with running.http as http, http.stream(
            "POST", "/v1/chat/completions", json={"messages": HELLO, **fields}
        ) as response:  # fmt: skip
            lines = response.iter_lines()
            next(lines)
            began = time.monotonic()
            assert running.stop() == 0
            assert time.monotonic() - began < 8
            assert '"cancelled"' in "".join(lines)
        assert [r.state for r in running.rows()] == ["unknown", "settled"]
        assert "Traceback" not in running.errors.read_text()
        assert "stopped: 2 requests" in running.errors.read_text()
    stop_all(tmp_path / "pointsman")
