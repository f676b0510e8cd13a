"""Which project is this page about?"""

from collections.abc import Callable
from typing import Concatenate, ParamSpec

from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase

from cache_api.adapters.catalogue import Place
from dashboard.people import View, Visit

P = ParamSpec("P")


def one_project(
    view: Callable[Concatenate[HttpRequest, Visit, Place, P], HttpResponseBase],
) -> View[P]:
    """A page about one: the one the address names, or the tenant's only one, or else its first, by name."""

    def placed(http: HttpRequest, visit: Visit, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not visit.projects:
            raise Http404
        if visit.project is None and len(visit.projects) > 1:
            if http.method != "GET":
                raise Http404
            query = http.GET.copy()
            query["project"] = str(visit.projects[0].id)
            return HttpResponseRedirect(f"{http.path}?{query.urlencode()}")
        project = visit.project or visit.projects[0]
        return view(http, visit, Place(visit.tenant.id, project.id), *args, **kwargs)

    placed.__name__ = view.__name__
    return placed
