"""The routes. The name of a function is its operation id: renaming one breaks generated clients."""

from fastapi import Request
from starlette.convertors import PathConvertor, register_url_convertor

from serving.api.errors import ApiError
from serving.middleware.load_shedding import Work
from serving.service.service import Service


class AnyText(PathConvertor):
    """Path converter like Starlette's `path` that also matches line breaks, as an id may be any text."""

    regex = "(?s:.*)"


register_url_convertor("text", AnyText())


def service_of(request: Request) -> Service:
    """Return the service of the app. It is not a dependency of FastAPI, as that would cost 20 us per request."""
    service: Service = request.app.state.service
    return service


async def only_its_parameters(request: Request) -> None:
    """Check the names in the query string, as the keys of a body are checked: a misspelt one would change nothing.

    Raises:
        ApiError: 422 "'filter': no parameter of this route, or given twice; there are: fields, k, variant"
    """
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known or name in seen:
            listed = ", ".join(sorted(known)) or "none"
            fault = f"{name!r:.80}: no parameter of this route, or given twice; there are: {listed}"
            raise ApiError(422, fault, name[:80])
        seen.add(name)


def id_of(request: Request) -> str:
    """Return the request_id, which `serving/front.py` has set."""
    request_id: str = request.scope["state"]["request_id"]
    return request_id


def key_of(request: Request) -> str | None:
    """Return the name of the request's API key; None if no keys are configured."""
    key: str | None = request.scope["state"].get("client")
    return key


def work_of(request: Request) -> Work:
    """Return the record that counts the cost of this request, for the worker's load and the key's rate."""
    work: Work = request.scope["state"]["work"]
    return work
