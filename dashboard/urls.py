"""Which page is where?

All pages of a tenant lie under `/t/<its id>`: an address says whose it is, so that it can be shared, and two tabs
can show two tenants.
"""

from django.urls import include, path

from dashboard.views import account, docs, tenants

urlpatterns = [
    path("", tenants.home, name="home"),
    path("t/new", tenants.new, name="tenant-new"),
    path("t/<uuid:tenant_id>/", include("dashboard.tenant_urls")),
    path("account/invitations/<str:token>", account.invitation, name="invitation"),
    path("account/sso/", account.single_sign_on, name="sso"),
    # Before django-allauth's own of these addresses.
    path("account/sso/<uuid:provider_id>/login/", account.sso_login),
    path("account/sso/<uuid:provider_id>/login/callback/", account.sso_callback),
    path("docs", docs.docs, name="docs"),
]
