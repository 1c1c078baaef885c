"""Redaction: nothing secret leaves, everything comes back."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.secrets import Redactor, Restorer, env_values, find

# Built from parts, so that no scanner takes this file for a leak.
BODY = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3gH6jK9mN2"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n{BODY}\n-----END RSA PRIVATE KEY-----"
JWT = f"eyJ{BODY[:20]}.eyJ{BODY}.{BODY[5:30]}"
SHAPES = {
    "anthropic": f"sk-ant-api03-{BODY}",
    "openai": f"sk-proj-{BODY}",
    "aws": "AKIA" + "ABCDEFGH12345678",
    "github": f"ghp_{BODY[:36]}",
    "gitlab": f"glpat-{BODY[:20]}",
    "slack": f"xoxb-{BODY[:24]}",
    "google": f"AIza{BODY[:35]}",
    "stripe": f"sk_live_{BODY[:24]}",
    "huggingface": f"hf_{BODY[:34]}",
    "jwt": JWT,
    "pem": PEM,
}


@pytest.mark.parametrize(("kind", "secret"), SHAPES.items())
def test_shapes(kind: str, secret: str) -> None:
    text = f"before {secret} after\nKEY={secret}\n'{secret}'"
    assert [text[s.start : s.end] for s in find(text)] == [secret] * 3
    assert {s.kind for s in find(text)} == {kind}


def test_only_the_password_of_a_url() -> None:
    text = "postgres://admin:hunter2x@db.example.com:5432/app and https://example.com/a:b@c"
    assert [text[s.start : s.end] for s in find(text)] == ["hunter2x"]


@pytest.mark.parametrize(
    "text",
    [
        "def api_key(self): return self.password",
        'password = "username_or_email"',
        'secret_key = get_secret("name-of-it-1")',
        "sha256 = 'b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9'",
        "https://user@example.com/path",
        "sk-learn and risk-free-task-management",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ],
)
def test_ordinary_code_is_left_alone(text: str) -> None:
    assert find(text) == ()


def test_assignments_count_if_they_look_random() -> None:
    text = 'API_KEY = "q8Zt4Lw9Xv2Bn7"'
    assert [text[s.start : s.end] for s in find(text)] == ["q8Zt4Lw9Xv2Bn7"]


def test_env_values(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text(
        "# comment=notasecretvalue\nDEBUG=true\nDB='p@ss phrase'\nexport TOKEN=abcdefgh12 # x\n"
        'EMPTY=\nQUOTED="with = sign"\n',
        encoding="utf-8",
    )
    (tmp_path / "dir").mkdir()
    found = env_values(env, tmp_path / "missing", tmp_path / "dir")
    assert found == ("abcdefgh12", "p@ss phrase", "with = sign")
    redactor = Redactor(key=b"k", values=found)
    sent = redactor.redact("connect('p@ss phrase')")
    assert "p@ss" not in sent
    assert redactor.restore(sent) == "connect('p@ss phrase')"


def test_placeholders_are_stable_and_keyed() -> None:
    secret = SHAPES["github"]
    first, again = Redactor(key=b"run1"), Redactor(key=b"run1")
    assert first.redact(secret) == again.redact(f"{secret}") != Redactor(key=b"r2").redact(secret)
    assert first.redact(first.redact(secret)) == first.redact(secret)
    assert first.count == 1
    stranger = Redactor(key=b"run1")
    assert stranger.restore(first.redact(secret)) == first.redact(secret)


def test_inside_json_the_secret_is_escaped() -> None:
    redactor = Redactor(key=b"k")
    placeholder = redactor.redact(PEM)
    text = json.dumps({"text": f"key = {placeholder}"})
    assert json.loads(redactor.restore_json(text)) == {"text": f"key = {PEM}"}


pieces = st.lists(
    st.sampled_from([*SHAPES.values(), "x = 1\n", "POINTSMAN_", "é", " ", "POINTSMAN_SECRET_0a"]),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(pieces)
def test_redact_then_restore_is_the_identity_and_nothing_leaks(parts: list[str]) -> None:
    text = " ".join(parts)
    redactor = Redactor(key=b"k")
    sent = redactor.redact(text)
    assert redactor.restore(sent) == text
    assert not any(secret in sent for secret in SHAPES.values())
    assert redactor.restore(redactor.hide(text)) == text


@settings(max_examples=200, deadline=None)
@given(pieces, st.lists(st.integers(0, 400), max_size=12))
def test_streams_restore_wherever_they_are_cut(parts: list[str], cuts: list[int]) -> None:
    redactor = Redactor(key=b"k")
    sent = redactor.redact(" ".join(parts))
    edges = sorted({0, len(sent), *(c for c in cuts if c < len(sent))})
    stream = Restorer(redactor.restore)
    shown = [stream.feed(sent[a:b]) for a, b in itertools.pairwise(edges)]
    assert "".join(shown) + stream.flush() == " ".join(parts)


def test_a_stream_is_held_back_no_longer_than_needed() -> None:
    stream = Restorer(Redactor(key=b"k").restore)
    assert stream.feed("POINTS out that PO") == "POINTS out that "
    assert stream.feed("ST") == "POST"


def test_large_and_hostile_text_is_scanned_in_linear_time() -> None:
    import time

    texts = [
        "-----BEGIN RSA PRIVATE KEY-----\n" * 3000,
        "a://" * 50_000,
        "eyJ" * 50_000,
        "password = '" * 20_000,
        "bearer " * 40_000,
    ]
    for text in texts:
        began = time.process_time()
        find(text)
        assert time.process_time() - began < 2.0, text[:20]
