"""The shop's rules: one YAML file that is read again when it changes, or a text from the channel. See docs/rules.md.

    file = BusinessRulesFile(settings.rules, must_exist=True)    # at start; a bad file is refused
    file.reload(bundle)                 # every half second, in a thread; quick when nothing changed
    file.current(bundle)                # once before a new bundle is swapped in: it compiles the rules
    version, rules = file.current(bundle, surface="home", diversity=0.3)
    recommender.recommend(query, rules)

`file.version` is part of cache keys; read it before the rules, so that no answer by older rules is cached under a newer
version. `file.reason` says why the file has no effect, or only a part of it.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from recsys.bundle.bundle import Bundle
from recsys.business_rules.schema import Rules, load, read
from recsys.business_rules.slate import CompiledSlateRules, compiled
from recsys.errors import ParamsError
from serving.file_stamp import stamp
from serving.last_known import LastKnown

log = logging.getLogger(__name__)

BUNDLES = 3  # that compiled rules are kept for: the old, the new, and one in the shadow
NO_RULES = Rules()
PART = "rules"


@dataclass(frozen=True)
class _Current:
    """Rules with their version, compiled for bundles by their id(); one object: a change is one assignment."""

    rules: Rules = NO_RULES
    version: str | None = None
    text: str = ""
    compiled: dict[int, CompiledSlateRules] = field(default_factory=dict)


class BusinessRulesFile:
    """The current rules. A faulty file is refused as a whole, and the earlier rules stay.

    reason: why the file is refused, or which part of it has no effect; None if it is applied in full.
    """

    def __init__(self, path: Path, must_exist: bool = False, last_known: LastKnown | None = None) -> None:
        """Read the rules or their last valid copy on this host; without both there are none.

        Raises:
            ParamsError: as `recsys/business_rules/schema.py` says, and `last_known` has no copy. An API that started
                without its rules might show blocked items.
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
        """The version, and the text of the file."""
        return self._current.version, self._current.text

    def reload(self, bundle: Bundle) -> bool:
        """Apply a changed file once it is equal in two calls: the first may have read it half written.

        Returns True if the rules changed. A file that cannot be read, or that names items or categories that the
        catalogue of `bundle` lacks, changes nothing and is reported once.
        """
        now = stamp(self._path)
        settled, self._seen = now == self._seen, now
        if now == self._tried or not settled:
            return False
        self._tried = now
        return self._apply(lambda: _read(self._path), bundle, str(self._path))

    def give(self, text: str, bundle: Bundle | None) -> bool:
        """Apply a text of the channel as `reload` applies a file; bundle: None before the first one is served."""
        content = text.encode()
        version, where = hashlib.sha256(content).hexdigest()[:12], "the rules of the channel"
        return self._apply(lambda: _Current(read(content, where), version, text), bundle, where)

    def _apply(self, make: Callable[[], _Current], bundle: Bundle | None, where: str) -> bool:
        try:
            changed = make()
            if bundle is not None:
                rules, missing = compiled(changed.rules, bundle)
                if missing:
                    raise ParamsError(f"{where}: {missing[0]} is not in the catalogue: correct it or take it out")
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
        log.info("%s: version %s counts now", where, self.version)
        return True

    def current(
        self, bundle: Bundle, surface: str | None = None, diversity: float | None = None, now: float | None = None
    ) -> tuple[str | None, CompiledSlateRules | None]:
        """Return the version of the rules, and the rules for an answer from this bundle now; None without rules.

        diversity: 0..1, replaces that of the file; now: UTC seconds, for pins. Names that this bundle lacks are ignored
        and reported: a new bundle is not refused for an item that is gone.
        """
        current = self._current
        if current.rules == NO_RULES and not diversity:
            return current.version, None
        rules = current.compiled.get(id(bundle))
        if rules is None or rules.bundle is not bundle:
            rules = self._compile(current, bundle)
        return current.version, rules.at(time.time() if now is None else now, surface, diversity)

    def _compile(self, current: _Current, bundle: Bundle) -> CompiledSlateRules:
        rules, missing = compiled(current.rules, bundle)
        if missing:
            self._report(f"{self._path}: {missing[0]} is not in the catalogue of this bundle: it has no effect")
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
        raise ParamsError(f"{error}; RECSYS_RULES names the file") from error
    return _Current(rules, version[:12], text)
