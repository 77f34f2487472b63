"""Turns the engine's draft into the answer to one request, and the answer into an exposure, the store's record of what
was shown to whom."""

import time
from collections.abc import Mapping
from typing import Any

from recsys.experiments.online.assignment import Assignment
from serving.api.schemas import Answer, Experiment, RecommendRequest
from serving.engine.engine import Draft
from serving.stores.protocol import Exposed, Exposure

NOT_IN_THE_REPLAY = {"user_id", "anonymous_id", "cursor"}  # stored elsewhere: in columns, and as the cursor's item ids
PLAIN = dict(RecommendRequest())
FULL_PROPENSITY = 1.0  # no experiment: the variant was certain


def finished(
    draft: Draft,
    request_id: str,
    timings: Mapping[str, float],
    assignment: Assignment | None = None,
    shed: bool = False,
    next_cursor: str | None = None,
) -> Answer:
    """Return the answer to one request. The `meta` of the draft is changed and becomes part of the answer. timings:
    milliseconds by step; assignment: arm of the experiment that chose the variant, if any; shed: whether optional steps
    were skipped to shed load; next_cursor: cursor of the next page, if there is one."""
    meta = draft.meta
    meta.timings_ms = {step: int(ms * 1e3 + 0.5) / 1e3 for step, ms in timings.items()}  # a third of round's time
    if assignment is not None:
        meta.experiment = Experiment(
            name=assignment.experiment, variant=assignment.arm, propensity=assignment.probability, unit=assignment.unit
        )
    if shed and meta.fallback_reason == "deadline":
        meta.fallback_reason = "shed"
    return Answer(request_id=request_id, items=draft.items, meta=meta, warnings=draft.warnings, next_cursor=next_cursor)


def exposure(request: RecommendRequest, answer: Answer, made_from: Mapping[str, Any]) -> Exposure:
    """Return the exposure of an answer. Without user_id, anonymous_id is by default the request_id. made_from: inputs
    for a replay that are not in the request or the answer, see `serving/recorder/replay.py`."""
    meta, experiment = answer.meta, answer.meta.experiment
    nobody = request.user_id is None and request.anonymous_id is None
    return Exposure(
        request_id=answer.request_id,
        timestamp=time.time(),
        unit=experiment.unit if experiment else request.user_id or request.anonymous_id or answer.request_id,
        user_id=request.user_id,
        anonymous_id=answer.request_id if nobody else request.anonymous_id,
        experiment=experiment.name if experiment else None,
        variant=meta.variant,
        bundle_id=meta.bundle_id,
        surface=request.surface,
        segment=meta.segment,
        propensity=experiment.propensity if experiment else FULL_PROPENSITY,
        items=[
            Exposed(each.item_id, each.rank, each.score, each.source, each.propensity, each.confidence, each.boost)
            for each in answer.items
        ],
        context={
            "arm": experiment.variant if experiment else None,
            "fallback": meta.fallback,
            "fallback_reason": meta.fallback_reason,
            "degraded": meta.degraded,
            "teams": [item.team for item in answer.items if item.team is not None],
            "latency_ms": meta.timings_ms["total"],
        },
        replay={
            **made_from,
            "request": {
                name: value
                for name in sorted(request.model_fields_set - NOT_IN_THE_REPLAY)
                if (value := getattr(request, name)) != PLAIN[name]
            },
            "rules": meta.rules_version,
            "failed": meta.failed,
            "timings_ms": meta.timings_ms,
        },
    )
