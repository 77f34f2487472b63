"""`recsys init`: makes a product of this clone, or changes nothing."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from template.parts import PARTS
from template.render import SPLITS, render

app = typer.Typer(add_completion=False)
SECTIONS = re.compile(r"(?m)^  (\w+):(?=.*\n    adapter:)")


@app.command()
def init(
    name: Annotated[str, typer.Option(help="such as acme_recs; without it, each of these is asked for")] = "",
    dataset: Annotated[str, typer.Option(help="of params.yaml; files: your own")] = "files",
    purpose: Annotated[str, typer.Option(help=f"what is recommended: {', '.join(SPLITS)}")] = "first-purchases",
    drop: Annotated[str, typer.Option(help=f"what to leave out: some of {','.join(PARTS)}")] = "",
) -> None:
    """Rename everything, leave out what is not wanted, write a README of the product, and stage it all in git."""
    if not name:
        name = typer.prompt("Name: small letters, digits and _")
        dataset = typer.prompt("Data set of params.yaml; files: your own", dataset)
        purpose = typer.prompt(f"What is recommended: {', '.join(SPLITS)}", purpose)
        drop = typer.prompt(f"Leave out: some of {','.join(PARTS)}", drop)
    top = Path.cwd()
    parts = [part for part in drop.split(",") if part]
    answers = {"name": name, "dataset": dataset, "purpose": purpose, "drop": parts, **origin(top)}
    if fault := fault_of(name, dataset, purpose, parts, top):
        sys.exit(f"error: {fault}")
    with tempfile.TemporaryDirectory(dir=top.parent, prefix=f"{name}-") as folder:  # the same disk: a move is a rename
        written = render(top, Path(folder), answers)
        git(top, "clean", "-fdXq", "recsys", "template", "tests")  # compiled files keep no empty folder
        git(top, "rm", "-r", "--quiet", ".")
        for path in written:
            new = top / path.relative_to(folder)
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, new)
    git(top, "add", "--all")
    print(f"{len(written)} files are {name} now, and staged. Next: git commit -m 'Begin {name}', make lint, make test")


def fault_of(name: str, dataset: str, purpose: str, parts: list[str], top: Path) -> str | None:
    """Return why a product cannot be made of this folder."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,30}", name) or "recsys" in name:
        return f"--name {name!r}: expected small letters, digits and _, a letter first, without the old name"
    if (top / name).exists() or importlib.util.find_spec(name):
        return f"--name {name}: a folder or an installed package has that name already; choose another one"
    known = SECTIONS.findall((top / "params.yaml").read_text(encoding="utf-8"))
    if dataset not in known:
        return f"--dataset {dataset!r}: params.yaml has no such data set; there are {', '.join(known)}"
    if purpose not in SPLITS:
        return f"--purpose {purpose!r}: expected one of {', '.join(SPLITS)}"
    if wrong := set(parts) - set(PARTS):
        return f"--drop {','.join(sorted(wrong))}: expected some of {', '.join(PARTS)}"
    if changes := git(top, "status", "--porcelain"):
        return f"the tree has changes ({changes.splitlines()[0].strip()}); commit or stash them first"
    return None


def origin(top: Path) -> dict[str, str]:
    """Return where the template comes from and which version this is, for `copier update`."""
    remote = git(top, "config", "--default", str(top), "--get", "remote.origin.url")
    return {"_commit": git(top, "describe", "--tags", "--always"), "_src_path": remote}


def git(top: Path, *arguments: str) -> str:
    """Run git in a folder and return what it printed."""
    return subprocess.run(["git", *arguments], cwd=top, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    app()
