"""An output is complete or absent, whenever the writer is stopped, and only one module renames."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recsys.output import replaced, replaced_file, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("stopped_by", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_writer_that_is_stopped_leaves_the_old_file(tmp_path: Path, stopped_by: type[BaseException]) -> None:
    write_text(tmp_path / "a.txt", "old")

    def write_half() -> None:
        with replaced_file(tmp_path / "a.txt") as aside:
            aside.write_text("half")
            raise stopped_by

    with pytest.raises(stopped_by):
        write_half()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(opened: int) -> None:
        steps.append(os.readlink(f"/proc/self/fd/{opened}"))
        sync(opened)

    def renamed(path: Path, to: Path) -> Path:
        steps.append("rename")
        return replace(path, to)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write_text(tmp_path / "deep" / "a.txt", "new", durable=True)
    assert steps == [str(tmp_path / "deep" / "a.txt.partial"), "rename", str(tmp_path / "deep")]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with replaced(tmp_path / "out") as aside:
            (aside / content).touch()
            assert names(tmp_path / "out") == ["old"] if content == "new" else True
    assert names(tmp_path / "out") == ["new"]
    with pytest.raises(ValueError, match="stop"), replaced(tmp_path / "out") as aside:
        raise ValueError("stop")
    assert names(tmp_path / "out") == ["new"]
    assert names(tmp_path) == ["out", "out.partial"]


@pytest.mark.parametrize("call", range(1, 7))
def test_killed_at_any_call_the_old_or_the_new_folder_is_there_after_the_next_one(tmp_path: Path, call: int) -> None:
    """The process is killed right after its n-th change of a name; the next one fails before it has anything to say."""
    code = f"""
import os, pathlib, shutil, sys
sys.path.insert(0, {str(Path.cwd())!r})
from recsys.output import replaced
count = 0
def killing(function):
    def run(*args, **kwargs):
        global count
        result = function(*args, **kwargs)
        count += 1
        if count == {call}:
            os._exit(9)
        return result
    return run
folder = pathlib.Path({str(tmp_path / "out")!r})
with replaced(folder) as aside:
    (aside / "old").touch()
pathlib.Path.rename, shutil.rmtree = killing(pathlib.Path.rename), killing(shutil.rmtree)
with replaced(folder) as aside:
    (aside / "new").touch()
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode in (0, 9)
    with pytest.raises(ValueError, match="stop"), replaced(tmp_path / "out"):
        raise ValueError("stop")
    assert names(tmp_path / "out") in (["old"], ["new"])


def test_nobody_else_renames_what_was_written(root: Path) -> None:
    renames = r"os\.(replace|rename)|(aside|part|path|partial|temporary)\.(replace|rename)\("
    command = ["grep", "-rlE", renames, "--include=*.py", "recsys", "serving"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    # a download keeps its part when it is stopped, to go on from there
    assert sorted(found.stdout.split()) == ["recsys/data/download.py", "recsys/output.py"]
