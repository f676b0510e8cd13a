"""Under which name is a static file served, so that a browser may keep it for good?

Under its own with a digest of what is in it: other content has another name. The files lie where they are; nothing is
built, and nothing is read before it is asked for.
"""

from functools import lru_cache
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any

from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage, staticfiles_storage
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

DIGEST_BYTES = 6
NAMES_MAX = 1_024  # kept in memory: whoever asks for what is not there names it


class Named(StaticFilesStorage):
    """What `{% static %}` asks."""

    def url(self, name: str | None) -> str:
        return super().url(with_digest(name or ""))


class Served(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Every file under its own name, too: style sheets name their fonts by it."""

    def __call__(self, http: HttpRequest) -> HttpResponseBase:
        path = http.path_info
        if path.startswith(self.static_prefix) and path not in self.files:
            name = self.get_name_without_hash(path.removeprefix(self.static_prefix))
            found = _file(name)
            if found is not None and staticfiles_storage.url(name) == path:
                self.add_file_to_dictionary(path, str(found))
            elif plain := self.files.get(self.static_prefix + name):
                # A page of before an upgrade still asks for what was: what is now is nearer to it than nothing.
                answer: HttpResponseBase = self.serve(plain, http)
                return answer
        served: HttpResponseBase = super().__call__(http)
        return served

    def immutable_file_test(self, path: str, url: str) -> Any:
        """A font does not change under its name."""
        return url.endswith(".woff2") or super().immutable_file_test(path, url)


@lru_cache(maxsize=NAMES_MAX)
def with_digest(name: str) -> str:
    """As it is where there is no such file."""
    found = _file(name)
    if found is None:
        return name
    digest = blake2b(found.read_bytes(), digest_size=DIGEST_BYTES).hexdigest()
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}.{digest}{path.suffix}"))


def _file(name: str) -> Path | None:
    found = finders.find(name)
    return Path(found) if found and Path(found).is_file() else None
