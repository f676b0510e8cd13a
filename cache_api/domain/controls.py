"""What does the caller wish of the cache, in whichever of the known spellings?

Our own headers begin with `X-CacheAI-`, the same wishes may stand in the body's object `cache`, and other systems'
names are understood too. The strictest source wins: the shortest time, the highest floor, any "no". Where there is no
order, our header comes first, then the body, then the others. A bad value is an error in our spellings and ignored in
others'.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cache_api.domain.request import Controls

NAME_MAX = 128
TAG_MAX = 64
TAGS_MAX = 16
URL_MAX = 2048

OWN = "x-cacheai-"
_PEERS = frozenset(
    {
        "cache-control",
        "x-cache-bypass",
        "cf-aig-skip-cache",
        "cf-aig-cache-ttl",
        "cf-aig-cache-key",
        "helicone-cache-enabled",
        "helicone-cache-seed",
        "x-openrouter-cache",
        "x-openrouter-cache-clear",
        "x-openrouter-cache-ttl",
        "x-portkey-cache-force-refresh",
        "x-portkey-cache-namespace",
        "x-bf-cache-no-store",
        "x-bf-cache-ttl",
        "x-bf-cache-threshold",
        "x-bf-cache-type",
        "x-bf-cache-key",
        "x-llm-provider",
    }
)
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,10})([smhd]?)", re.ASCII)
_TASK = re.compile(r"[\w.:/ -]{1,64}")
_UNPRINTABLE = re.compile(r"[\x00\r\n]")


class InvalidControl(ValueError):
    """A wish cannot be read."""

    def __init__(self, name: str, wanted: str) -> None:
        super().__init__(f"{name} must be {wanted}.")
        self.param = name


def controls_of(headers: Mapping[str, str], cache: Any = None) -> Controls:
    """`headers` by lower-case name; `cache` is the body's object. Raises InvalidControl."""
    relevant = {name: value for name, value in headers.items() if name.startswith(OWN) or name in _PEERS}
    if cache is not None and not isinstance(cache, Mapping):
        raise InvalidControl("cache", "an object")
    if not relevant and not cache:
        return Controls()
    return _Reader(relevant, cache or {}).controls()


