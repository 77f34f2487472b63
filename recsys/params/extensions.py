"""Finds a source, ranker or rule by the name of its file and checks its settings."""

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

from recsys.errors import ParamsError
from recsys.params import parse


def names(kind: str) -> list[str]:
    """Return the names of the extensions of a kind ("sources", "rankers", "models", ...): the files of its folder."""
    package = importlib.import_module(f"recsys.{kind}")
    files = (module for module in pkgutil.iter_modules(package.__path__) if not module.ispkg)
    return sorted(file.name for file in files if not file.name.startswith("_"))


def load(kind: str, name: str) -> ModuleType:
    """Import `recsys/<kind>/<name>.py`.

    Raises:
        ParamsError: "sources 'nearst': no file recsys/sources/nearst.py; there are: nearest, popular, random"
        ParamsError: "recsys/sources/nearest.py, line 3: not valid Python (invalid syntax)"
    """
    if name not in names(kind):
        raise ParamsError(f"{kind} {name!r}: no file recsys/{kind}/{name}.py; there are: {', '.join(names(kind))}")
    try:
        return importlib.import_module(f"recsys.{kind}.{name}")
    except SyntaxError as error:
        line = f"{error.filename}, line {error.lineno}: not valid Python ({error.msg})"
        raise ParamsError(line.removeprefix(f"{Path.cwd()}/")) from error


def build(kind: str, name: str, bundle: object, settings: dict[str, Any]) -> Any:
    """Return the extension, built for a `Bundle`; settings: must be valid for the extension's `Config`."""
    module = load(kind, name)
    return module.build(bundle, parse(module.Config, settings, f"{kind} {name!r}"))
