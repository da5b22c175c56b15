"""`python -m workers OPTIONS` is `celery --app workers --quiet worker OPTIONS`, loading less.

Celery's own entrance loads all of its commands, with a toolkit for terminals: a tenth of a worker's start.
"""

from __future__ import annotations

from pipeline.run.garbage import loading


def main() -> None:
    """Runs one worker until it is told to leave, and exits with its code."""
    with loading():  # the children of a pool share it
        from celery.bin.base import CLIContext
        from celery.bin.worker import worker

        from workers import app

        app.loader.import_default_modules()
    worker.main(prog_name="workers", obj=CLIContext(app=app, no_color=True, workdir=None, quiet=True))


if __name__ == "__main__":
    main()
