"""What does the server offer to a program?"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

# The reference's own files and calls to this very server; nothing written into the page itself.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def docs(http: HttpRequest) -> HttpResponse:
    """Every endpoint, to be read and tried; for everyone, as `/v1/schema` is."""
    response = render(http, "dashboard/docs.html")
    response.headers["Content-Security-Policy"] = DOCS_POLICY
    return response
