"""A file parsed again from the tree before it has the record it would have had from scratch."""

import random

from tools.index.grammar import walk
from tools.index.reparse import LARGE, Trees

BODY = "".join(
    f"class C{i}:\n    def m{i}(self, x):\n        return f{i}(x, '(' + \"[\")\n\n"
    for i in range(800)
)
PIECES = ["def g(y):\n    pass\n", "'", "(", "\n", "    ", '"""', "class D: x = 1\n", "# (\n", ")"]


def test_after_any_edits_of_a_large_file() -> None:
    chance, trees = random.Random(7), Trees()
    text = BODY
    assert len(text) > LARGE
    for _ in range(25):
        at = chance.randrange(len(text))
        end = at + chance.choice([0, 0, 1, 30])
        text = text[:at] + chance.choice(PIECES) + text[end:]
        if chance.random() < 0.4:  # back to one without errors
            text = BODY[:at] + "Z = 1\n" * chance.randrange(3) + BODY[at:]
        source = text.encode()
        assert walk(source, "python", trees) == walk(source, "python")


def test_files_of_two_languages_do_not_mix() -> None:
    trees = Trees()
    source = b"x(1);\n" * 10_000
    for language in ("javascript", "python", "javascript", "java"):
        assert walk(source, language, trees) == walk(source, language)
