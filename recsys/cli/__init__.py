"""The `recsys` command."""

from recsys.cli.main import app as app
