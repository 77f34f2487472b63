"""Promotes a bundle, at once or as a canary after a replay of recorded requests; compares two releases."""

import time
from collections.abc import Mapping
from pathlib import Path

from recsys.bundle import bundle, releases
from recsys.bundle.bundle import Bundle
from recsys.contracts import SECONDS_PER_DAY
from recsys.drift import canary, recorded
from recsys.errors import BundleError, ParamsError, RecsysError
from recsys.recommend.self_check import check_apart

REPLAY_DAYS = 7.0


def share_of(text: str) -> float:
    """Return the share of a canary, written as "5%", "0.05" or "" (everybody), as a number in (0, 1].

    >>> share_of("5%"), share_of("0.01"), share_of("")
    (0.05, 0.01, 1.0)

    Raises:
        ParamsError: "--canary '500%': expected a share above 0 % and up to 100 %, such as 1%"
    """
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1) if text else 1.0
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ParamsError(f"--canary {text!r}: expected a share above 0 % and up to 100 %, such as 1%")
    return share


def promote(source: Path, folder: Path, public_key: str | None, share: float, store: str, notes: str) -> str:
    """Promote the bundle in `source` to the releases in `folder`; return the result as text for the terminal, with a
    comparison with the release that was current.

    share: share of the units that it serves; below 1 it becomes a canary, unless the replay refuses it. store: url.

    Raises:
        BundleError: "bundle 1f...: not promoted, because in a replay of recorded requests it recommends ..."
    """
    before, replay = releases.read(folder).stack[-1:], None
    if share < 1 and before:
        candidate, current = releases.load(source, public_key), releases.load(releases.current(folder))
        replay = replayed(candidate, current, store)
        if replay.refused:
            name = candidate.manifest.bundle_id
            said = f"bundle {name}: not promoted, because in a replay of recorded requests {replay.refused} ({replay})"
            raise BundleError(f"{said}; correct its data or training, or promote it without --canary")
    bundle_id = releases.promote(source, folder, public_key, check_apart, share, notes)
    said = ""
    if before and before != [bundle_id]:
        try:
            candidate, current = (bundle.load(folder / one) for one in (bundle_id, before[0]))
            said = "\n".join(["", *beside(candidate, current), f"{replay or replayed(candidate, current, store)}"])
        except RecsysError as error:  # a damaged release may be replaced
            said = f"\nnot compared with {before[0]}: {error}"
    state = releases.read(folder)
    if state.canary is not None and state.canary.bundle_id == bundle_id:
        return f"canary: {bundle_id} serves {share:.0%} of the units; `recsys watch` goes on from here{said}"
    return f"current release: {bundle_id}{said}"


def replayed(candidate: Bundle, current: Bundle, store: str) -> canary.Replay:
    """Replay with both bundles: for users with recent requests in the store and, up to `canary.PERSONS` in all, for
    users in the current release."""
    now = time.time()
    try:
        shown = recorded.answers(store, now - REPLAY_DAYS * SECONDS_PER_DAY, now)
        events = recorded.events(store, now - 30 * SECONDS_PER_DAY, now)
    except RecsysError:
        shown, events = [], []
    users = current.histories.users
    persons: dict[str, Mapping[str, str]] = {}
    for answer in shown:  # newest first
        if answer.person.startswith("u:"):
            persons.setdefault(answer.person, answer.said)
    for at in range(0, len(users), -(-len(users) // canary.PERSONS) or 1):
        persons.setdefault(f"u:{users.external_id(at)}", {})
    return canary.replay(candidate, current, persons, events)


def beside(candidate: Bundle, current: Bundle) -> list[str]:
    """Return lines that compare a bundle with the current release: items, users, size, and the NDCG by segment of each
    released variant, in the test window of its own training."""
    new, old = (one.manifest for one in (candidate, current))
    ids = [one.catalogue.frame["item_id"] for one in (candidate, current)]
    both = int(ids[0].is_in(ids[1].implode()).sum())
    sizes = [sum(file.bytes for file in one.files) / 1e6 for one in (new, old)]
    scores = [one.metrics.get("variants", {}).get(one.default_variant, {}) for one in (new, old)]
    segments = [
        f"{name} {value:.4f} ({scores[1][name]:.4f})"
        for name, value in scores[0].items()
        if name in scores[1] and "ndcg@" in name
    ]
    window = "the same window" if new.data_hash and new.data_hash == old.data_hash else "each in its own window"
    return [
        f"items: {both:,} in both, {len(ids[0]) - both:,} new, {len(ids[1]) - both:,} gone",
        f"users: {new.counts['users']:,} ({old.counts['users']:,} in the release before), size: {sizes[0]:.1f} MB"
        f" ({sizes[1]:.1f})",
        *([f"offline, {window}: {', '.join(segments)}"] if segments else []),
    ]


SKIPPED = {"bundle_id", "files", "format"}
USERS = 200
ABSENT = "absent"


def changes(first: object, second: object, at: str = "") -> list[tuple[str, str, str]]:
    """Return (path, first value, second value) of each difference between two nested settings; at: path of both.

    >>> changes({"a": 1, "b": {"c": [1, 2]}}, {"b": {"c": [1, 3]}, "d": {"e": 0}})
    [('a', '1', 'absent'), ('b.c.1', '2', '3'), ('d', 'absent', 'there')]
    """
    both = [dict(enumerate(each)) if isinstance(each, list) else each for each in (first, second)]
    before, after = both
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return [
            line
            for name in dict.fromkeys([*before, *after])
            for line in changes(before.get(name, ABSENT), after.get(name, ABSENT), f"{at}.{name}" if at else str(name))
        ]
    x, y = ("there" if isinstance(each, Mapping) else str(each) for each in both)
    return [(at, x, y)] if first != second else []


def lines(folder: Path, first: str, second: str) -> list[str]:
    """Return the differences of two releases (bundle ids) as lines `key: first value -> second value`.

    Raises:
        BundleError: one of them is damaged, or is no release in `folder`.
    """
    old, new = (bundle.load(folder / one) for one in (first, second))
    before, after = (one.manifest.model_dump(mode="json", exclude=SKIPPED) for one in (old, new))
    found = [f"{at}: {x} -> {y}" for at, x, y in sorted(changes(before, after))]
    for one in (first, second):
        record = folder / f"{one}.json"
        found.append(f"{one}: {' '.join(record.read_text().split()) if record.is_file() else 'no record'}")
    found += beside(new, old)
    users = new.histories.users
    step = -(-len(users) // USERS) or 1
    persons: dict[str, Mapping[str, str]] = {f"u:{users.external_id(at)}": {} for at in range(0, len(users), step)}
    return [*found, f"lists of {new.manifest.default_variant}: {canary.replay(new, old, persons, [])}"]
