"""By which rules does a project's cache serve, are they kept, and what would others come to?"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase

from cache_api import jobs, services, tending
from cache_api.adapters import jobs as kept
from cache_api.adapters.catalogue import Place
from cache_api.domain.policy import BadPolicy, Policy
from cache_api.domain.risk import MEASURED_FROM
from cache_api.models import Job
from cache_api.ports import CacheUnavailable
from cache_api.promises import Promise, promise_of, unserved
from dashboard import curves
from dashboard.one_project import one_project
from dashboard.people import Visit, done, page, show
from dashboard.policy_form import PolicyRules

TRIED_DAYS = 30
WATCHED_DAYS = 7
TRYING = "Trying past questions"
TAKEN = ("max_wrong_hit_rate", "similarity_floor")  # out of a trial, into the form


@page(may="figures")
@one_project
def policy(http: HttpRequest, visit: Visit, place: Place) -> HttpResponse:
    taken = {name: http.GET[name] for name in TAKEN if name in http.GET}
    form = PolicyRules(rules=_rules(place), initial=taken)
    return _shown(http, visit, place, form, is_taken=bool(taken))


@page(may="policy", methods=("POST",))
@one_project
def change(http: HttpRequest, visit: Visit, place: Place) -> HttpResponseBase:
    rules = _rules(place)
    form = PolicyRules(http.POST, rules=rules)
    if form.is_valid():
        try:
            changes = form.changes(rules)
            if changes:
                tending.policy_set(place, changes, actor=visit.actor)
            said = "The rules are saved. Every call knows them within five seconds."
            return done(http, visit, said if changes else "Nothing was changed.", "policy")
        except BadPolicy as bad:
            form.refuse_rule(bad)
    return _shown(http, visit, place, form)


@page(may="policy", methods=("POST",))
@one_project
def attempt(http: HttpRequest, visit: Visit, place: Place) -> HttpResponseBase:
    """Try past questions; the page that is led to waits for what comes of it."""
    job_id = jobs.backtest_traffic(place, days=TRIED_DAYS, now=datetime.now(UTC))
    tending.job_hint(place, job_id)
    href = visit.href("policy")
    return HttpResponseRedirect(f"{href}{'&' if '?' in href else '?'}trial={job_id}#trial")


@page(may="figures")
@one_project
def trial(http: HttpRequest, visit: Visit, place: Place, job_id: UUID) -> HttpResponse:
    """How far a trial is; when it has ended the page is loaded anew, with its curve."""
    job = kept.find(place, job_id)
    if job is None:
        raise Http404
    if job.finished_at is not None:
        return HttpResponse(headers={"HX-Refresh": "true"})
    return show(http, visit, "parts/progress.html", job=job, words=TRYING, href=visit.href("policy-trial", job.id))


def _shown(http: HttpRequest, visit: Visit, place: Place, form: PolicyRules, **context: Any) -> HttpResponse:
    job = _trial(place, http.GET.get("trial", ""))
    mode = _rules(place).mode
    return show(
        http,
        visit,
        "policy.html",
        form=form,
        mode=mode,
        watched=_watched(place) if mode == "shadow" else None,
        watched_days=WATCHED_DAYS,
        promise=_promise(place),
        measured_from=MEASURED_FROM,
        days=TRIED_DAYS,
        trial=job,
        trying=TRYING,
        trial_href=visit.href("policy-trial", job.id) if job else "",
        **_result(visit, job),
        **context,
    )


def _rules(place: Place) -> Policy:
    """Of rules that cannot be read, what the cache goes by: it is off until they are mended."""
    try:
        return services.policy_of(tenant_id=place.tenant_id, project_id=place.project_id)
    except BadPolicy:
        return Policy(mode="off")


def _promise(place: Place) -> Promise | None:
    try:
        return promise_of(tenant_id=place.tenant_id, project_id=place.project_id, now=datetime.now(UTC))
    except CacheUnavailable:
        return None


def _watched(place: Place) -> Mapping[str, int]:
    """What a project that only watches would have been served."""
    since = datetime.now(UTC) - timedelta(days=WATCHED_DAYS)
    return unserved(tenant_id=place.tenant_id, project_id=place.project_id, since=since)


def _trial(place: Place, asked: str) -> Job | None:
    try:
        job = kept.find(place, UUID(asked))
    except ValueError:
        return None
    return job if job is not None and job.kind == "backtest" else None


def _result(visit: Visit, job: Job | None) -> Mapping[str, Any]:
    """What a trial that has ended came to; the questions in it for those alone who may read them."""
    found = None if job is None else kept.result_of(job)
    if found is None:
        return {}
    result = orjson.loads(found)
    settings = [
        one
        | {
            "wrong_share": curves.wrong_share(one),
            "is_now": all(one[name] == result[name] for name in TAKEN),
        }
        for one in result["settings"]
    ]
    borderline = result["borderline"] if visit.may("texts") else ()
    return {
        "result": result | {"settings": settings},
        "curve": curves.of_settings(result),
        "borderline": borderline,
    }
