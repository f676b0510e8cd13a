"""Which path is which endpoint? Model endpoints answer without `/v1` too."""

from django.urls import path, re_path

from cache_api.dialects.spoken import DIALECTS
from cache_api.http import models, operation, resources
from cache_api.http.embeddings import embeddings
from cache_api.http.metrics import metrics
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
    re_path(r"^(?:v1/)?metrics$", resource(GET=("stats:read", metrics))),
]

urlpatterns = [*MODEL_ENDPOINTS, *resources.urlpatterns, *OPERATION]
