"""Assigns an arm to a request through OpenFeature: our own hash is the default provider, any other can replace it.

RECSYS_FLAG_PROVIDER names another one as `package.module:factory`. For a string flag with the name of an experiment it
returns the name of an arm; all else (the arm's variant, exploration, exposures, readout) stays. When a provider fails,
the default variant answers, and the failure is counted.
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
NOBODY = ""  # the value of a flag for those who take no part
NAMED = ("segment", "surface")
FORCED = "forced"  # metadata of an answer: the unit was put in this arm by hand, so no statistic may count it


@dataclass(frozen=True)
class Picked:
    """The arm of a request, with its experiment and settings."""

    assignment: Assignment
    arm: Arm


class HashBucketProvider(AbstractProvider):
    """The default provider: assigns by a hash of the unit, as in `experiments.yaml`. Stateless."""

    def __init__(self, experiments_file: "ExperimentsFile") -> None:
        super().__init__()
        self._following = experiments_file

    def get_metadata(self) -> Metadata:
        return Metadata("buckets")

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Return the name of the arm; the default value for units that take no part."""
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
    """Remembers the arm of the last evaluated flag; the service logs it as an exposure with the items shown."""

    def __init__(self) -> None:
        self.noted: tuple[str, str, bool] | None = None

    def after(self, hook_context: HookContext, details: FlagEvaluationDetails[FlagValueType], hints: HookHints) -> None:
        if details.value != NOBODY:
            forced = bool(details.flag_metadata.get(FORCED))  # not by the reason: flagd calls every split a match
            self.noted = (hook_context.flag_key, str(details.value), forced)


class ExperimentsFile:
    """The current experiments: reads `experiments.yaml` again when it changes; a faulty file is refused as a whole."""

    def __init__(self, path: Path, last_known: LastKnown | None = None) -> None:
        """Read the file or its last valid copy; raises ParamsError if it is faulty and `last_known` has no copy."""
        self._path, self._last_known = path, last_known
        self._seen = self._tried = stamp(path)
        self.reason: str | None = None
        self.certain: Callable[[], bool] = lambda: True  # False: other hosts may run others by now, so none runs here
        if last_known is None:
            self.experiments, self.version = config.load(path)
        else:
            (self.experiments, self.version), self.reason = last_known.read_file(PART, path, config.load)

    def reload(self) -> None:
        """Apply a changed file once it is equal in two calls: the first may have read it half written.

        With a faulty or missing file the old experiments go on, and `reason` says why.
        """
        now = stamp(self._path)
        settled, self._seen = now == self._seen, now
        if now == self._tried or not settled:
            return
        self._tried = now
        try:
            if now is None:
                raise ParamsError(f"{self._path}: no such file: `experiments: {{}}` in it says that there are none")
            self._apply(config.load(self._path), self._path.read_text(encoding="utf-8"))
        except ParamsError as error:
            self._refuse(error)

    def give(self, text: str) -> bool:
        """Apply a text of the channel as `reload` applies a file; return whether it is not refused."""
        try:
            self._apply(config.read(text.encode(), "the experiments of the channel"), text)
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
    """Evaluates every running experiment, in the order of the file; the first that returns an arm counts.

    The arm comes from the provider that OpenFeature has for `DOMAIN`, which `serving/process.py` sets to `provider`.
    """

    def __init__(self, experiments_file: ExperimentsFile, provider: str = "") -> None:
        """Make the provider; raises ParamsError: "RECSYS_FLAG_PROVIDER 'x:y': ..."."""
        self._following = experiments_file
        self.provider = _provider(provider) if provider else HashBucketProvider(experiments_file)
        self._client = api.get_client(DOMAIN)

    @property
    def version(self) -> str:
        """Version of the file of the experiments."""
        return self._following.version

    @property
    def busy(self) -> bool:
        return bool(self._following.experiments.experiments) and self._following.certain()

    def assign(self, units: Mapping[config.Unit, str], about: Mapping[str, str]) -> Picked | None:
        """Assign an arm. units: as in `Subject`; about: segment, surface and the attributes of the request."""
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
                log.warning("experiment %s: the provider answered %r, which is no arm of it", name, arm)
        return None


def _provider(named: str) -> AbstractProvider:
    module, _, factory = named.partition(":")
    try:
        made = getattr(importlib.import_module(module), factory)()
    except Exception as error:
        raise ParamsError(
            f"RECSYS_FLAG_PROVIDER {named!r}: cannot be made ({error}); expected module:factory"
        ) from error
    if not isinstance(made, AbstractProvider):
        raise ParamsError(
            f"RECSYS_FLAG_PROVIDER {named!r}: made a {type(made).__name__}, expected an OpenFeature provider"
        )
    return made
