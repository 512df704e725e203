"""The command line, before Hydra reads it."""

import os
import re
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Quote, QuotedString

from galgen.config.paths import HYDRAS, PATHS, fill_in
from galgen.config.releases import is_url
from galgen.errors import GalgenError


def name_words(arguments: list[str], key: str) -> list[str]:
    """Turn the words of a command line into `key=[...]`, which Hydra can read.

    Args:
        arguments: the command line. Options and `key=value` stay; a path with an equals sign in it
            is a word where it exists.
        key: the key whose values the words are.

    Raises:
        GalgenError: if the key is given as well.
    """
    read = get_args_parser().parse_known_args(arguments)[0].overrides
    words = [word for word in read if "=" not in word or Path(word).exists()]
    others = [word for word in arguments if word not in words]
    if words and any(other.startswith(f"{key}=") for other in others):
        raise GalgenError(f"{words[0]}: give all as {key}=[...], or all as words without {key}=.")
    quoted = [QuotedString(word, Quote.single).with_quotes() for word in words]
    if len(quoted) == 1:
        return [*others, f"{key}={quoted[0]}"]
    return [*others, f"{key}=[{','.join(quoted)}]"] if words else others


def multirun_first(arguments: list[str]) -> list[str]:
    """Move `-m` to the front, because argparse refuses overrides on both sides of an option."""
    return sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))


def readable_by_hydra(arguments: list[str]) -> list[str]:
    """Bring values that Hydra cannot read into a form that it can.

    Those are paths with ${NAME} of the environment or ~, patterns with `{id}`, and URLs.

    Args:
        arguments: the command line. The rest of a path is filled in when the config is composed,
            except the folder of a sweep, which Hydra makes earlier.
    """
    filled = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key.lstrip("+") in (*PATHS, *HYDRAS, "run"):
            value = re.sub(r"\$\{(\w+)\}", lambda name: os.environ.get(name[1], name[0]), value)
            for home in re.findall(r"(?<![^,\[])~\w*", value):
                value = value.replace(home, str(fill_in(key, home)), 1)
            if key in HYDRAS and "${" not in value:
                value = str(fill_in(key, value))
        is_pattern = "{id}" in value and not re.search(r"['\"]|^\{(?!id\})", value)
        if is_pattern or is_url(value):
            value = QuotedString(value, Quote.single).with_quotes()
        filled.append(f"{key}{equals}{value}")
    return filled
