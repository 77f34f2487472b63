"""`params.yaml`, typed. Unknown and missing keys are errors that name the file, the key and the choices.

No section overrides another: `models.<m>` has the settings shared by all data sets, `datasets.<name>.models.<m>` those
of one data set, and a key in both is an error; likewise for `variants`. The stage `tune` searches the settings that a
data set leaves out, see `recsys/params/tuned.py`.
"""

from collections.abc import Collection, Container, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from recsys.errors import ParamsError
from recsys.params import yaml_files
from recsys.params.section import Section as Section
from recsys.params.section import parse as parse
from recsys.params.tuned import TUNED_FILE, TuneParams, with_tuned

PARAMS_FILE = Path("params.yaml")
EngineName = Literal["local", "duckdb", "spark"]  # see `recsys/data/engines`


class SplitParams(Section):
    """Settings of the split; see `recsys/data/split_protocols.py` for both protocols."""

    protocol: Literal["global_time", "per_user_holdout"]
    valid_share: float = Field(gt=0, lt=0.5)
    test_share: float = Field(gt=0, lt=0.5)
    cold_item_share: float = Field(0.0, ge=0, lt=0.5)
    target_events: list[str] = Field(min_length=1)
    allow_repeat: bool = False


class Thresholds(Section):
    """Limits at which the stage `prepare` fails; each share is a share of the rows read.

    max_emptied_share: for each column of the items, the share of cells that were unusable and set to null. Two settings
    do not stop the run: max_events_per_user_day: a user with more events on some day counts as a bot, and all rows of
    that user are quarantined; like_from: an interaction with a lower value does not count as a like, its weight is 0
    (one limit for all events, or a mapping from event to limit).
    """

    min_interactions: int = Field(ge=1)
    min_users: int = Field(ge=1)
    min_items: int = Field(ge=1)
    max_rejected_share: float = Field(ge=0, le=1)
    max_duplicate_share: float = Field(ge=0, le=1)
    max_orphan_share: float = Field(ge=0, le=1)
    max_emptied_share: float = Field(0.5, ge=0, le=1)
    max_events_per_user_day: int | None = Field(None, ge=1)
    like_from: float | dict[str, float] | None = None


class DatasetParams(Section):
    """The settings of one data set. recent_half_life_days: half-life of the recent popularity; smoothing: number of
    likes that the ranker `recency` adds to the popularity of each item; repeat_half_life_days: half-life of a like in
    the source `repeat`, which proposes liked items again. The stage `tune` searches each of these settings that is
    None. segment_users_by: an attribute of users; the report has a segment for each of its frequent values."""

    adapter: dict[str, Any]
    event_weights: dict[str, float] = Field(min_length=1)
    thresholds: Thresholds
    split: SplitParams
    typed_half_life_days: float | None = Field(None, gt=0, alias="recent_half_life_days")
    smoothing: float | None = Field(None, ge=0)
    repeat_half_life_days: float | None = Field(None, gt=0)
    segment_users_by: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    release_candidates: list[str] | None = Field(None, min_length=1)  # see `Params.candidates`

    @property
    def recent_half_life_days(self) -> float:
        if self.typed_half_life_days is None:
            raise ParamsError(
                f"recent_half_life_days is neither in params.yaml nor in {TUNED_FILE}: run `dvc repro tune`"
            )
        return self.typed_half_life_days


class IndexParams(Section):
    """Search for nearest items: exact up to `exact_up_to` items, above that an IVF index with float16 vectors. The
    build fails if the index finds less than `min_recall` of the `recall_at` true neighbours of `sample` users."""

    exact_up_to: int = Field(ge=1)
    min_recall: float = Field(gt=0, le=1)
    recall_at: int = Field(ge=1)
    sample: int = Field(ge=1)


class SourceShare(Section):
    """One source of a variant, the share of slots it fills, and its own settings."""

    source: str
    share: float = Field(1.0, gt=0, le=1)
    config: dict[str, Any] = Field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name of this source in slots and traces: the model that it uses, or the source's name without one."""
        return str(self.config.get("model", self.source))


