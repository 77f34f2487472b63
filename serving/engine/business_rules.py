"""The shop's rules: one YAML file that is read again when it changes, or a text from the store. See docs/rules.md.

    file = BusinessRulesFile(settings.rules, must_exist=True)    # at start; an invalid file is an error
    file.reload(bundle)                 # every half second, in a thread; quick when nothing changed
    file.current(bundle)                # once before a new bundle is served: it compiles the rules
    version, rules = file.current(bundle, surface="home", diversity=0.3)
    recommender.recommend(query, rules)

A cache key contains `file.version`. It is read before the rules: an answer must not be cached under a newer version
than that of its rules.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock

from recsys.bundle.bundle import Bundle
from recsys.business_rules.schema import Rules, load, read
from recsys.business_rules.slate import CompiledSlateRules, compiled
from recsys.errors import ParamsError
from serving.file_stamp import stamp
from serving.last_known import LastKnown

log = logging.getLogger(__name__)

BUNDLES = 3  # number of bundles with compiled rules: the old and the new one, and the shadow's
NO_RULES = Rules()
PART = "rules"


@dataclass(frozen=True)
class _Current:
    """Rules, version, text, and id() of a bundle -> compiled rules, in one object: a change is one assignment."""

    rules: Rules = NO_RULES
    version: str | None = None
    text: str = ""
    compiled: dict[int, CompiledSlateRules] = field(default_factory=dict)

    @cached_property
    def none(self) -> bool:
        return self.rules == NO_RULES


class BusinessRulesFile:
    """The rules in force. reason: why the file, or a part of it, has no effect; None if all of it is in force."""

    def __init__(self, path: Path, must_exist: bool = False, last_known: LastKnown | None = None) -> None:
        """Read the rules, or their last valid copy on this host. must_exist: whether a missing file is an error.

        Raises:
            ParamsError: the file is invalid or missing, and `last_known` has no copy. An API that started without its
                rules might show blocked items.
        """
        self._last_known = last_known
        self._path = path
        self._seen = self._tried = stamp(path)
        self._lock = Lock()
        self.reason: str | None = None
        self._current = _Current()
        if last_known is not None and (must_exist or self._seen or last_known.path(PART).is_file()):
            self._current, self.reason = last_known.read_file(PART, path, _read)
        elif must_exist or self._seen:
            self._current = _read(path)

    @property
    def version(self) -> str | None:
        """Hash of the file's bytes; None while there is no file."""
        return self._current.version

    @property
    def snapshot(self) -> tuple[str | None, str]:
        """The version and the text of the rules in force."""
        return self._current.version, self._current.text

    def reload(self, bundle: Bundle) -> bool:
        """Apply a changed file once two calls in a row saw the same content: before that it may be half written. Return
        whether the rules changed. A file that is invalid, or names items or categories that are not in the catalogue of
        `bundle`, changes nothing; `reason` and one line in the log say why."""
        now = stamp(self._path)
        settled, self._seen = now == self._seen, now
        if now == self._tried or not settled:
            return False
        self._tried = now
        return self._apply(lambda: _read(self._path), bundle, str(self._path))

    def apply_text(self, text: str, bundle: Bundle | None) -> bool:
        """Apply rules that were read from the store; return False, and set `reason`, if invalid. bundle: the served
        one, whose catalogue must contain the items and categories; None before the first one."""
        content = text.encode()
        version, where = hashlib.sha256(content).hexdigest()[:12], "the rules in the store"
        return self._apply(lambda: _Current(read(content, where), version, text), bundle, where)

    def _apply(self, make: Callable[[], _Current], bundle: Bundle | None, where: str) -> bool:
        try:
            changed = make()
            if bundle is not None:
                rules, missing = compiled(changed.rules, bundle)
                if missing:
                    raise ParamsError(f"{where}: {missing[0]} is not in the catalogue: correct or remove it")
                changed.compiled[id(bundle)] = rules
        except ParamsError as error:
            self._report(f"{error}; the rules of version {self.version} stay")
            if self._last_known is not None:
                self._last_known.use(PART, True)
            return False
        self._current, self.reason = changed, None
        if self._last_known is not None:
            self._last_known.use(PART, False)
            self._last_known.keep(PART, changed.text)
        log.info("%s: version %s is in force now", where, self.version)
        return True

    def current(
        self, bundle: Bundle, surface: str | None = None, diversity: float | None = None, now: float | None = None
    ) -> tuple[str | None, CompiledSlateRules | None]:
        """Return the version of the rules, None without a file, and the rules for an answer, None if none apply.
        surface: place of the shop, as the request names it; diversity: 0..1, in place of the file's; now: UTC seconds,
        at which pins must be valid, by default the present. Rules for items or categories that this bundle lacks have
        no effect, and `reason` names one of them."""
        current = self._current
        if current.none and not diversity:
            return current.version, None
        rules = current.compiled.get(id(bundle))
        if rules is None or rules.bundle is not bundle:
            rules = self._compile(current, bundle)
        return current.version, rules.at(time.time() if now is None else now, surface, diversity)

    def _compile(self, current: _Current, bundle: Bundle) -> CompiledSlateRules:
        rules, missing = compiled(current.rules, bundle)
        if missing:
            self._report(f"{self._path}: {missing[0]} is not in the catalogue of this bundle: its rule has no effect")
        with self._lock:
            current.compiled.pop(id(bundle), None)
            current.compiled[id(bundle)] = rules
            if len(current.compiled) > BUNDLES:
                current.compiled.pop(next(iter(current.compiled)))
        return rules

    def _report(self, reason: str) -> None:
        if reason != self.reason:
            log.warning(reason)
        self.reason = reason


def _read(path: Path) -> _Current:
    try:
        rules, version, text = load(path)
    except ParamsError as error:
        raise ParamsError(f"{error}; RECSYS_RULES is the path of this file") from error
    return _Current(rules, version[:12], text)
