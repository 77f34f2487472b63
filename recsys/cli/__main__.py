"""Lets `python -m recsys.cli` run the command."""

from recsys.cli import app

app()
