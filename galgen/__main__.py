"""`python -m galgen`: the commands, a line each."""

COMMANDS = {
    "galgen.prepare": "make a survey's stamp file, from public data or a mosaic",
    "galgen.describe": "say what a stamp file holds",
    "galgen.train": "train a model on a survey, into a run directory",
    "galgen.fit_prior": "fit a normalizing flow, and other priors, to the latents of a run",
    "galgen.evaluate": "measure how good the galaxies are that a run generates",
    "galgen.plot": "draw a run: reconstructions, samples, interpolations, latents, losses",
    "galgen.compare": "set runs side by side: a table, and rate against distortion over beta",
    "galgen.generate": "generate a catalogue of galaxies: FITS, HDF5 or Zarr",
    "galgen.export": "write a run's networks as ONNX, TorchScript or safetensors",
    "galgen.report": "write a page about a run or a sweep",
    "galgen.import_weights": "turn an original weight file into a run directory",
}


def main() -> None:
    """Print the commands."""
    print("galgen: generative models of galaxy images\n")
    for name, purpose in COMMANDS.items():
        print(f"python -m {name:<24}{purpose}")
    print("\nEach takes --help, and --cfg job to show its config.")


if __name__ == "__main__":
    main()
