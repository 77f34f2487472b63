"""Texts that only this API can know: without them nearly every generated filter, cursor and variant would be refused.

SCHEMATHESIS_HOOKS=tests.support.schemathesis_hooks schemathesis run http://127.0.0.1:8000/openapi.json
"""

import os
from datetime import UTC, datetime, timedelta

import schemathesis
from hypothesis import strategies as st

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
