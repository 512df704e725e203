"""Code blocks and commands of README.md, the documentation and the studies' pages."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = (
    "getting_started",
    "training",
    "sweeps",
    "surveys",
    "using",
    "released",
    "evaluation",
    "extending",
)
"""First pages of docs/ in the order of reading: later ones use the runs of earlier ones."""
OWN_TEST = "extending"
"""A page whose blocks tests/test_extending.py runs."""
STUDIES = sorted((ROOT / "experiments").glob("*/README.md"))

BLOCK = re.compile(
    r"(?:^(?:<!-- not run: (?P<not_run>[^\n]*) -->|\*\*(?P<file>[\w./]+)\*\*)\n+)?"
    r"^```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass
class Block:
    """A block of code."""

    language: str
    code: str
    line: int
    """Of its page, from 1."""
    not_run: str | None
    """Why it is not run, as the comment before it says."""
    file: str | None
    """The file that it is the content of, as the bold line before it says."""


def documents() -> list[Path]:
    """Return README.md and the pages of docs/, in the order of reading."""
    order = {f"{page}.md": number for number, page in enumerate(PAGES)}
    pages = (ROOT / "docs").glob("*.md")
    return [README, *sorted(pages, key=lambda page: (order.get(page.name, len(order)), page))]


def blocks(page: Path) -> list[Block]:
    """Find the fenced blocks of a page."""
    text = page.read_text()
    return [
        Block(
            line=text.count("\n", 0, match.start("language")) + 1,
            **{name: match[name] for name in ("language", "code", "not_run", "file")},
        )
        for match in BLOCK.finditer(text)
    ]


def commands(code: str) -> list[tuple[str, list[str]]]:
    """Find galgen's commands in a shell block: the name and the arguments of each."""
    found = []
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=";|&")
        words.whitespace_split = True
        words = list(words)
        for place, word in enumerate(words[:-1]):
            ours = word == "galgen" and re.fullmatch(r"[a-z_]+", words[place + 1])
            if ours or (word == "-m" and words[place + 1].startswith("galgen.")):
                rest = words[place + 2 :]
                end = next((i for i, w in enumerate(rest) if re.fullmatch(r"[;|&]+", w)), None)
                found.append((words[place + 1].removeprefix("galgen."), rest[:end]))
    return found
