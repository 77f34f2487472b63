"""Runs the stages of dvc.yaml on several data sets in five processes, where DVC would start eighteen for each of them.

run(folders)    folders with params.yaml and the data; returns the error of each, "" for a finished run

What a command has written in a folder is kept, so that a run that was stopped goes on.
"""

import contextlib
import importlib
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import yaml

ROOT = Path(__file__).resolve().parents[2]
# torch, implicit, faiss and LightGBM bring an OpenMP each: a process loads one of them
ORDER = ("implicit", "torch", "faiss", "lightgbm", "faiss again")


def run(folders: list[Path], until: str = "release") -> dict[Path, str]:
    """Run the stages from `fetch` to `until` in every folder; a folder with an error is left as it is."""
    errors = dict.fromkeys(folders, "")
    commands = list(_commands(yaml.safe_load((folders[0] / "params.yaml").read_text(encoding="utf-8")), until))
    for process in ORDER:
        mine = [arguments for place, arguments in commands if place == process]
        work = json.dumps([[str(folder) for folder in folders if not errors[folder]], mine])
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, __file__], input=work, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AssertionError(f"{process}: {done.stderr}")
        errors |= {Path(folder): error for folder, error in json.loads(done.stdout).items()}
    return errors


def _commands(params: dict[str, Any], until: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the process and the arguments of every command, in the order of dvc.yaml."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name, stage in stages.items():
        each = stage.get("do", stage)["cmd"]
        for key in params[stage["foreach"].strip("${}")] if "foreach" in stage else [""]:
            for command in each if isinstance(each, list) else [each]:
                arguments = shlex.split(command.replace("${key}", key))[2:]  # without `python -m`
                yield _process(name, arguments), arguments
        if name == until:
            return


def _process(stage: str, arguments: list[str]) -> str:
    if arguments[0] == "recsys.stages.train":
        return "torch" if "content" in arguments else "implicit"
    if stage in ("evaluate", "release"):
        return "faiss again"
    return {"index": "faiss", "candidates": "faiss", "rank": "lightgbm"}.get(stage, "implicit")


def _call(module: str) -> None:
    """Run a stage in this process: by its name, not as `__main__`, so that processes of its own find its functions."""
    try:
        stage = importlib.import_module(module)
        typer.run(getattr(stage, "main", None) or stage.split)
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"exit code {end.code}") from end


def _work() -> None:
    folders, commands = json.load(sys.stdin)
    errors = {}
    for folder in folders:
        os.chdir(folder)
        said = io.StringIO()
        try:
            for arguments in commands:
                written = next((flag for flag in ("--out", "--tables", "--raw") if flag in arguments), None)
                if written and Path(arguments[arguments.index(written) + 1]).exists():
                    continue
                sys.argv = list(arguments)
                with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                    _call(arguments[0])
        except Exception as error:  # noqa: BLE001  # each data set has its own
            errors[folder] = f"{arguments[0]}: {error!r}; {said.getvalue()[-2000:]}"
    print(json.dumps(errors))


if __name__ == "__main__":
    _work()
