"""`peek` as a person has it: its commands, in a process of their own, with nothing exported."""

import os
import subprocess

import pytest

from conftest import BINARY, SLOW


def clean_environment(**more):
    """An environment in which nothing names an endpoint, keys or a configuration."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "PEEK_")) and name not in ("NO_COLOR", "TERM", "COLUMNS")
    }
    return {**kept, **more}


def run(*arguments, stdin=None, cwd=None, **environment):
    """Runs `peek` with these arguments; the result has text."""
    return subprocess.run(
        [BINARY, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=clean_environment(**environment),
        timeout=120 * SLOW,
    )


@pytest.fixture(scope="module")
def peek(platform):
    """Runs `peek` beside a platform whose data directory it is told."""

    def peek(*arguments, **options):
        return run(*arguments, PEEK_DATA=str(platform.data), **options)

    return peek
