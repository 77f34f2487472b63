"""Embeds the texts of items by a server with OpenAI's API, `POST {url}/embeddings`, if the setting `embed` is set.

    embed: {url: "http://localhost:8080/v1", model: bge-small-en}

The title and the text of each item leave this machine for that server. RECSYS_EMBEDDINGS_KEY holds its key, if it needs
one. Received vectors are stored in the folder `cache` by model and hash of the text, so that no text is sent twice,
even after an interrupted run.
"""

import hashlib
import os
import sys
import time
from pathlib import Path

import httpx
import polars as pl
from pydantic import Field

from recsys.data.download import ATTEMPTS, TRY_AGAIN
from recsys.errors import SourceUnreachableError, one_line
from recsys.output import replaced_file
from recsys.params import Section

KEY_VARIABLE = "RECSYS_EMBEDDINGS_KEY"
TIMEOUT = httpx.Timeout(60.0, connect=10.0)  # seconds
PAUSE_SECONDS = 1.0  # before the second attempt, twice as long before each later one
KEPT_AT_ONCE = 1_024  # texts after which the answers are written
KEPT = {"key": pl.String(), "vector": pl.List(pl.Float32)}
Vector = list[float]


class Embed(Section):
    """url: address of the API, up to `/v1`; model: its name there; batch: texts in a request; characters: maximum
    number of characters sent of a text; cache: folder of the vectors; delete it if the model changes but not its
    name."""

    url: str = Field(pattern="^https?://")
    model: str
    batch: int = Field(64, ge=1, le=2048)
    characters: int = Field(8_000, ge=1)
    cache: Path = Path("data/embeddings")


def write(items: pl.DataFrame, embed: Embed, path: Path) -> None:
    """Write item_id and vector, of each item with a title or a text. items: item_id, and title and text or one of them.

    Raises:
        SourceUnreachableError: "http://localhost:8080/v1/embeddings: HTTP 401 (...): correct ..., or run again; ..."
    """
    parts = [pl.col(name).fill_null("") for name in ("title", "text") if name in items.columns]
    text = pl.concat_str(parts, separator=" ").str.strip_chars().str.head(embed.characters) if parts else pl.lit("")
    with_text = items.select("item_id", text=text).filter(pl.col("text") != "")
    model = embed.cache / hashlib.sha256(embed.model.encode()).hexdigest()[:16]
    model.mkdir(parents=True, exist_ok=True)
    keys = pl.Series("key", [hashlib.sha256(one.encode()).hexdigest() for one in with_text["text"]], pl.String)
    texts = dict(zip(keys, with_text["text"], strict=True))
    kept = set(_kept(model)["key"])
    missing = [key for key in texts if key not in kept]
    secret = os.environ.get(KEY_VARIABLE)
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    with httpx.Client(timeout=TIMEOUT, headers=headers) as client:
        for start in range(0, len(missing), KEPT_AT_ONCE):
            group = missing[start : start + KEPT_AT_ONCE]
            vectors: list[Vector] = []
            for at in range(0, len(group), embed.batch):
                vectors += _ask(client, embed, [texts[key] for key in group[at : at + embed.batch]])
            with replaced_file(model / f"{group[0]}.parquet") as aside:
                pl.DataFrame({"key": group, "vector": vectors}, KEPT).write_parquet(aside)
            print(f"fetch: {start + len(group):,} of {len(missing):,} texts embedded", file=sys.stderr)
    known = _kept(model).unique("key", keep="first", maintain_order=True)
    vectors_of = with_text.with_columns(keys).join(known, on="key", maintain_order="left").select("item_id", "vector")
    vectors_of.write_parquet(path)


def _kept(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=KEPT), *(pl.read_parquet(path) for path in sorted(folder.glob("*.parquet")))])


def _ask(client: httpx.Client, embed: Embed, texts: list[str]) -> list[Vector]:
    """Return one vector for each text; send the request again after a temporary fault."""
    url, problem = f"{embed.url.rstrip('/')}/embeddings", ""
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1) if attempt else 0)
        try:
            answer = client.post(url, json={"model": embed.model, "input": texts})
        except httpx.RequestError as error:
            problem = one_line(str(error)) or type(error).__name__
            continue
        if answer.is_success:
            try:
                return _vectors(answer, len(texts))
            except (ValueError, KeyError, TypeError) as error:
                problem = f"not an answer of this API ({one_line(repr(error), 200)})"
                break
        problem = f"HTTP {answer.status_code} ({one_line(answer.text, 200)})"
        if answer.status_code not in TRY_AGAIN:
            break
    raise SourceUnreachableError(
        f"{url}: {problem}: correct `embed` in params.yaml or {KEY_VARIABLE}, or run again; {embed.cache} has the"
        " vectors received so far"
    )


def _vectors(answer: httpx.Response, n_texts: int) -> list[Vector]:
    found = sorted(answer.json()["data"], key=lambda one: int(one["index"]))
    if [one["index"] for one in found] != list(range(n_texts)):
        raise ValueError(f"{len(found)} vectors for {n_texts} texts")
    return [[float(number) for number in one["embedding"]] for one in found]
