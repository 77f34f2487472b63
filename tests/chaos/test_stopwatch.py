"""The commands of docs/fork.md, typed in an empty folder: a shop's tables and a news log end with a recommendation."""

import shutil
import socket
from pathlib import Path

import pytest

from benchmarks.fork.__main__ import SERVE, commands, follow

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here; install it (Debian: apt install curl)"),
]


@pytest.mark.parametrize("team", ["shop", "news"])
def test_the_commands_of_the_page_end_with_a_recommendation(team: str, tmp_path: Path) -> None:
    with socket.socket() as port:
        if port.connect_ex(("127.0.0.1", 8000)) == 0:
            pytest.skip("port 8000, which the page serves on, is in use: stop what listens there")
    figures = follow(team, small=True, folder=tmp_path)
    typed = [step["command"] for step in figures["steps"]]
    assert f"{SERVE} &" in typed
    assert [command for command in commands(team) if command in typed] == typed
