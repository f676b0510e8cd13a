"""Which view answers a path?"""

from django.urls import include, path

urlpatterns = [
    path("", include("cache_api.http.urls")),
    path("", include("dashboard.urls")),
]
