"""Makes `python -m recsys.cli` run the command `recsys`."""

from recsys.cli import app

app()
