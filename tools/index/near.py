"""Words of a question that occur nowhere, and the nearest that do: `sanitizer` and `sanitiser`.

Only where no file has the word, and only in questions of a few words: of an issue's prose, half
stands in no code, and what happens to be spelt like it says nothing.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from tools.index.postings import letter_bits
from tools.index.query import Near, Query
from tools.index.search import View
from tools.index.segment import Segment
from tools.index.words import spellings, stem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    I64 = NDArray[np.int64]
    U64 = NDArray[np.uint64]

__all__ = ["widened"]

_QUESTION = 8
"""Search words of a question that is looked at."""
_SHORTEST = 4
"""Letters: three of them are near to too many words."""
_LONGEST = 32
_EDITS = ((9, 3), (8, 2), (0, 1))
"""Letters from which on so many may be wrong: two if the first is right, and three if the first
half is, so that `sanitizer` is near to `sanitise` and `segfault` not to `default`."""
_TAKEN = 3
"""Near words that stand in for one that occurs nowhere."""
_RARE = 16
"""A word that is used so many times less than another is not what was meant."""
_TEXT = 2000
"""Characters of a question that are looked at for how its words are written."""
_NAMES = 200
"""Names that are looked at for how a word in them is written."""
_ENDINGS = ("e", "ion", "s", "es", "ing", "ed", "y")
_PREFIX = 3
"""A word that begins with the one asked for is as far away as one with so many edits."""


def widened(view: View, query: Query, text: str) -> Query:
    """The query, made of a text, with near words in place of those that occur nowhere."""
    if len(query.words) > _QUESTION:
        return query
    words: dict[str, float] = dict(query.words)
    near: list[Near] = []
    written = spellings(text[:_TEXT])
    for asked, weight in query.words:
        if not _SHORTEST <= len(asked.encode()) <= _LONGEST or _occurs(view, asked):
            continue
        for found, distance in _nearest(view, asked):
            asked_as = written.get(asked, asked)
            near.append(Near(asked=asked_as, found=_written(view, found), word=found))
            worth = weight / (1 + distance)
            words[found] = max(words.get(found, 0.0), worth)
    ordered = sorted(words.items(), key=lambda w: (-w[1], w[0]))
    return replace(query, words=tuple(ordered), near=tuple(near)) if near else query


def _occurs(view: View, word: str) -> bool:
    """Whether any living file has a word in its text, its names or its path."""
    for segment, offset, dead in zip(view.segments, view.offsets, view.dead, strict=False):
        alive = view.alive[offset : offset + segment.docs]
        if alive[segment.word_docs(word)[0]].any() or alive[segment.name_words.of(word)].any():
            return True
        if (~dead[segment.path_words.of(word)]).any():
            return True
    return False


def _nearest(view: View, asked: str) -> list[tuple[str, int]]:
    """Living words that are equally near, the likeliest first, with their distance."""
    edits = next(most for least, most in _EDITS if len(asked) >= least)
    found: dict[str, int] = {}
    for segment in view.segments:
        found |= _candidates(segment, asked, edits)
    for distance in sorted(set(found.values())):
        words = (word for word, d in found.items() if d == distance)
        # Few mistake the first letter; and a word is the likelier meant the more it is used.
        ranked = sorted((w[0] != asked[0], -n, w) for w in words if (n := _uses(view, w)))
        if ranked:
            least = ranked[0][1] / _RARE
            return [(w, distance) for _, n, w in ranked if n <= least][:_TAKEN]
    return []


def _uses(view: View, word: str) -> int:
    pairs = zip(view.segments, view.offsets, strict=False)
    return sum(int(view.alive[s.word_docs(word)[0] + offset].sum()) for s, offset in pairs)


def _written(view: View, word: str) -> str:
    """A word as an identifier or a name has it. Only hashes of identifiers are kept: endings are
    tried."""
    for whole in (word, *(word + ending for ending in _ENDINGS)):
        for form in (whole, whole.capitalize()):
            for segment, offset in zip(view.segments, view.offsets, strict=False):
                docs = segment.idents.of(form)
                if stem(whole) == word and view.alive[docs + offset].any():
                    return form
    names: list[str] = []
    for segment, offset in zip(view.segments, view.offsets, strict=False):
        docs = segment.name_words.of(word)
        names += [segment.name(int(doc)) for doc in docs[view.alive[docs + offset]][:_NAMES]]
    # Of many, which come first depends on past edits.
    names = names if len(names) < _NAMES else []
    spelt = [found for name in names if (found := spellings(name).get(word))]
    return min(spelt, key=lambda found: (len(found), found), default=f"{word}…")


def _candidates(segment: Segment, asked: str, edits: int) -> dict[str, int]:
    """Words of a segment within some edits of the one asked for, or that begin as it does."""
    import numpy as np

    data = np.frombuffer(segment.vocabulary, np.uint8)
    if not len(data):
        return {}
    starts, sizes, letters = segment.spellings
    wanted = asked.encode()
    own = np.bitwise_or.reduce(letter_bits()[np.frombuffer(wanted, np.uint8)])
    apart = np.bitwise_count(letters ^ own)
    # An edit changes two letters of the set at most.
    close = (np.abs(sizes - len(wanted)) <= edits) & (apart <= 2 * edits)
    at = np.flatnonzero(close)
    distances = _distances(data, starts[at], sizes[at], wanted)
    within = distances <= edits
    found = _beginning(data, starts, sizes, wanted)
    found |= dict(zip(at[within].tolist(), distances[within].tolist(), strict=True))
    words: dict[str, int] = {}
    for n, distance in found.items():
        word = segment.vocabulary[starts[n] : starts[n] + sizes[n]].decode("utf-8", "replace")
        right = (0, 0, 1, len(asked) // 2)[min(distance, 3)]
        if word.startswith(asked[: min(right, len(word))]):
            words[word] = distance
    return words


def _beginning(
    data: "NDArray[np.uint8]", starts: "I64", sizes: "I64", wanted: bytes
) -> dict[int, int]:
    """Words that go on where the one asked for ends; and those that it goes on from, the further
    the more it has to lose."""
    import numpy as np

    at = np.flatnonzero(sizes >= _SHORTEST)
    found: dict[int, int] = {}
    for place, letter in enumerate(wanted):
        ending = at[sizes[at] == place]
        found |= dict.fromkeys(ending.tolist(), _PREFIX + len(wanted) - place)
        at = at[sizes[at] > place]
        at = at[data[starts[at] + place] == letter]
    return found | dict.fromkeys(at.tolist(), _PREFIX)


def _distances(
    data: "NDArray[np.uint8]", starts: "I64", sizes: "I64", wanted: bytes
) -> "NDArray[np.int64]":
    """Edits (a letter more, less or another, two exchanged) from each word to the one wanted.

    All words at once, a column of the table of distances as the bits of a number: Hyyrö, "A
    bit-vector algorithm for computing Levenshtein and Damerau edit distances", 2003.
    """
    import numpy as np

    places = np.zeros(256, np.uint64)
    for place, letter in enumerate(wanted):
        places[letter] |= np.uint64(1 << place)
    one, last = np.uint64(1), np.uint64(len(wanted) - 1)
    more = np.full(len(starts), np.uint64((1 << 64) - 1))
    less, same, before = np.zeros_like(more), np.zeros_like(more), np.zeros_like(more)
    score = np.full(len(starts), len(wanted))
    for column in range(int(sizes.max(initial=0))):
        going = column < sizes
        here = np.where(going, places[data[np.minimum(starts + column, len(data) - 1)]], 0)
        exchanged = ((~same & here) << one) & before
        same = (((here & more) + more) ^ more) | here | less | exchanged
        up, down = less | ~(same | more), same & more
        step = ((up >> last) & one).astype(np.int64) - ((down >> last) & one).astype(np.int64)
        score += np.where(going, step, 0)
        up = (up << one) | one
        more, less, before = (down << one) | ~(same | up), up & same, here
    return score