class Plugin(Section):
    """A ranker or a rule by file name, with its own settings."""

    name: str
    config: dict[str, Any] = Field(default_factory=dict)


class VariantParams(Section):
    """A named mix of sources, an optional ranker, and rules.

    candidates: the minimum number requested from each source; new_item_share: the share of slots that the source `new`
    fills, by default learned (`recsys/evaluation/choices/learn_new_items.py`); min_confidence: if the calibrated
    probability that the user chooses the best item is lower, popular items are the answer; without_live: the variant
    that answers while the counts of the newest events, which this variant needs, are missing or too old.
    """

    sources: list[SourceShare] = Field(min_length=1)
    candidates: int = Field(100, ge=1)
    new_item_share: float | None = Field(None, ge=0, le=1)
    min_confidence: float | None = Field(None, gt=0, lt=1)
    without_live: str | None = None
    ranker: Plugin | None = None
    rules: list[Plugin] = Field(default_factory=list)

    @property
    def models(self) -> list[str]:
        """The names of the models that the sources use, in the order of the sources."""
        return [part.label for part in self.sources if "model" in part.config]

    @property
    def pairs(self) -> list[str]:
        """The names of the item-item models that the sources use."""
        return [part.label for part in self.sources if part.source == "item_item"]


class RankerParams(Section):
    """Training of a ranker on the candidates of `variant`. known_items: for each of these numbers, each training user
    is also used as a new user, with only so many liked items; negatives: number of candidates kept per query beside the
    hits; rounds: maximum number of trees; num_leaves, learning_rate, min_data_in_leaf: as in LightGBM."""

    variant: str
    max_users: int = Field(ge=1)
    known_items: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)
    negatives: int = Field(ge=1)
    rounds: int = Field(ge=1)
    num_leaves: int = Field(ge=2, le=8)
    learning_rate: float = Field(gt=0, le=1)
    min_data_in_leaf: int = Field(ge=1)


class EvaluateParams(Section):
    """Offline evaluation. at: lengths of lists; warm_events: least number of known events of a warm user.
    new_user_items: numbers of liked items at which new users are measured; dormant_days: days without an event after
    which a user is dormant; bootstrap: number of replicates; confidence: of the intervals."""

    at: list[int] = Field(min_length=1)
    max_users: int = Field(ge=1)
    baselines: list[str] = Field(min_length=1)
    warm_events: int = Field(ge=1)
    new_user_items: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    dormant_days: float = Field(gt=0)
    bootstrap: int = Field(ge=100)
    confidence: float = Field(gt=0.5, lt=1)


class GateParams(Section):
    """The settings of the release gate: a candidate must beat `baseline` in `segment`; see evaluation/choices/gate.py.

    improve_in: further segments; a candidate other than the simplest one is considered only if it is better than the
    simplest one in `segment` or in one of these; tolerance: loss in `segment`, as a share, up to which a candidate
    counts as equal to the best; floors: segments in which no candidate may be worse than `baseline`; margin: loss
    tolerated in a floor, as a share of the baseline's value; alpha: level of each test.
    """

    metric: str
    segment: str
    baseline: str
    improve_in: list[str] = Field(default_factory=list)
    tolerance: float = Field(0.02, ge=0, lt=1)
    floors: list[str] = Field(default_factory=list)
    margin: float = Field(0.1, ge=0, lt=1)
    alpha: float = Field(0.01, gt=0, lt=0.5)


