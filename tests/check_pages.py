"""Look through the pages that `make docs` has built: no dead link, signatures that can be read."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """A page's links, pictures and anchors."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        """Collect what a tag names."""
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id":
                self.anchors.add(value)


def dead_links(folder: Path) -> list[str]:
    """List the links within the site that lead nowhere."""
    found = [path for path in folder.rglob("*.html") if "_static" not in path.parts]
    pages = {path.resolve(): Page(path) for path in found}
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else {parts.fragment}
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in anchors):
                dead.append(f"{path.relative_to(folder.resolve())}: {link}")
    return dead


def main(folder: Path) -> None:
    """Check the pages."""
    assert not (dead := dead_links(folder)), "dead links:\n" + "\n".join(dead)
    api = folder / "docs" / "api"
    assert "train a model on a survey" in (api / "galgen.html").read_text()
    models = (api / "galgen.models.html").read_text()
    runs = (api / "galgen.runs.html").read_text()
    assert "(N, B, H, W)" in models
    assert "ArrayLike" in runs
    assert "numpy._typing" not in models + runs
    print(f"{folder}/index.html is the first page")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
