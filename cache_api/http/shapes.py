"""Which shape has an error on this path?

Also where a base URL with a slash too many, or with a `/v1` that the client adds itself, made the path one of nothing.
"""

import re

from cache_api.dialects.errors import Shape, anthropic_error, openai_error, vectorcache_error

_ANTHROPIC = re.compile(r"/+(?:v1/+)*messages(?:/|$)")
_VECTORCACHE = re.compile(r"/+(?:v1/+)+cache/(?:query|test|clear|projects)(?:/|$)")


def shape_of(path: str) -> Shape:
    if _VECTORCACHE.match(path):
        return vectorcache_error
    return anthropic_error if _ANTHROPIC.match(path) else openai_error
