"""Which page is where?

All pages of a tenant lie under `/t/<its id>`: an address says whose it is, so that it can be shared, and two tabs
can show two tenants.
"""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from dashboard.views import docs, overview, tenants

_tenant_pages = [
    path("", overview.overview, name="overview"),
]

urlpatterns = [
    path("", tenants.home, name="home"),
    path("t/new", tenants.new, name="tenant-new"),
    path("t/<uuid:tenant_id>/", include(_tenant_pages)),
    path(
        "sign-in",
        LoginView.as_view(template_name="dashboard/sign_in.html", redirect_authenticated_user=True),
        name="sign-in",
    ),
    path("docs", docs.docs, name="docs"),
    path("sign-out", LogoutView.as_view(next_page="sign-in"), name="sign-out"),
]
