"""The process of one job of a sweep: `python -m galgen.sweeps.one_job <records> <number>`.

The processes that Lightning starts for a training on several devices are this command again.
"""

import sys
from pathlib import Path

from galgen.config.command import leave, shows_tracebacks
from galgen.config.targets import trust
from galgen.errors import InUse
from galgen.runs.directory import Run
from galgen.sweeps.job_records import read_job, read_records
from galgen.training.one_training import fit_missing_priors, report, train_checked


def main() -> None:
    """Train the job whose folder and number are the command line."""
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    record = next(record for record in read_records(folder) if record.number == number)
    try:
        config, command = read_job(record, folder)
        run = Run(config)
        run.command = command
        trust(config.trusted_packages)
        if run.result is None or config.overwrite:
            train_checked(config, run)
        fit_missing_priors(config, run)
        report(run)
    except InUse as error:
        print(f"galgen: {error}", file=sys.stderr)
        sys.exit(InUse.of_a_job)
    except KeyboardInterrupt:
        print("galgen: interrupted. The same command continues from here.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if shows_tracebacks():
            raise
        leave(error)


if __name__ == "__main__":
    main()
