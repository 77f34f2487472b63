"""Assigns an arm of an experiment to a request through OpenFeature; the default provider hashes the unit's id.

RECSYS_FLAG_PROVIDER, `package.module:factory`, replaces it. A provider gets a string flag for each experiment, with the
experiment's name, and returns the name of an arm; it decides nothing else. When it fails, the default variant answers,
and the failure is counted.
"""

import importlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import (
    FlagEvaluationDetails,
    FlagEvaluationOptions,
    FlagResolutionDetails,
    FlagValueType,
    Reason,
)
from openfeature.hook import Hook, HookContext, HookHints
from openfeature.provider import AbstractProvider, Metadata

from recsys.errors import ParamsError
from recsys.experiments.online import config
from recsys.experiments.online.assignment import Assignment, Subject, assign_one, to_arm
from recsys.experiments.online.config import Arm
from serving import metrics
from serving.file_stamp import stamp
from serving.last_known import LastKnown

log = logging.getLogger(__name__)

DOMAIN = "recsys"
PART = "experiments"
NOBODY = ""  # the value of a flag for units that take no part in the experiment
NAMED = ("segment", "surface")
FORCED = "forced"  # metadata of a flag: the unit was assigned by hand, so no statistic may count it


@dataclass(frozen=True)
class Picked:
    """The arm of a request: its settings, and how it was assigned."""

    assignment: Assignment
    arm: Arm


