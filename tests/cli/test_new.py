"""`recsys new`: each kind begins with the example of docs/extending.md; nothing is overwritten."""

import shutil
from pathlib import Path

import pytest

from recsys.cli.new import PAGE, Kind, begin
from recsys.errors import ParamsError
from tests.extensions.test_documented import BLOCKS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fork(tmp_path: Path) -> Path:
    (tmp_path / PAGE).parent.mkdir()
    shutil.copy(ROOT / PAGE, tmp_path / PAGE)
    return tmp_path


@pytest.mark.parametrize(("kind", "block"), list(zip(Kind, BLOCKS, strict=True)))
def test_each_kind_begins_with_its_documented_example(fork: Path, kind: Kind, block: str) -> None:
    said = begin(kind, "mine", fork)
    path = f"recsys/{kind}s/mine.py"
    assert (fork / path).read_text() == block
    assert said.startswith(f"{path}: ")
    assert "mine" in said.split("params.yaml:", 1)[1] or kind is Kind.ENCODER


def test_a_file_that_is_there_stays(fork: Path) -> None:
    begin(Kind.SOURCE, "mine", fork)
    (fork / "recsys/sources/mine.py").write_text("changed")
    with pytest.raises(ParamsError, match=r"^recsys/sources/mine.py: the file exists already: choose another name$"):
        begin(Kind.SOURCE, "mine", fork)
    assert (fork / "recsys/sources/mine.py").read_text() == "changed"


@pytest.mark.parametrize("name", ["my-source", "../mine", "Mine", "1st", "_hidden", ""])
def test_a_name_that_is_no_file_of_python_is_refused(fork: Path, name: str) -> None:
    with pytest.raises(ParamsError, match="not a name of a Python file: use small letters, digits and _"):
        begin(Kind.RULE, name, fork)
    assert not (fork / "recsys").exists()
