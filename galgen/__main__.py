"""`python -m galgen`: the commands, a line each."""

COMMANDS = {
    "galgen.prepare": "make a survey's stamp file, from public data or a mosaic",
    "galgen.describe": "say what a stamp file holds",
    "galgen.train": "train a model on a survey, into a run directory",
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
