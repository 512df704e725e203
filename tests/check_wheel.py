"""Build the wheel, install it in a clean environment, and use it from another folder."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

LARGEST = 20
"""Size of the wheel, MB, at most."""
COMPOSE = """
import sys
from hydra import compose, initialize_config_dir
from galgen.config.paths import CONF
assert CONF.parent.name == "galgen" and "site-packages" in str(CONF), CONF
options = sorted(p for p in CONF.glob("*/*.yaml") if not p.name.startswith("_"))
with initialize_config_dir(str(CONF), version_base="1.3"):
    for path in options:
        group, command = path.parent.name, "train"
        if group in ("launcher", "search") and path.stem != "basic":
            continue  # plugins of Hydra, which the extras bring
        if group == "prepare":  # which the survey chooses
            group, command = "data", "prepare"
        compose("plot" if group == "figure" else command, [f"{group}={path.stem}"])
assert "torch" not in sys.modules
print(f"{len(options)} configs compose")
"""


def run(*command: str, **options) -> None:
    """Run a command, and stop where it fails."""
    print("$", *command, flush=True)
    subprocess.run(command, check=True, **options)


def main() -> None:
    """Check the wheel."""
    with tempfile.TemporaryDirectory() as folder:
        python = str(Path(folder) / "venv" / "bin" / "python")
        run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, str(ROOT))
        run(sys.executable, "-m", "venv", f"{folder}/venv")
        (wheel,) = Path(folder).glob("*.whl")
        size = wheel.stat().st_size / 1e6
        print(f"{wheel.name}: {size:.1f} MB")
        assert size < LARGEST
        constraints = str(ROOT / "constraints.txt")
        run(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, str(wheel))
        elsewhere = Path(folder) / "elsewhere"
        elsewhere.mkdir()
        run(python, "-c", COMPOSE, cwd=elsewhere)
        cache = {"GALGEN_CACHE": f"{folder}/cache", "PATH": "/usr/bin:/bin", "HOME": folder}
        mock = ["run=hst-f814w-simulated", "n=20", "redshift=0.1:2", "psf=survey", "out=mock.fits"]
        run(python, "-m", "galgen.generate", *mock, cwd=elsewhere, env=cache)
        training = ["trainer=debug", "data.galaxies=160", "data.image_size=32", "model.width=4"]
        run(python, "-m", "galgen.train", *training, cwd=elsewhere, env=cache)
        (done,) = elsewhere.glob("runs/*/DONE")
        load = (
            f"import galgen; print(galgen.load({str(done.parent)!r}).sample(2, redshift=1).shape)"
        )
        run(python, "-c", load, cwd=elsewhere)
        of = f"run={done.parent}"
        run(python, "-m", "galgen.plot", of, "figure=samples", cwd=elsewhere, env=cache)
        mock = ["n=20", "redshift=0.1:2", "out=mock.h5"]
        run(python, "-m", "galgen.generate", of, *mock, cwd=elsewhere, env=cache)
        run(python, "-m", "galgen.export", of, "format=torchscript", cwd=elsewhere, env=cache)
        run(python, "-m", "galgen.report", of, cwd=elsewhere, env=cache)
    print("the wheel works")


if __name__ == "__main__":
    main()
