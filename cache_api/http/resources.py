"""Which path of the management side is what, and which scope of a key opens it?"""

from django.urls import path, re_path

from cache_api.http import jobs, pricing
from cache_api.http.blocklist import blocked, blocklisted, checked, reported, unblocked
from cache_api.http.calls import called
from cache_api.http.changing import put_under
from cache_api.http.entries import judged, listed, purged, removed, shown, store
from cache_api.http.export import exported
from cache_api.http.lookup import lookup
from cache_api.http.projects import cleared, project_stats, similar
from cache_api.http.query import query
from cache_api.http.statistics import stats
from cache_api.http.trial import trial
from cache_api.http.usage import usage
from cache_api.http.visits import resource

# Never a cache key, whether or not there is something under the name yet.
RESERVED = "query|test|clear|projects|lookup|entries|export|purge|feedback|blocklist|stats|jobs"

urlpatterns = [
    path("v1/cache/query", resource(POST=("proxy", query))),
    path("v1/cache/test", resource(POST=("proxy", trial))),
    path("v1/cache/clear", resource(POST=("cache:purge", cleared))),
    path("v1/cache/projects/<str:project_id>/stats", resource(GET=("stats:read", project_stats))),
    path("v1/cache/projects/<str:project_id>/similar", resource(GET=("cache:read", similar))),
    path("v1/cache/lookup", resource(POST=("cache:read", lookup))),
    path("v1/cache/entries", resource(GET=("cache:read", listed), POST=("cache:write", store))),
    path("v1/cache/export", resource(GET=("cache:read", exported))),
    path("v1/cache/jobs/<uuid:job_id>", resource(GET=("cache:read", jobs.shown))),
    path("v1/cache/purge", resource(POST=("cache:purge", purged))),
    path("v1/cache/blocklist", resource(GET=("cache:read", blocklisted), POST=("cache:write", blocked))),
    path("v1/cache/blocklist/check", resource(POST=("cache:read", checked))),
    re_path(r"^v1/cache/blocklist/(?P<number>\d{1,9})\Z", resource(DELETE=("cache:purge", unblocked))),
    re_path(r"^v1/cache/blocklist/(?P<number>\d{1,9})/false-positive\Z", resource(POST=("cache:purge", reported))),
    path("v1/cache/feedback", resource(POST=("cache:write", judged))),
    path("v1/cache/stats", resource(GET=("stats:read", stats))),
    path("v1/backtest", resource(POST=("cache:read", jobs.backtested))),
    path("v1/usage", resource(GET=("stats:read", usage))),
    path("v1/calls", resource(GET=("stats:read", called))),
    path(
        "v1/pricing",
        resource(
            GET=("stats:read", pricing.listed),
            PUT=("keys:manage", pricing.put),
            DELETE=("keys:manage", pricing.removed),
        ),
    ),
    re_path(
        rf"^v1/cache/(?P<cache_key>(?!(?:{RESERVED})\Z)[A-Za-z0-9_.:-]{{1,128}})\Z",
        # A key that may store nothing still hears no error when it brings an awaited answer.
        resource(GET=("cache:read", shown), PUT=("", put_under), DELETE=("cache:purge", removed)),
    ),
]
