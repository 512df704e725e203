"""`python -m galgen.explore`: one HTML file in which a browser generates a run's galaxies."""

import functools
import http.server
import sys
import webbrowser
from pathlib import Path

from omegaconf import DictConfig

from galgen.config.command import command
from galgen.config.run_paths import results_folder
from galgen.errors import GalgenError
from galgen.files import expand, write_text
from galgen.runs.prior_records import the_one_prior

SERVE = "--serve"
"""A word for serve=true."""


@command("explore", words="run", resumes=False)
def run_command(config: DictConfig) -> None:
    """Write the page, print its path, and serve it where that is wanted."""
    out = expand(config.out or results_folder(Path(config.run)) / "explorer.html")
    if out.suffix != ".html":
        raise GalgenError(f"out={out}: give a name that ends in .html.")
    if type(config.serve) is not bool:
        raise GalgenError(f"serve={config.serve}: it can be true or false.")
    from galgen.explorer.page import explorer
    from galgen.runs.trained_run import TrainedRun

    run = TrainedRun(config.run, "cpu", config.data.file)
    write_text(out, explorer(run, run.prior_for(the_one_prior(config.prior), {})))
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB; open it in a browser")
    if config.serve:
        serve(out)


def serve(page: Path) -> None:
    """Serve a page on this machine and open it, until Ctrl-C."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=page.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}/{page.name}"
        print(f"{address}, until Ctrl-C", flush=True)
        webbrowser.open(address)
        server.serve_forever()


def main() -> None:
    """Run the command, `--serve` meaning serve=true."""
    sys.argv[1:] = ["serve=true" if word == SERVE else word for word in sys.argv[1:]]
    run_command()


if __name__ == "__main__":
    main()
