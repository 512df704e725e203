"""Words of messages: values as a command line takes them, and counts."""

import re
import shlex

from hydra.core.override_parser.types import Quote, QuotedString

PLAIN_TEXT = re.compile(r"[\w./+-]+", re.ASCII)
"""Text that neither a shell nor Hydra takes for anything else."""


def quoted(text: str) -> str:
    """Quote a value so that a shell and then Hydra read it as it is."""
    if PLAIN_TEXT.fullmatch(text):
        return text
    return shlex.quote(QuotedString(text, Quote.double).with_quotes())


def said(value) -> str:
    """Return a value as it is written on the command line, without the quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {said(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(said, value)) + "]"
    return "null" if value is None else str(value)


def counted(count: int, one: str, many: str) -> str:
    """Return a count with its words, `1 row repeats` or `2 rows repeat`.

    Args:
        count: the number.
        one: words for 1.
        many: words for any other number.
    """
    return f"{count} {one if count == 1 else many}"
