"""Which path is what of the tenant's own, and which scope of a key opens it?"""

from django.urls import path

from cache_api.http.tenant import api_keys, budgets, itself, projects, provider_keys, trail
from cache_api.http.visits import resource
from tenants.keys import TENANT_MANAGE

KEYS_MANAGE = "keys:manage"

urlpatterns = [
    path("v1/tenant", resource(GET=(TENANT_MANAGE, itself.shown))),
    path("v1/projects", resource(GET=(TENANT_MANAGE, projects.listed), POST=(TENANT_MANAGE, projects.made))),
    path(
        "v1/projects/<uuid:project>",
        resource(
            GET=(TENANT_MANAGE, projects.shown),
            PATCH=(TENANT_MANAGE, projects.changed),
            DELETE=(TENANT_MANAGE, projects.removed),
        ),
    ),
    path("v1/keys", resource(GET=(KEYS_MANAGE, api_keys.listed), POST=(KEYS_MANAGE, api_keys.made))),
    path(
        "v1/keys/<uuid:key_id>",
        resource(
            GET=(KEYS_MANAGE, api_keys.shown),
            PATCH=(KEYS_MANAGE, api_keys.changed),
            DELETE=(KEYS_MANAGE, api_keys.revoked),
        ),
    ),
    path("v1/keys/<uuid:key_id>/rotate", resource(POST=(KEYS_MANAGE, api_keys.rotated))),
    path("v1/provider_keys", resource(GET=(TENANT_MANAGE, provider_keys.listed))),
    path(
        "v1/provider_keys/<str:provider>",
        resource(PUT=(TENANT_MANAGE, provider_keys.put), DELETE=(TENANT_MANAGE, provider_keys.removed)),
    ),
    path("v1/provider_keys/<str:provider>/test", resource(POST=(TENANT_MANAGE, provider_keys.tested))),
    path("v1/budgets", resource(GET=(TENANT_MANAGE, budgets.listed), PUT=(TENANT_MANAGE, budgets.put))),
    path("v1/budgets/<uuid:budget>", resource(DELETE=(TENANT_MANAGE, budgets.removed))),
    path("v1/audit", resource(GET=(TENANT_MANAGE, trail.listed))),
]
