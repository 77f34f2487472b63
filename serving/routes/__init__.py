"""The routes. The name of a function is its operation id: renaming one breaks generated clients."""

from fastapi import Request

from serving.service import Service


def service_of(request: Request) -> Service:
    """What the app answers with; read here, because a dependency of FastAPI costs 20 us a request."""
    service: Service = request.app.state.service
    return service


def id_of(request: Request) -> str:
    """The id that `serving/request_ids.py` gave the request."""
    request_id: str = request.scope["state"]["request_id"]
    return request_id
