"""Settings of the API from environment variables: the field `store_url` is the variable RECSYS_STORE_URL, and so on."""

import os
import tempfile
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from recsys.errors import ParamsError, validator_message
from recsys.schemas.field_limits import ATTRIBUTE_NAMES
from recsys.schemas.store_schema import DEFAULT_URL
from serving.api_keys import Key, parse

PREFIX = "RECSYS_"
DEVELOPMENT_SECRET = "for development only"


class Settings(BaseSettings):
    """All settings of the API. With `environment` = production, unsafe values are an error."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    releases: Path = Field(Path("releases"), description="the folder of the releases; the current one is served")
    last_known: Path = Field(
        Path(tempfile.gettempdir()) / f"recsys-{os.getuid()}",
        description="a folder of this host for copies of served files; a start without the originals uses them",
    )
    bundle: Path | None = Field(None, description="one bundle to serve, in place of the current release")
    shadow_bundle: Path | None = Field(None, description="a bundle that answers the same requests, unseen by users")
    public_key: str | None = Field(None, description="serve only bundles that this key's owner signed")
    store_url: str = Field(DEFAULT_URL, repr=False, description="sqlite:///path or postgresql://...")
    store_ms: float = Field(50, gt=0, description="milliseconds that an answer waits for a user's stored events")
    deadline_ms: float = Field(100, gt=0, description="milliseconds after which optional parts of answers are skipped")
    shed_requests: int = Field(
        100, ge=1, description="requests at once in a worker above which answers skip the models; times ten: 503"
    )
    max_connections: int = Field(
        800, ge=1, description="maximum of open connections of a worker; more close those with the earliest deadline"
    )
    receive_seconds: float = Field(
        10, gt=0, description="for a client to send the head of a request, for its body, and to read the answer"
    )
    leave_seconds: float = Field(
        0, ge=0, description="seconds from SIGTERM, when /readyz begins to fail, to the end, for load balancers"
    )
    history_events: int = Field(200, ge=1, description="how many of a user's latest events are read from the store")
    live_seconds: float = Field(30, gt=0, description="seconds between two updates of the live counts")
    live_events: int = Field(100_000, ge=0, description="how many of the newest events are counted; 0: no live counts")
    live_person_events: int = Field(1000, ge=1, description="a person with more events on a day (UTC) is not counted")
    live_new_items: int = Field(1000, ge=0, description="maximum number of shown items that only events name")
    rules: Path = Field(
        Path("rules.yaml"), description="the shop's rules, followed while the API runs; see docs/rules.md"
    )
    experiments: Path = Field(
        Path("experiments.yaml"), description="the A/B tests, followed while the API runs; see docs/experiments.md"
    )
    channel: Literal["files", "store"] = Field(
        "files", description="store: every host follows what `recsys releases|rules|experiments` wrote into the store"
    )
    flag_provider: str = Field("", description="package.module:factory of an OpenFeature provider that assigns arms")
    environment: Literal["development", "production"] = Field(
        "development", description="production refuses to start without keys or with the secret of development"
    )
    api_keys: str = Field("", repr=False, description="accepted keys: lines or a file, see serving/api_keys.py")
    secret: str = Field(DEVELOPMENT_SECRET, repr=False, min_length=16, description="signs cursors")
    cpu_hour_price: float = Field(0, ge=0, description="the price of an hour of CPU, for the cost of answers")
    log_format: Literal["text", "json"] = Field(
        "text", description="json: one line of JSON for each request and message"
    )
    log_share: float = Field(1, ge=0, le=1, description="the share of requests in the JSON log; errors always are")
    log_key: str = Field("", repr=False, description="a secret that user ids are hashed with in the JSON log, if given")
    prometheus_url: str = Field(
        "", repr=False, pattern="^(https?://.+)?$",
        description="http://host:port of a Prometheus; the Console shows its alerts and what each host serves",
    )  # fmt: skip
    traces: bool = Field(False, description="OpenTelemetry traces of requests, as the OTEL_ variables say")
    open_metrics: bool = Field(False, description="/metrics without a key, for a scraper inside of the network")
    max_body_bytes: int = Field(5_000_000, ge=1, description="a larger request body is refused")
    cache_url: str = Field("", repr=False, description="cache answers in `memory` or redis://...; empty: no cache")
    cache_seconds: float = Field(30, gt=0, description="seconds that an answer stays in the cache")
    answer_fields: str = Field(
        "",
        pattern=ATTRIBUTE_NAMES,
        description="names of the fields that items of answers have if a request names none, such as price,image",
    )
    gorse: bool = Field(False, description="answer gorse's client too, under /api")
    rate_limit: float = Field(
        500, ge=0, description="requests a second of one key in all workers, weighted by cost; 0: no limit"
    )

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment variables; an empty one counts as unset.

        Raises:
            ParamsError: "RECSYS_RATE_LIMIT: Input should be greater than or equal to 0"
        """
        try:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            where = f"{PREFIX}{str(first['loc'][0]).upper()}: " if first["loc"] else ""
            raise ParamsError(where + validator_message(first)) from None

    @property
    def last_known_folder(self) -> Path:
        """The subfolder of `last_known` with the copies of what this service serves, to start from without the
        originals. Its name is a hash of the path of the releases or the bundle, so that services do not share it."""
        served = str((self.bundle or self.releases).absolute())
        return self.last_known.absolute() / sha256(served.encode()).hexdigest()[:12]

    def followed(self, part: Literal["rules", "experiments"]) -> Path:
        """Return the file of rules or experiments to read at the start: the one in the settings or, if they come from
        the store, this host's last copy of it."""
        given: Path = getattr(self, part)
        return given if self.channel == "files" else self.last_known_folder / part

    @property
    def must_have_rules(self) -> bool:
        """Whether RECSYS_RULES is set, so that a start without this file is an error."""
        return "rules" in self.model_fields_set and self.channel == "files"

    @property
    def keys(self) -> tuple[Key, ...]:
        """The accepted API keys; without any, which only development allows, every request is allowed."""
        return parse(self.api_keys)

    @model_validator(mode="after")
    def _safe(self) -> Self:
        keys = self.keys  # parsed in every environment, so that an invalid line is always an error
        if self.environment != "development":
            if not keys:
                raise ValueError(
                    "RECSYS_API_KEYS is empty, so every request would be allowed; "
                    "make a key with `python -m serving.api_keys`"
                )
            if self.secret == DEVELOPMENT_SECRET:
                raise ValueError("RECSYS_SECRET is not set, and its default is public; set 32 random characters")
        return self


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address can be reached from this machine only."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
