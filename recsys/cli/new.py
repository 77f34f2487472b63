"""`recsys new`: creates an extension from the example in docs/extending.md, which the tests run."""

import re
from enum import StrEnum
from pathlib import Path

from recsys.errors import ParamsError
from recsys.output import write_text

PAGE = Path("docs/extending.md")


class Kind(StrEnum):
    """The kinds of extensions. An extension is a file in `recsys/<kind>s`, such as `recsys/models` for a model."""

    DATASET = "dataset"
    MODEL = "model"
    ENCODER = "encoder"
    SOURCE = "source"
    RANKER = "ranker"
    RULE = "rule"


RULES = "rules: [{{name: seen}}, {{name: available}}]"
SETTINGS = {
    Kind.DATASET: "datasets:\n  {name}: (a copy of a similar section), then `recsys use {name}`",
    Kind.MODEL: "models:\n  {name}: {{}}\nin a variant: sources: [{{source: item_item, config: {{model: {name}}}}}]",
    Kind.ENCODER: "nothing: a model names it in its `Embeddings`",
    Kind.SOURCE: "variants:\n  with_{name}:\n    sources: [{{source: {name}}}]\n    " + RULES,
    Kind.RANKER: "in a variant:\n    ranker: {{name: {name}}}",
    Kind.RULE: "in the variants:\n    " + RULES.replace("[", "[{{name: {name}}}, "),
}


def begin(kind: Kind, name: str, top: Path = Path()) -> str:
    """Write `recsys/<kind>s/<name>.py` and return instructions as text; top: the folder of the repository.

    Raises:
        ParamsError: "source 'my-source': not a name of a Python file: use small letters, digits and _"
        ParamsError: "recsys/sources/popular.py: the file exists already: choose another name"
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ParamsError(f"{kind} {name!r}: not a name of a Python file: use small letters, digits and _")
    path = Path("recsys") / f"{kind}s" / f"{name}.py"
    if (top / path).exists():
        raise ParamsError(f"{path}: the file exists already: choose another name")
    title = "An encoder in full" if kind is Kind.ENCODER else f"## A {'data set' if kind is Kind.DATASET else kind}: "
    example = re.search(rf"{title}.*?```python\n(.*?)```", (top / PAGE).read_text(encoding="utf-8"), re.DOTALL)
    if example is None:
        raise ParamsError(f"{PAGE}: no example of a {kind} found: restore the page (git checkout {PAGE})")
    write_text(top / path, example[1])
    settings = SETTINGS[kind].format(name=name)
    return f"{path}: an example, change it. Add to params.yaml:\n{settings}\nTest it: pytest tests/extensions"
