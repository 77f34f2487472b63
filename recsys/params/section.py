"""The base of every section of `params.yaml`, and the one-line message for a section that is invalid."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from recsys.errors import ParamsError, one_line, quoted, validator_message
from recsys.params.yaml_files import YamlFile

M = TypeVar("M", bound=BaseModel)


class Section(BaseModel):
    """A section of `params.yaml`: read-only; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def parse(model: type[M], content: Any, where: str, file: YamlFile | None = None) -> M:
    """Return `content` as a validated `model`. where: file and section, as messages show them. file: the loaded file
    whose whole content this is, so that messages name the line; None: they show `where`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = where if file is None else file.at(first["loc"])
        key = ".".join(one_line(str(part), 60) for part in first["loc"]) or ("the file" if file else "")
        if first["type"] == "extra_forbidden":
            allowed = ", ".join(sorted(model.model_fields)) if len(first["loc"]) == 1 else "the documented keys"
            raise ParamsError(f"{at}: unknown key '{key}'; known here: {allowed}") from None
        of_several = first["type"] == "value_error" and isinstance(first["input"], dict)  # then the size says nothing
        found = "" if first["type"] == "missing" or of_several else f", found {quoted(first['input'])}"
        cure = (
            ": put it in quotes" if first["type"] == "string_type" and isinstance(first["input"], int | float) else ""
        )
        what = f"{one_line(validator_message(first))}{found}{cure}"
        raise ParamsError(": ".join(filter(None, (at, key, what)))) from None
