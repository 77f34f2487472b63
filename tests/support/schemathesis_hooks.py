"""Texts that only this API can know: without them nearly every generated filter, cursor and variant would be refused.

SCHEMATHESIS_HOOKS=tests.support.schemathesis_hooks schemathesis run http://127.0.0.1:8000/openapi.json
"""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import strategies as st

from recsys.business_rules.filters import grammar
from recsys.errors import FilterError
from recsys.schemas.field_limits import EARLIEST, LATEST, id_fault
from serving.api import cursors
from serving.settings import DEVELOPMENT_SECRET

SECRET = os.environ.get("RECSYS_SECRET", DEVELOPMENT_SECRET)
VARIANTS = os.environ.get("RECSYS_VARIANTS", "als,popular").split(",")

_numbers = st.floats(0, 100).map(lambda price: f"price < {price:.2f}")
_names = st.text("abc -_'", min_size=1, max_size=8).map(lambda name: f'category = "{name}"')
_tests = _numbers | _names | st.sampled_from(["available = true", "price between 1 and 9", 'category in ("a", "b")'])
_filters = st.recursive(
    _tests,
    lambda inner: st.builds("({} and {})".format, inner, inner) | inner.map("not ({})".format),
    max_leaves=4,
)
_shown = st.lists(st.text("abc-19", min_size=1, max_size=8), min_size=1, max_size=20)

_ids = st.text(min_size=1, max_size=12).filter(lambda text: id_fault(text) is None)
_naive = [moment.replace(tzinfo=None) for moment in (EARLIEST, LATEST - timedelta(days=1))]
_times = st.datetimes(*_naive, timezones=st.just(UTC)).map(datetime.isoformat)

schemathesis.openapi.format("recsys-id", _ids)
schemathesis.openapi.format("date-time", _times)
schemathesis.openapi.format("recsys-variant", st.sampled_from(VARIANTS))
schemathesis.openapi.format("recsys-filter", _filters)
schemathesis.openapi.format("recsys-cursor", _shown.map(lambda ids: str(cursors.encode(ids, SECRET))))


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Leave out texts of the greatest length that are no filter: a length is all that JSON Schema says of them."""
    return case.meta is None or case.meta.generation.mode.is_negative or all(map(_readable, _filters_in(case.body)))


def _filters_in(body: Any) -> list[str]:
    if not isinstance(body, dict):
        return []
    inner = body.get("requests")
    found = [text for each in inner for text in _filters_in(each)] if isinstance(inner, list) else []
    return [*found, body["filter"]] if isinstance(body.get("filter"), str) else found


def _readable(text: str) -> bool:
    try:
        grammar.parse(text)
    except FilterError:
        return False
    return True
