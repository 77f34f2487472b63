"""The least that FastAPI can do: what throughput is compared with."""

from fastapi import FastAPI


def create_app() -> FastAPI:
    """GET / says hello; /readyz is what the benchmark waits for."""
    app = FastAPI()

    @app.get("/")
    @app.get("/readyz")
    async def hello() -> dict[str, str]:
        return {"hello": "world"}

    return app
