"""Which view answers a path?"""

from django.urls import include, path

urlpatterns = [
    path("", include("cache_api.http.urls")),
    path("", include("dashboard.urls")),
]

handler400 = "cache_api.http.operation.bad_request"
handler404 = "cache_api.http.operation.not_found"
handler500 = "cache_api.http.operation.server_error"
