"""Which page of a tenant is where?"""

from django.urls import path

from dashboard.views import audit, keys, overview, projects, providers

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("keys", keys.keys, name="keys"),
    path("keys/new", keys.new, name="keys-new"),
    path("keys/<uuid:key_id>/rotate", keys.rotate, name="keys-rotate"),
    path("keys/<uuid:key_id>/revoke", keys.revoke, name="keys-revoke"),
    path("providers", providers.providers, name="providers"),
    path("providers/put", providers.put, name="providers-put"),
    path("providers/<str:provider>/test", providers.test, name="providers-test"),
    path("providers/<str:provider>/delete", providers.delete, name="providers-delete"),
    path("projects", projects.projects, name="projects"),
    path("projects/new", projects.new, name="projects-new"),
    path("projects/<uuid:project_id>", projects.change, name="projects-change"),
    path("projects/<uuid:project_id>/delete", projects.delete, name="projects-delete"),
    path("audit", audit.audit, name="audit"),
    path("audit/export", audit.export, name="audit-export"),
]
