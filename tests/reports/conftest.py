"""Fixtures of reports."""

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galgen.reports.page import run_page


def written(run: Path, data_file: Path | None = None) -> str:
    return run_page(run, device="cpu", data_file=data_file, seed=0, zoom=1)


@pytest.fixture(scope="module")
def source(trained) -> str:
    return written(trained)


class Page(HTMLParser):
    """What a page holds: its elements, the text that is read, the text of its scripts."""

    def __init__(self, source: str):
        super().__init__()
        self.elements, self.texts, self.scripts, self.inside = [], [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        kind = self.scripts if self.inside and self.inside[-1] == "script" else self.texts
        kind.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def pictures(self) -> dict[str, np.ndarray]:
        """Pixels by alternative text."""
        images = [attrs for tag, attrs in self.elements if tag == "img"]
        return {attrs["alt"]: pixels(attrs["src"]) for attrs in images}

    @property
    def frames(self) -> list[dict]:
        return json.loads(self.scripts[0])


def pixels(uri: str) -> np.ndarray:
    kind, _, content = uri.partition(";base64,")
    assert kind in ("data:image/png", "data:image/webp")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content, validate=True))))
