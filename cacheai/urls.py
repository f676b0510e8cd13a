"""Which view answers a path?"""

from allauth.account import views as accounts
from django.urls import include, path
from django.views.decorators.http import require_POST

from billing.admin.site import site
from cache_api.http.leaks import leaked_keys

urlpatterns = [
    path("", include("cache_api.http.urls")),
    path("partners/leaked-keys", leaked_keys),
    path("", include("billing.urls")),
    path("", include("dashboard.urls")),
    path("operator/", site.urls),
    path("account/", include("allauth.urls")),
    # Two names for the same: ours, and the one django-allauth looks for. The last of a name is where it leads.
    path("sign-in", accounts.login, name="sign-in"),
    path("sign-in", accounts.login, name="account_login"),
    path("sign-out", require_POST(accounts.logout), name="sign-out"),
]

handler400 = "dashboard.views.errors.bad_request"
handler403 = "dashboard.views.errors.forbidden"
handler404 = "dashboard.views.errors.not_found"
handler500 = "dashboard.views.errors.server_error"
