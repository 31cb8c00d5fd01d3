"""Wording that messages share."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

_MOST_CHARACTERS = 500  # of a name; names in files may have any length

LAW = (
    "Inferring from a face whether a smile is spontaneous can count as emotion recognition under "
    "the EU AI Act, Regulation (EU) 2024/1689, Art. 3(39). Art. 5(1)(f) prohibits inferring "
    "emotions at work and in education, except for medical or safety reasons. Annex III 1(c) "
    "classifies emotion recognition as high-risk. According to Art. 50(3), people must be "
    "informed if they are exposed to such a system. This is not legal advice."
)


def one_line(text: object) -> str:
    """Return a text on one line, with control characters escaped."""
    return escape_controls(" ".join(str(text).split()))


def escape_controls(text: str) -> str:
    """Return a text with control characters other than line breaks escaped."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def plural(n: int, noun: str) -> str:
    """Return the singular or plural of a noun for a number, such as "clip" or "clips"."""
    return noun if n == 1 else f"{noun}s"


def count(n: int, noun: str) -> str:
    """Return a number with its noun, such as "1 clip" or "2 clips"."""
    return f"{n} {plural(n, noun)}"


def printable(name: object) -> str:
    """Return a name or text for use in a sentence: escaped, and truncated if necessary."""
    text = str(name)[: _MOST_CHARACTERS + 1]
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def unknown_key(key: str, known: Collection[str], parameter: str, alternative: str = "") -> str:
    """Return the message for an unknown key of a registry; it suggests a similar key."""
    nearest = get_close_matches(key.lower().replace(" ", "_"), known, n=1)
    advice = f"Did you mean {nearest[0]!r}?" if nearest else "Choose one of them."
    return f"{parameter} must be one of {', '.join(known)}{alternative}; got {key!r}. {advice}"


def abridge(names: Iterable[object], n_shown: int = 5) -> str:
    """List the first few names and the number of the others, for use in a sentence."""
    texts = list(map(printable, names))
    more = f" and {len(texts) - n_shown} more" if len(texts) > n_shown else ""
    return ", ".join(texts[:n_shown]) + more
