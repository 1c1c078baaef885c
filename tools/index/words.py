"""Identifiers and prose to search terms: split at case and underscores, lower case, light stem."""

import re
from functools import lru_cache

__all__ = ["STOP", "spellings", "stem", "subwords"]

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\x00-\x7f]+|[0-9]+")

STOP = frozenset(
    """a about above after again all also always an and any anything are as at be because been
    before being below between both but by can cannot could did do does doesn doing don down during
    each either else even every few for from further get gets getting got had has have having he
    her here hers him his how however i if in instead into is isn it its itself just know like may
    me might more most much must my need no nor not now of off on once only or other ought our ours
    out over own per please same seem seems shall she should since so some something still such
    than that the their them then there these they thing this those though through thus to too
    under until up upon us use used uses using very via want was wasn we were what when where
    whether which while who whom why will with within without won work works would wouldn yet you
    your bug fix fixed fixes issue problem wrong correctly properly behaviour behavior expected
    actual version reproduce steps ve re ll""".split()
)
"""Words of prose that say nothing about a place in code."""

_DOUBLE = re.compile(r"([bdfgmnprt])\1$")


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """A light stem of a lower-case word: caches, cached, caching, cache -> cach.

    Endings only, never below three letters: names in code are short, and a stemmer made for
    prose would merge too many of them.
    """
    if len(word) < 4 or not word.isascii():
        return word
    word = _plural(word)
    for ending, least in (("ing", 6), ("ed", 5)):
        if word.endswith(ending) and len(word) >= least:
            return _tidy(_DOUBLE.sub(r"\1", word[: -len(ending)]))
    if word.endswith(("tion", "sion")) and len(word) >= 7:
        word = word[:-3]
    if word.endswith("izat"):
        word = word[:-2]
    return _tidy(word)


def _plural(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _tidy(word: str) -> str:
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


@lru_cache(maxsize=1 << 14)
def subwords(text: str) -> tuple[str, ...]:
    """The stemmed parts of an identifier or phrase, in order, with repeats."""
    return tuple(stem(part.lower()) for part in _PART.findall(text))


def spellings(text: str) -> dict[str, str]:
    """The stemmed parts of a text, each as it is first written there."""
    return {stem(part.lower()): part for part in reversed(_PART.findall(text))}