class _Reader:
    def __init__(self, headers: Mapping[str, str], body: Mapping[str, Any]) -> None:
        self.headers = headers
        self.body = body
        self.directives = _directives(headers.get("cache-control", ""))

    def controls(self) -> Controls:
        headers = self.headers
        ttl = self._shortest(self._ttls())
        provider, key, url, baseline = self._backend()
        return Controls(
            use_cache=not (
                self._own_flag("enable-cache", "use-cache") is False
                or _true(headers.get("x-cache-bypass"))
                or _true(headers.get("cf-aig-skip-cache"))
                or _false(headers.get("helicone-cache-enabled"))
                or _false(headers.get("x-openrouter-cache"))
            ),
            refresh=bool(
                self._own_flag("refresh", "no-cache")
                or "no-cache" in self.directives
                or _true(headers.get("x-portkey-cache-force-refresh"))
                or _true(headers.get("x-openrouter-cache-clear"))
            ),
            no_store=bool(
                self._own_flag("no-store", "no-store")
                or "no-store" in self.directives
                or _true(headers.get("x-bf-cache-no-store"))
                or ttl == 0
            ),
            only_if_cached=bool(
                self._own_flag("only-if-cached", "only-if-cached") or "only-if-cached" in self.directives
            ),
            ttl_seconds=ttl or None,
            max_age_seconds=self._shortest(self._max_ages()),
            threshold=max(self._thresholds(), default=None),
            namespace=self._name(
                "namespace",
                "helicone-cache-seed",
                "x-portkey-cache-namespace",
                "x-bf-cache-key",
                "cf-aig-cache-key",
            ),
            end_user=self._name("end-user", body="end_user"),
            tags=self._tags(),
            depends_on=self._depends_on(),
            task=self._task(),
            provider=provider.lower(),
            provider_key=key,
            base_url=url,
            baseline_protocol=baseline,
            model=self._header("baseline-model", NAME_MAX),
        )

    # -- one kind of value each

    def _own_flag(self, header: str, body: str) -> bool | None:
        """True if any source says yes; False if one says no; for `enable-cache` a no wins, see the caller."""
        found = []
        if (raw := self.headers.get(OWN + header)) is not None:
            if not _true(raw) and not _false(raw):
                raise InvalidControl(f"X-CacheAI-{header}", "true or false")
            found.append(_true(raw))
        if (value := self.body.get(body)) is not None:
            if not isinstance(value, bool):
                raise InvalidControl(f"cache.{body}", "true or false")
            found.append(value)
        if not found:
            return None
        return all(found) if header == "enable-cache" else any(found)

    def _ttls(self) -> Iterator[int]:
        if (raw := self.headers.get(OWN + "ttl")) is not None:
            yield _own_duration("X-CacheAI-TTL", raw)
        if (value := self.body.get("ttl")) is not None:
            yield _own_duration("cache.ttl", value)
        for name in ("cf-aig-cache-ttl", "x-bf-cache-ttl", "x-openrouter-cache-ttl"):
            if (seconds := _duration(self.headers.get(name))) is not None:
                yield seconds
        helicone = _true(self.headers.get("helicone-cache-enabled"))
        if helicone and (seconds := _duration(self.directives.get("max-age"))) is not None:
            yield seconds

    def _max_ages(self) -> Iterator[int]:
        if (value := self.body.get("s-maxage")) is not None:
            yield _own_duration("cache.s-maxage", value)
        helicone = _true(self.headers.get("helicone-cache-enabled"))
        if not helicone and (seconds := _duration(self.directives.get("max-age"))) is not None:
            yield seconds

    def _thresholds(self) -> Iterator[float]:
        if (raw := self.headers.get(OWN + "similarity-threshold")) is not None:
            yield _own_share("X-CacheAI-Similarity-Threshold", raw)
        if (value := self.body.get("similarity_threshold")) is not None:
            yield _own_share("cache.similarity_threshold", value)
        if (share := _share(self.headers.get("x-bf-cache-threshold"))) is not None:
            yield share
        if self.headers.get("x-bf-cache-type", "").lower() == "direct":
            yield 1.0

    def _name(self, header: str, *peers: str, body: str = "") -> str:
        if own := self._header(header, NAME_MAX):
            return own
        body = body or header
        if (value := self.body.get(body)) is not None:
            if not isinstance(value, str):
                raise InvalidControl(f"cache.{body}", "a string")
            return _checked(f"cache.{body}", value, NAME_MAX)
        for peer in peers:
            value = self.headers.get(peer, "")
            if value and len(value) <= NAME_MAX and not _UNPRINTABLE.search(value):
                return value
        return ""

    def _header(self, header: str, longest: int) -> str:
        return _checked(f"X-CacheAI-{header}", self.headers.get(OWN + header, "").strip(), longest)

    def _tags(self) -> tuple[str, ...]:
        tags = [*self._words("tags", "tags", TAG_MAX)]
        if len(set(tags)) > TAGS_MAX:
            raise InvalidControl("tags", f"at most {TAGS_MAX} of {TAG_MAX} characters each")
        return tuple(dict.fromkeys(tags))

    def _depends_on(self) -> tuple[str, ...]:
        return tuple(sorted(set(self._words("depends-on", "depends_on", NAME_MAX))))

    def _words(self, header: str, body: str, longest: int) -> Iterator[str]:
        for word in self.headers.get(OWN + header, "").split(","):
            if word.strip():
                yield _checked(f"X-CacheAI-{header}", word.strip(), longest)
        value = self.body.get(body)
        if value is None:
            return
        words = value.split(",") if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InvalidControl(f"cache.{body}", "a list of strings")
        for word in words:
            if word.strip():
                yield _checked(f"cache.{body}", word.strip(), longest)

    def _task(self) -> str:
        raw = self.headers.get(OWN + "task") or self.body.get("task") or ""
        return raw if isinstance(raw, str) and is_task(raw) else ""

    def _backend(self) -> tuple[str, str, str, bool]:
        """Provider, key, URL, and whether all three came as cacheai 0.2.0 spells them."""
        limits = (("provider", NAME_MAX), ("api-key", URL_MAX), ("base-url", URL_MAX))
        backend = [self._header(f"backend-{name}", limit) for name, limit in limits]
        baseline = [self._header(f"baseline-model-{name}", limit) for name, limit in limits]
        provider, key, url = (new or old for new, old in zip(backend, baseline, strict=True))
        if not provider:
            provider = self.headers.get("x-llm-provider", "").strip()[:NAME_MAX]
        return provider, key, url.rstrip("/"), all(baseline) and not any(backend)

    @staticmethod
    def _shortest(found: Iterator[int]) -> int | None:
        return min(found, default=None)


def is_task(name: str) -> bool:
    """Whether expenses may be filed under this name."""
    return _TASK.fullmatch(name) is not None


def _directives(header: str) -> dict[str, str]:
    """Of the caller's Cache-Control; max-stale would loosen and is not looked at."""
    found: dict[str, str] = {}
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name:
            found[name.lower()] = value.strip('" ')
    return found


def _true(raw: str | None) -> bool:
    return raw is not None and raw.strip().lower() in {"true", "1", "yes", "on"}


def _false(raw: str | None) -> bool:
    return raw is not None and raw.strip().lower() in {"false", "0", "no", "off"}


def _duration(raw: Any) -> int | None:
    """Seconds of 30, "30", "30s", "5m", "2h", "7d"."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw if raw >= 0 else None
    if not isinstance(raw, str):
        return None
    match = _DURATION.fullmatch(raw.strip().lower())
    return int(match[1]) * _UNIT_SECONDS[match[2]] if match else None


def _own_duration(name: str, raw: Any) -> int:
    seconds = _duration(raw)
    if seconds is None:
        raise InvalidControl(name, "seconds, or a time such as 30s, 5m, 2h or 7d")
    return seconds


def _share(raw: Any) -> float | None:
    if isinstance(raw, bool):
        return None
    try:
        share = float(raw)
    except (TypeError, ValueError, OverflowError):
        return None
    return share if math.isfinite(share) and 0 <= share <= 1 else None


def _own_share(name: str, raw: Any) -> float:
    share = _share(raw)
    if share is None:
        raise InvalidControl(name, "between 0 and 1")
    return share


def _checked(name: str, value: str, longest: int) -> str:
    if len(value) > longest or _UNPRINTABLE.search(value):
        raise InvalidControl(name, f"at most {longest} characters, without NUL or line ends")
    return value