class HashBucketProvider(AbstractProvider):
    """The default provider: assigns an arm by a hash of the unit's id, with the shares of `experiments.yaml`."""

    def __init__(self, experiments_file: "ExperimentsFile") -> None:
        super().__init__()
        self._following = experiments_file

    def get_metadata(self) -> Metadata:
        return Metadata("buckets")

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Return the name of the arm, or the default value for a unit that takes no part. flag_key: experiment."""
        experiments, found = self._following.experiments, None
        if evaluation_context is not None and evaluation_context.targeting_key:
            about: dict[str, Any] = dict(evaluation_context.attributes)
            segment, surface = (about.pop(name, None) for name in NAMED)
            units = {experiments.experiments[flag_key].unit: evaluation_context.targeting_key}
            found = assign_one(experiments, flag_key, Subject(units, segment, surface, about), datetime.now(UTC))
        if found is None:
            return FlagResolutionDetails(default_value, reason=Reason.DEFAULT)
        reason = Reason.TARGETING_MATCH if found.forced else Reason.SPLIT
        return FlagResolutionDetails(found.arm, reason=reason, variant=found.arm, flag_metadata={FORCED: found.forced})

    def _only_strings(
        self, flag_key: str, default_value: Any, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Any]:
        return FlagResolutionDetails(default_value, reason=Reason.DEFAULT)

    resolve_boolean_details = resolve_integer_details = _only_strings
    resolve_float_details = resolve_object_details = _only_strings


class ExposureHook(Hook):
    """Keeps the last evaluated flag in its attribute `noted`: experiment, arm, whether `forced` set the arm by hand."""

    def __init__(self) -> None:
        self.noted: tuple[str, str, bool] | None = None

    def after(self, hook_context: HookContext, details: FlagEvaluationDetails[FlagValueType], hints: HookHints) -> None:
        if details.value != NOBODY:
            forced = bool(details.flag_metadata.get(FORCED))  # not details.reason: flagd's is the same for all arms
            self.noted = (hook_context.flag_key, str(details.value), forced)


class ExperimentsFile:
    """The experiments in force, from `experiments.yaml` or the store. An invalid file changes nothing. reason: why the
    last file or text is not in force, or None. certain(): whether all hosts certainly run the same ones."""

    def __init__(self, path: Path, last_known: LastKnown | None = None) -> None:
        """Read the file or its last valid copy. Raises: ParamsError: it is invalid, and `last_known` has no copy."""
        self._path, self._last_known = path, last_known
        self._seen = self._tried = stamp(path)
        self.reason: str | None = None
        self.certain: Callable[[], bool] = lambda: True
        if last_known is None:
            self.experiments, self.version = config.load(path)
        else:
            (self.experiments, self.version), self.reason = last_known.read_file(PART, path, config.load)

    def reload(self) -> None:
        """Apply a changed file once two calls in a row saw the same content: before that it may be half written. If the
        file is invalid or missing, the old experiments stay in force, and `reason` says why."""
        now = stamp(self._path)
        settled, self._seen = now == self._seen, now
        if now == self._tried or not settled:
            return
        self._tried = now
        try:
            if now is None:
                raise ParamsError(
                    f"{self._path}: no such file; to end all experiments, write `experiments: {{}}` in it"
                )
            self._apply(config.load(self._path), self._path.read_text(encoding="utf-8"))
        except ParamsError as error:
            self._refuse(error)

    def apply_text(self, text: str) -> bool:
        """Apply experiments that were read from the store; return False, and set `reason`, if they are invalid."""
        try:
            self._apply(config.read(text.encode(), "the experiments in the store"), text)
        except ParamsError as error:
            self._refuse(error)
            return False
        return True

    def _apply(self, changed: tuple[config.Experiments, str], text: str) -> None:
        (self.experiments, self.version), self.reason = changed, None
        if self._last_known is not None:
            self._last_known.use(PART, False)
            self._last_known.keep(PART, text)
        log.info("experiments: version %s", self.version)

    def _refuse(self, error: ParamsError) -> None:
        if str(error) != self.reason:
            log.error("the experiments stay as they were: %s", error)
        self.reason = str(error)
        if self._last_known is not None:
            self._last_known.use(PART, True)


class ArmAssigner:
    """Assigns a request to an arm: of the first running experiment, in the order of the file, that its unit is part of.
    provider: the OpenFeature provider that decides; `serving/process.py` registers it for `DOMAIN`."""

    def __init__(self, experiments_file: ExperimentsFile, provider: str = "") -> None:
        """Create the provider. Raises: ParamsError: "RECSYS_FLAG_PROVIDER 'x:y': ..."."""
        self._following = experiments_file
        self.provider = _provider(provider) if provider else HashBucketProvider(experiments_file)
        self._client = api.get_client(DOMAIN)

    @property
    def version(self) -> str:
        """Version of the experiments in force."""
        return self._following.version

    @property
    def busy(self) -> bool:
        return bool(self._following.experiments.experiments) and self._following.certain()

    def assign(self, units: Mapping[config.Unit, str], about: Mapping[str, str]) -> Picked | None:
        """Return the request's arm, or None. units: kind -> id; about: segment, surface and attributes."""
        for name, experiment in self._following.experiments.experiments.items():
            unit = units.get(experiment.unit)
            if unit is None or not experiment.running(datetime.now(UTC)):
                continue
            exposing = ExposureHook()
            details = self._client.get_string_details(
                name, NOBODY, EvaluationContext(unit, dict(about)), FlagEvaluationOptions(hooks=[exposing])
            )
            if details.error_code is not None:
                metrics.FLAG_FAILURES.labels(name).inc()
                log.warning("experiment %s: the provider failed (%s)", name, details.error_message)
            elif exposing.noted is not None:
                _, arm, forced = exposing.noted
                if arm in experiment.arms:
                    return Picked(to_arm(name, experiment, arm, unit, forced), experiment.arms[arm])
                metrics.FLAG_FAILURES.labels(name).inc()
                log.warning("experiment %s: the provider returned %r, which is not one of its arms", name, arm)
        return None


def _provider(setting: str) -> AbstractProvider:
    module, _, factory = setting.partition(":")
    where = f"RECSYS_FLAG_PROVIDER {setting!r}"
    try:
        make = getattr(importlib.import_module(module), factory)
    except Exception as error:
        raise ParamsError(f"{where}: cannot be imported ({error}); expected package.module:factory") from error
    try:
        provider = make()
    except Exception as error:
        raise ParamsError(f"{where}: calling the factory failed ({error})") from error
    if not isinstance(provider, AbstractProvider):
        raise ParamsError(f"{where}: returned a {type(provider).__name__}, expected an OpenFeature provider")
    return provider
