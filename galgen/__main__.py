"""`galgen <command>`, which is `python -m galgen.<command>`."""

import difflib
import os
import sys

COMMANDS = {
    "prepare": "make a survey's stamp file, from public data, a mosaic or cutouts",
    "describe": "print and draw what a stamp file holds",
    "train": "train a model on a survey, into a run directory",
    "fit_prior": "fit priors, such as a normalizing flow, to the latents of a run",
    "evaluate": "measure how good the galaxies are that a run generates",
    "plot": "draw a run: reconstructions, samples, interpolations, latents, losses",
    "compare": "set runs side by side: a table, and rate against distortion over beta",
    "generate": "generate a catalogue of galaxies: FITS, HDF5 or Zarr",
    "export": "write a run's networks as ONNX, TorchScript or safetensors",
    "explore": "write a page in which a browser generates a run's galaxies",
    "field": "draw a sky of generated galaxies, with its true catalogue",
    "redshift": "tell redshift, magnitude and size from stamps",
    "report": "write a page about a run or a sweep",
    "release": "write a run without its data, for others to load",
    "import_weights": "turn an original weight file into a run directory",
}


def main() -> None:
    """Become the command that the first word names, or list the commands."""
    words = sys.argv[1:]
    if words and words[0] in COMMANDS:
        # A process of its own: Lightning starts the others of a training by its command line.
        os.execv(sys.executable, [sys.executable, "-m", f"galgen.{words[0]}", *words[1:]])
    elif not words or words[0] in ("--help", "-h", "help"):
        print("galgen: generative models of galaxy images\n")
        for name, purpose in COMMANDS.items():
            print(f"galgen {name:<16}{purpose}")
        print("\nEach takes --help, and --cfg job to show its config. python -m galgen.train is")
        print("galgen train, and so for the others.")
    else:
        close = difflib.get_close_matches(words[0], COMMANDS, n=1)
        guess = f" Did you mean {close[0]}?" if close else ""
        print(f"galgen {words[0]}: there is no such command.{guess}", file=sys.stderr)
        print(f"The commands are {', '.join(COMMANDS)}.", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
