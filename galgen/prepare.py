"""`python -m galgen.prepare`: make a survey's stamp file."""

import signal

from omegaconf import DictConfig

from galgen.config import check_arguments, check_targets, command, instantiate


@command("prepare")
def main(config: DictConfig) -> None:
    """Prepare a survey, or what is missing of it, and say where it lies."""
    check_targets(config)
    check_arguments(config)
    from galgen.data.preparation import prepare

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # of a scheduler: as Ctrl-C
    path = instantiate(config.data).file
    source = instantiate(config.prepare)
    complete = prepare(source, path, config.overwrite)
    for note in source.notes:
        print(note)
    if complete:
        print(f"{path} is ready:")
        print(f"    python -m galgen.describe data.file={path}")
        print(f"    python -m galgen.train data={config.data.name} data.file={path}")
    else:
        print(f"shard {source.shard} is ready; the one that is finished last joins them as {path}")


if __name__ == "__main__":
    main()