class Params(Section):
    """All of `params.yaml`; `variants` include the settings of the active data set."""

    dataset: str
    seed: int = Field(ge=0, lt=2**31)
    threads: int = Field(ge=1)
    engine: EngineName = "local"
    datasets: dict[str, DatasetParams]
    models: dict[str, dict[str, Any]]
    index: IndexParams
    variants: dict[str, VariantParams]
    rankers: dict[str, RankerParams] = Field(default_factory=dict)
    evaluate: EvaluateParams
    gate: GateParams
    tune: TuneParams = Field(default_factory=TuneParams)

    @property
    def data(self) -> DatasetParams:
        return self.datasets[self.dataset]

    @property
    def candidates(self) -> list[str]:
        """The names of the variants that may be released, from simple to elaborate. By default the gate's baseline,
        then all others in the order of the file."""
        return self.data.release_candidates or list(dict.fromkeys([self.gate.baseline, *self.variants]))

    def with_data(self, **changes: Any) -> "Params":
        """Return a copy of the settings; changes: new values of fields of the active data set."""
        return self.model_copy(
            update={"datasets": {**self.datasets, self.dataset: self.data.model_copy(update=changes)}}
        )

    def model(self, name: str) -> dict[str, Any]:
        return {**self.models[name], **self.data.models.get(name, {})}


def load(path: Path = PARAMS_FILE, tuned: bool = True) -> Params:
    """Read and check the file. tuned: whether the results of the stage `tune` for the active data set are added.

    Raises:
        ParamsError: "params.yaml: line 9: gate.alpha: Input should be less than 0.5, found '0.7'"
    """
    if not path.exists():
        raise ParamsError(f"{path}: no such file; run from the top of the repository or set --params")
    file = yaml_files.read(path)
    params = parse(Params, file.content, str(path), file)
    _check_names(params, path)
    variants = dict(params.variants)
    for name, own in params.data.variants.items():
        merged = variants[name].model_dump(exclude_unset=True) | own
        variants[name] = parse(VariantParams, merged, f"{path}: datasets.{params.dataset}.variants.{name}")
    params = params.model_copy(update={"variants": variants})
    return with_tuned(params, path.with_name(TUNED_FILE)) if tuned else params


def _check_names(params: Params, path: Path) -> None:
    """Refuse names of models, variants and other sections that do not exist.

    Raises:
        ParamsError: "params.yaml: dataset names 'shop', expected one of `datasets`: synthetic, movielens, ..."
    """
    variants, baselines = params.variants, params.evaluate.baselines
    shared = {name: variant.model_fields_set for name, variant in variants.items()}
    checks: list[tuple[str, Iterable[str], str, Collection[str]]]  # key, names at it, where they are defined
    checks = [("dataset", [params.dataset], "`datasets`", params.datasets)]
    for dataset, section in params.datasets.items():
        at, like_from = f"datasets.{dataset}", section.thresholds.like_from
        _check_tuned(f"{path}: {at}", "models", section.models, params.models)
        _check_tuned(f"{path}: {at}", "variants", section.variants, shared)
        events = f"{at}.event_weights", section.event_weights
        checks += [
            (f"{at}.release_candidates", section.release_candidates or (), "`variants`", variants),
            (f"{at}.thresholds.like_from", like_from if isinstance(like_from, dict) else (), *events),
            (f"{at}.split.target_events", section.split.target_events, *events),
        ]
    checks += [
        (f"rankers.{name}.variant", [one.variant], "`variants`", variants) for name, one in params.rankers.items()
    ]
    checks += [("evaluate.baselines", baselines, "`variants`", variants)]
    checks += [("gate.baseline", [params.gate.baseline], "evaluate.baselines", baselines)]
    for key, names, what, known in checks:
        for name in names:
            if name not in known:
                raise ParamsError(f"{path}: {key} names {name!r}, expected one of {what}: {', '.join(known)}")


def _check_tuned(at: str, kind: str, tuned: dict[str, dict[str, Any]], shared: Mapping[str, Container[str]]) -> None:
    """Refuse settings of unknown models or variants, and keys that the shared section sets too. at: for messages."""
    for name, settings in tuned.items():
        if name not in shared:
            raise ParamsError(f"{at}.{kind}.{name}: no such {kind[:-1]} in `{kind}`: add {kind}.{name}")
        if both := sorted(key for key in settings if key in shared[name]):
            raise ParamsError(f"{at}.{kind}.{name}: {both[0]!r} is also set in {kind}.{name}: keep one of the two")
