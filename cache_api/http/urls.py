"""Which path is which endpoint? Model endpoints answer without `/v1` too."""

from django.urls import path, re_path

from cache_api.dialects.spoken import DIALECTS
from cache_api.http import models, operation, resources
from cache_api.http.embeddings import embeddings
from cache_api.http.metrics import metrics
from cache_api.http.pass_through import pass_through
from cache_api.http.schema import schema
from cache_api.http.tenant import urls as tenant
from cache_api.http.visits import resource

# By path, for the shortest way there.
MODEL_VIEWS = {
    f"/{prefix}{dialect.ENDPOINT}": models.model_endpoint(dialect) for dialect in DIALECTS for prefix in ("v1/", "")
}

MODEL_ENDPOINTS = [
    *(path(where.removeprefix("/"), view) for where, view in MODEL_VIEWS.items()),
    re_path(r"^(?:v1/)?embeddings$", embeddings),
    re_path(r"^(?:v1/)?models$", models.model_list),
    re_path(r"^(?:v1/)?models/(?P<model>.+)$", models.model_list),
]

OPERATION = [
    path("health", operation.health),
    path("healthz", operation.healthz),
    path("readyz", operation.readyz),
    path("health/ready", operation.readyz),
    path("v1/schema", schema),
    re_path(r"^(?:v1/)?metrics$", resource(GET=("stats:read", metrics))),
]

# Whatever else a provider has. Below our own paths nothing goes on: a mistyped one is no call to a provider.
PASSED_THROUGH = [
    re_path(
        r"^v1/(?!(?:v1|cache|backtest|usage|calls|pricing|schema|projects|keys|provider_keys|audit|tenant|budgets|metrics)(?:/|\Z))(?P<path>.+)\Z",
        pass_through,
    ),
    re_path(r"^(?P<path>(?:chat|completions|embeddings|responses|messages)/.+)\Z", pass_through),
]

urlpatterns = [*MODEL_ENDPOINTS, *resources.urlpatterns, *tenant.urlpatterns, *OPERATION, *PASSED_THROUGH]
