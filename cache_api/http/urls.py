"""Which path is which endpoint? Model endpoints answer without `/v1` too."""

from django.urls import path, re_path

from cache_api.dialects.spoken import DIALECTS
from cache_api.http import models, operation, resources
from cache_api.http.embeddings import embeddings
from cache_api.http.metrics import metrics
from cache_api.http.visits import resource

MODEL_ENDPOINTS = [
    *(re_path(rf"^(?:v1/)?{dialect.ENDPOINT}$", models.model_endpoint(dialect)) for dialect in DIALECTS),
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
