"""Which page is where?"""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from dashboard import views

urlpatterns = [
    path("", views.overview, name="overview"),
    path(
        "sign-in",
        LoginView.as_view(template_name="dashboard/sign_in.html", redirect_authenticated_user=True),
        name="sign-in",
    ),
    path("docs", views.docs, name="docs"),
    path("sign-out", LogoutView.as_view(next_page="sign-in"), name="sign-out"),
]
