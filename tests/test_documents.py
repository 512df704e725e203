"""Commands of the README, the documentation and the studies have keys that exist; no dead link."""

import re
from itertools import islice

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

import galgen.sweeps.jobs  # registers a resolver  # noqa: F401
from galgen.__main__ import COMMANDS
from galgen.config.command_line import name_words, readable_by_hydra
from tests.documents import OWN_TEST, ROOT, STUDIES, blocks, commands, documents

OPTIONS = {"-m", "--multirun", "--help", "--cfg", "job", "--config-dir"}
OWN_GROUPS = ("groups", "data=mine")
"""A folder of groups that a reader adds, and an option in it."""


def typed() -> dict[str, tuple[str, list[str]]]:
    """Find each command that a page shows, by the page and the command."""
    found = {}
    for page in [*documents(), *STUDIES]:
        for block in blocks(page):
            if block.language == "sh" and page.stem != OWN_TEST:
                for name, words in commands(re.sub(r"<[^<>\n]+>", "x", block.code)):
                    words = [word for word in words if not word.startswith("$")]
                    found[f"{page.relative_to(ROOT)}: {name} {' '.join(words)}"] = (name, words)
    return found


TYPED = typed()


def first_value(override: str) -> str:
    """Replace the values of a sweep by the first."""
    (parsed,) = OverridesParser.create().parse_overrides([override])
    if not parsed.is_sweep_override():
        return override
    if parsed.is_interval_sweep():
        return f"{parsed.key_or_group}={parsed.value().start}"
    return f"{parsed.key_or_group}={next(islice(parsed.sweep_string_iterator(), 1))}"


@pytest.mark.parametrize("command", TYPED)
def test_a_command_composes(command, composed):
    name, words = TYPED[command]
    assert name in COMMANDS
    words = [word for word in words if word not in OPTIONS and word not in OWN_GROUPS]
    overrides = [first_value(word) for word in readable_by_hydra(name_words(words, "run"))]
    assert composed(*overrides, name=name)


def test_commands_are_found():
    code = "R=runs/a\ngalgen plot $R \\\n  n=3  # n=4\nsrun python -m galgen.train seed=1 || exit\n"
    assert commands(code) == [("plot", ["$R", "n=3"]), ("train", ["seed=1"])]
    assert len(TYPED) > 80


@pytest.mark.parametrize("page", [*documents(), *STUDIES], ids=lambda page: str(page)[-30:])
def test_no_link_is_dead(page):
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    local = [target for target in targets if not target.startswith("http")]
    assert not [target for target in local if not (page.parent / target).exists()]
