"""The routes. The name of a function is its operation id: renaming one breaks generated clients."""

from fastapi import Request
from starlette.convertors import PathConvertor, register_url_convertor

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
