"""Terms found and told apart as arrays: the same as one by one, in any bytes."""

import re
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tools.index import postings, tokens
from tools.index.build import build
from tools.index.extract import extract
from tools.index.postings import split
from tools.index.records import parts
from tools.index.words import subwords

WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]+")
_PIECES = (
    b"load", b"HTTPServer2", b"_x", b" ", b"\n", b"(", b"a" * 65, b"b" * 64, b"12ab", b"\xff",
    b"longer_than_eight", b"longer_than_nine_", b"$x", b"\r\n", b"\0",
)  # fmt: skip
CODE = st.lists(st.sampled_from(_PIECES)).map(b"".join)


def plain(source: bytes) -> list[bytes]:
    found = WORD.findall(source)
    return [w for w in found if 2 <= len(w) <= 64 and not w[:1].isdigit()]


@given(CODE | st.binary(max_size=200))
@example(b"")
def test_identifiers(source: bytes) -> None:
    found = tokens.identifiers(source)
    words = [source[s : s + n] for s, n in zip(found.starts, found.sizes, strict=True)]
    assert words == plain(source)
    assert [int(h) for h in found.hashes] == [tokens.hash_text(w) for w in words]
    one, like = tokens.distinct(found.hashes)
    assert [words[one[n]] for n in like] == words
    assert len(one) == len(set(words))
    assert tokens.gather(source, found.starts, found.sizes) == b"".join(w + b"\n" for w in words)


@given(st.lists(st.text(max_size=80).filter(lambda t: "\n" not in t), min_size=1))
def test_lines(texts: list[str]) -> None:
    raw = [t.encode("utf-8", "replace") for t in texts]
    found = tokens.lines(b"\n".join(raw))
    wanted = [tokens.hash_text(t) for t in raw]
    assert [int(h) for h in found.hashes] == (wanted if b"".join(raw) or len(raw) > 1 else [])


@given(st.integers(0, 2**64 - 1), st.integers(1, 300), st.integers(0, 63))
def test_terms_that_fall_on_one_place_are_told_apart(base: int, count: int, shift: int) -> None:
    some = np.array([(base ^ (i % 40) << shift) % 2**64 for i in range(count)], np.uint64)
    one, like = tokens.distinct(some)
    assert (some[one][like] == some).all()
    assert len(one) == len(set(some.tolist()))


@given(st.lists(st.from_regex(r"[A-Za-z0-9_.é$ ]{0,20}", fullmatch=True), min_size=1))
def test_parts_of_names_are_those_of_a_question(names: list[str]) -> None:
    postings = split("".join(f"{n}\n" for n in names).encode())
    for word in {w for n in names for w in subwords(n)}:
        wanted = Counter({i: subwords(n).count(word) for i, n in enumerate(names)})
        assert Counter(postings.of(word).tolist()) == +wanted


@given(CODE)
def test_each_identifier_is_counted_for_the_innermost_definition(body: bytes) -> None:
    body = re.sub(rb"[^\x20-\x7e]", b" ", body)
    source = b"top = 1  # " + body + b"\ndef f():\n    x = 2  # " + body + b"\n"
    (record,) = extract([(source, "python")])
    segment = build([("a.py", "", record)])
    for word in {w for w in plain(body) if w != b"x"}:
        docs = segment.idents.of(word.decode()).tolist()
        assert docs[-1:] == [2]
    assert int(segment.lengths.sum()) >= len(plain(body))


def test_what_one_definition_and_one_file_may_hold_is_bounded() -> None:
    many = b" ".join(b"n%d" % i for i in range(80_000)) + b" often" * 9
    (record,) = extract([(many, "text")])
    assert len(parts(record).counts) <= 3000
    segment = build([("a.json", "", record)])
    assert segment.docs == 1


def test_a_segment_is_the_same_in_whatever_pieces_it_is_put_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources = [
        f"class Cart{i % 5}Élan:\n    def addItem_{i}(self):\n        return HTTPServer{i % 3}(1)\n"
        for i in range(40)
    ]
    records = extract([(s.encode(), "python") for s in ["", *sources, ""]])
    files = [(f"shop/m{i}.py", str(i), data) for i, data in enumerate(records)]
    whole = build(files)
    monkeypatch.setattr("tools.index.build._BATCH", 100)
    monkeypatch.setattr("tools.index.postings._PIECE", 50)
    pieces = build(files)
    for name in ("idents", "words", "name_words", "path_words", "by_name"):
        for column in ("hashes", "starts", "items"):
            one, other = (getattr(getattr(s, name), column) for s in (whole, pieces))
            assert one.dtype == other.dtype
            assert one.tolist() == other.tolist(), name
    assert whole.vocabulary == pieces.vocabulary
    assert whole.lengths.tolist() == pieces.lengths.tolist()
    written = whole.vocabulary.decode().split()
    assert len(written) == len(whole.words.hashes) > 10
    assert all(len(whole.words.of(word)) for word in written)


def test_postings_sorted_in_pieces_are_those_sorted_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = np.random.default_rng(5)
    known = chance.permutation(90_000).astype(np.uint64)
    terms = np.minimum(chance.integers(0, 90_000, 300_000), 70_000)  # one of them very often
    items = np.arange(300_000)
    counts = chance.integers(1, 9, 300_000).astype(np.uint8)
    whole = postings.inverted(known, terms, items, counts)
    monkeypatch.setattr(postings, "_SORTED", 7_000)
    parts = postings.inverted(known, terms, items, counts)
    assert whole.counts is not None
    assert parts.counts is not None
    assert np.array_equal(whole.hashes, parts.hashes)
    assert np.array_equal(whole.starts, parts.starts)
    assert np.array_equal(whole.items, parts.items)
    assert np.array_equal(whole.counts, parts.counts)


def test_millions_of_pairs_take_few_bytes_each() -> None:
    pairs = 5_000_000
    terms = (np.arange(pairs, dtype=np.int32) * 7919) % 50_000
    items = np.arange(pairs, dtype=np.int32)
    counts = np.ones(pairs, np.uint8)
    tracemalloc.start()
    try:
        found = postings.inverted(np.arange(50_000, dtype=np.uint64), terms, items, counts)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.of("no such term").tolist() == []
    assert held < 6 * pairs
    assert peak < 16 * pairs
