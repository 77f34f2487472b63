"""The vocabulary of the shop, read from `words.yaml`: kinds of products, styles, brands, colours, praise."""

from pathlib import Path
from typing import Any

from recsys.params import yaml_files

_FILE: dict[str, Any] = yaml_files.read(Path(__file__).with_suffix(".yaml")).content
DEPARTMENTS: dict[str, dict[str, tuple[float, list[str]]]] = _FILE["departments"]  # sub-category -> price, nouns
STYLES: dict[str, tuple[list[str], list[str]]] = _FILE["styles"]  # words, brands
COLOURS: list[str] = _FILE["colours"]
PRAISE: list[str] = _FILE["praise"]
