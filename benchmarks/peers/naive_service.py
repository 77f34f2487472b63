"""The service a team would write itself: FastAPI around `implicit`, popular items for strangers, and nothing else.

    NAIVE_BUNDLE=bundle uvicorn --factory benchmarks.peers.naive_service:create_app

It answers from the same bundle as the API: ALS' item vectors, the users' histories, and a vector for each known user,
made once at the start. No validation of items, rules, store, experiments, metrics or logs.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI
from implicit.cpu.als import AlternatingLeastSquares
from pydantic import BaseModel
from scipy.sparse import csr_matrix

MODEL = "als"


class Request(BaseModel):
    """What the service is asked."""

    user_id: str
    k: int = 10


def create_app() -> FastAPI:
    """Load the bundle and serve it."""
    from recsys.bundle.bundle import load

    bundle = load(Path(os.environ["NAIVE_BUNDLE"]))
    histories, catalogue, served = bundle.histories, bundle.catalogue, bundle.models[MODEL]
    now = bundle.manifest.trained_until.timestamp()
    ids = [catalogue.ids.external_id(row) for row in range(len(catalogue))]
    titles = catalogue.frame["title"].to_list()
    users = {histories.users.external_id(at): at for at in range(len(histories.users))}
    rows = [histories.at(at).rows for at in range(len(users))]
    likes = csr_matrix(
        (np.ones(sum(map(len, rows)), dtype=np.float32), np.concatenate(rows), np.cumsum([0, *map(len, rows)])),
        shape=(len(users), len(ids)),
    )
    dim = served.embeddings.vectors.shape[1]
    model = AlternatingLeastSquares(factors=dim, num_threads=1)
    model.item_factors = np.ascontiguousarray(served.embeddings.vectors)
    vectors = (served.encoder.encode(histories.at(at), now) for at in range(len(users)))
    model.user_factors = np.array([np.zeros(dim) if one is None else one for one in vectors], dtype=np.float32)
    popular = np.argsort(-catalogue.recent)
    app = FastAPI()

    @app.get("/readyz")
    async def ready() -> str:
        return "ready"

    @app.post("/v1/recommend")
    async def recommend(request: Request) -> dict[str, Any]:
        user = users.get(request.user_id)
        if user is None:
            found, scores = popular[: request.k], catalogue.recent[popular[: request.k]]
        else:
            found, scores = model.recommend(user, likes[user], N=request.k, filter_already_liked_items=True)
        items = [
            {"item_id": ids[row], "title": titles[row], "score": float(score)}
            for row, score in zip(found, scores, strict=True)
        ]
        return {"items": items}

    return app
