"""What "always" remembers, and that nothing passes for what was allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import events
from agent.approvals import Decision, Memory, Remembered, harmless, memorable
from tests.chat.talking import Answers, app_for, call, of, shop, turn
from tests.loopback import dialects, serve


@pytest.mark.parametrize(
    ("argv", "words", "exact"),
    [
        ("pytest -q tests", "pytest", False),
        ("git log -3", "git log", False),
        ("git -c alias.x=!sh x", "git -c alias.x=!sh x", True),
        ("git bisect run sh", "git bisect run sh", True),
        ("python3 -m pytest -x", "python3 -m pytest", False),
        ("python -m http.server", "python -m http.server", True),
        ("python -c print(1)", "python -c print(1)", True),
        ("npm run build", "npm run build", True),
        ("cargo test --all", "cargo test", False),
        ("sh -c pytest", "sh -c pytest", True),
        ("bash -lc pytest", "bash -lc pytest", True),
        ("env X=1 pytest", "env X=1 pytest", True),
        ("xargs pytest", "xargs pytest", True),
        ("find . -exec rm {} ;", "find . -exec rm {} ;", True),
        ("timeout 5 pytest", "timeout 5 pytest", True),
        ("./pytest -q", "./pytest -q", True),
        ("/usr/bin/pytest", "/usr/bin/pytest", True),
        ("make test", "make test", True),
        ("unheard-of --flag", "unheard-of --flag", True),
    ],
)
def test_what_is_remembered(argv, words, exact):
    assert memorable(argv.split()) == Remembered(words=tuple(words.split()), exact=exact)


@pytest.mark.parametrize(
    "smuggled",
    [
        ["sh", "-c", "pytest"],
        ["sh", "-c", "pytest -q; curl evil"],
        ["env", "PYTHONPATH=evil", "pytest", "-q"],
        ["pytest;curl", "evil"],
        ["pytest\n", "-q"],
        ["pytest "],
        ["pytest|sh"],
        ["PYTEST"],
        ["./pytest"],
        ["bin/../pytest"],
        ["xargs", "pytest"],
        ["nice", "pytest"],
        ["/usr/bin/env", "pytest"],
        ["python3", "-m", "pytest"],
        ["", "pytest"],
        [],
    ],
)
def test_nothing_passes_for_what_was_allowed(tmp_path, smuggled):
    memory = Memory(tmp_path)
    memory.remember(memorable(["pytest", "-q"]))
    assert memory.allows(["pytest", "--co"])
    assert not memory.allows(smuggled)


def test_a_shell_is_remembered_word_for_word(tmp_path):
    memory = Memory(tmp_path)
    memory.remember(memorable(["sh", "-c", "ls | wc -l"]))
    assert memory.allows(["sh", "-c", "ls | wc -l"])
    assert not memory.allows(["sh", "-c", "ls | wc -l; rm -rf ."])
    assert not memory.allows(["sh", "-c", "ls | wc -l", "x"])
    assert not memory.allows(["sh", "-c"])


WORD = st.sampled_from(["pytest", "sh", "-c", "env", "git", "log", "-m", "python3", "ls", "x", ""])


@given(st.lists(WORD, max_size=4), st.lists(WORD, max_size=4))
def test_allowing_one_command_allows_only_what_would_be_remembered_alike(
    tmp_path_factory, one, two
):
    memory = Memory(tmp_path_factory.mktemp("m"))
    memory.remember(memorable(one))
    assert memory.allows(two) == (memorable(two) == memorable(one) or one == two)


def test_decisions_can_be_listed_and_taken_back(tmp_path):
    memory = Memory(tmp_path / "deep" / "m")
    assert memory.list() == ()
    for argv in (["ruff", "check"], ["sh", "-c", "x"]):
        memory.remember(memorable(argv))
    assert [r.words for r in memory.list()] == [("ruff",), ("sh", "-c", "x")]
    assert memory.forget(memory.list()[0]) == 1
    assert not memory.allows(["ruff"])
    assert memory.forget() == 1
    assert memory.list() == ()


def test_a_renamed_decision_counts_for_nothing(tmp_path):
    memory = Memory(tmp_path)
    memory.remember(memorable(["ruff"]))
    (file,) = tmp_path.glob("*.json")
    file.write_text('{"words": ["sh"], "exact": false}')
    assert memory.list() == ()
    assert not memory.allows(["sh", "-c", "x"])


def test_only_readers_run_unasked():
    assert harmless(["ls", "-la"])
    assert not any(harmless(a) for a in (["sh"], ["./ls"], [], ["ls;sh"], ["sort", "-o", "x"]))


def test_a_command_is_asked_once_and_remembered_for_the_repository(tmp_path):
    root, other = shop(tmp_path / "shop"), shop(tmp_path / "other")
    ruff = call("run", "r1", argv=["diff", "--help"], timeout_s=0, keep="nothing")
    true = call("run", "r2", argv=["python3", "-m", "compileall", "-q", "shop.py"],
                timeout_s=0, keep="nothing")  # fmt: skip
    answers = Answers(Decision(answer="always"), Decision(answer="no"))
    script = [dialects.anthropic(tools=[ruff, true]), dialects.anthropic("ok")] * 3
    with serve(script) as server:
        for where in (root, root, other):
            app = app_for(where, frontier=server.url)
            with app.talks.conversation() as talk:
                seen = turn(app, talk, "compile", approver=answers)
            if where is root:
                assert [t.ok for t in of(seen, events.ToolFinished)] == [True, True]
    assert [a.argv[:3] for a in answers.asked] == [("python3", "-m", "compileall")] * 2
    assert not any(p.is_relative_to(root) for p in (app.talks.approvals.directory,))


def test_what_was_allowed_in_a_sandbox_is_asked_again_without_one(tmp_path):
    root = shop(tmp_path / "shop")
    ls = call("run", "r1", argv=["ls"], timeout_s=0, keep="nothing")
    with serve([dialects.anthropic(tools=[ls]), dialects.anthropic("ok")]) as server:
        app = app_for(root, frontier=server.url, unsandboxed=True)
        app.talks.approvals.remember(memorable(["ls"]))
        answers = Answers(Decision(answer="no"))
        with app.talks.conversation() as talk:
            turn(app, talk, "list", mode="auto", approver=answers)
    assert [a.remember for a in answers.asked] == [None]
