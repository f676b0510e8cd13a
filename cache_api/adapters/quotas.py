"""May a tenant's plan and budgets carry this call, and what did it use up?

    standing   with each call, from memory: over quota? entries full?
    enter      a spent budget that blocks refuses; near the plan's end the call is counted before it is answered
    buy        before a provider is asked: a spent budget, or the tokens of this minute, refuse
    note       afterwards: the call is counted, what it cost is added to the budgets, its tokens are settled

A call is counted by its ledger row in the end: what is counted here only has to be right in time, and is corrected each
minute. Hits need no provider, so they take no tokens and spend no budget.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from cache_api.adapters.used import BYTES, ENTRIES, REQUESTS, Count, Tally, Used, budget_name, requests_name
from cache_api.dialects.errors import Refused
from cache_api.domain.budget import Action, Budget, next_period_start, period_start
from cache_api.domain.call import Call
from cache_api.domain.entry import NewEntry
from cache_api.domain.quota import requests_max, with_overshoot
from cache_api.domain.request import Caller, Request
from cache_api.domain.usage import Usage, estimated_usage
from tenants import features, isolation, throttling
from tenants.authentication import Access
from tenants.isolation import DatabaseUnavailable
from tenants.kept import Kept

BUDGETS_FRESH_SECONDS = 5.0
BUDGETS_KEPT_SECONDS = 900.0  # while the database is away
READ_SECONDS = 0.05
TENANTS_MAX = KEYS_MAX = 20_000
# So near its end a plan's calls are counted in Redis one by one: a hundredth, or as many as may be under way at once.
NEAR_SHARE, NEAR_CALLS = 100, 512
NANO = 1_000_000_000  # what was spent is counted in billionths of a dollar

_REQUESTS = "SELECT billable FROM used_between(%s, %s, 'infinity', NULL, NULL, '')"
_SPENT = "SELECT cost_usd FROM used_between(%s, %s, 'infinity', %s, %s, %s)"
_ENTRIES = "SELECT count(*) FROM entry WHERE tenant_id = %s"
_BYTES = "SELECT coalesce(sum(size_bytes), 0)::bigint FROM entry WHERE tenant_id = %s"
_BUDGETS = "SELECT id, amount_usd, period, action, project_id, key_id, task FROM budget WHERE tenant_id = %s"

CostOf = Callable[[Caller, str, tuple[str, ...], Usage], Decimal | None]


@dataclass(slots=True)
class _Spending:
    """A budget, and what was spent of it in this period."""

    budget: Budget
    until: datetime
    spent: Count


@dataclass(frozen=True, slots=True)
class _Plan:
    """A tenant's limits as one of its keys last brought them, and the numbers that are held against them."""

    access: Access
    tally: Tally
    requests: Count
    requests_max: int | None
    near: int | None  # from here on each call is counted before it is answered
    entries: Count
    bytes: Count | None
    budgets: list[_Spending]


class Quotas:
    """The Limits port; safe in threads."""

    def __init__(self, *, used: Used, cost_of: CostOf, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._used = used
        self._cost_of = cost_of
        self._now = now
        self._plans: dict[UUID, _Plan] = {}  # by key
        self._budgets: Kept[UUID, Sequence[Budget]] = Kept(
            fresh_seconds=BUDGETS_FRESH_SECONDS, usable_seconds=BUDGETS_KEPT_SECONDS, limit=TENANTS_MAX
        )

    def standing(self, access: Access) -> tuple[bool, bool]:
        """Whether the plan is used up, and whether there is no room for another entry."""
        plan = self._plans.get(access.key_id)
        if plan is None or plan.access is not access:
            plan = self._planned(access)
        self._used.refresh(plan.tally)
        over = plan.requests_max is not None and plan.requests.value >= plan.requests_max
        full = plan.entries.value >= with_overshoot(access.entries_max)
        if plan.bytes is not None and access.bytes_max is not None:
            full = full or plan.bytes.value >= with_overshoot(access.bytes_max)
        return over, full

    def enter(self, request: Request) -> Request:
        """The request, perhaps as one that is over quota. Raises Refused."""
        caller = request.caller
        plan = self._plans.get(caller.key_id)
        if plan is None:
            return request
        if plan.budgets:
            self._refuse_spent(plan, request, ("block",))
        if caller.over_quota or plan.near is None or plan.requests.value < plan.near:
            return request

        if plan.requests_max is not None and self._used.take(plan.tally, plan.requests) > plan.requests_max:
            self._used.add(plan.requests, -1)
            return replace(request, caller=replace(caller, over_quota=True))
        return replace(request, caller=replace(caller, counted=True))

    def buy(self, request: Request) -> int:
        """How many tokens were taken for it: an estimate, until the answer is here. Raises Refused."""
        caller = request.caller
        plan = self._plans.get(caller.key_id)
        if plan is None:
            return 0
        if plan.budgets:
            self._refuse_spent(plan, request, ("cache_only", "block"))
        if plan.access.tpm is None and plan.access.key_tpm is None:
            return 0

        tokens = estimated_usage(list(request.parsed.prompt_texts), "").in_total
        rate = throttling.take_tokens(plan.access, tokens)
        if rate is not None and rate.limited:
            raise Refused(
                429,
                "rate_limit_exceeded",
                "Rate limit exceeded. Please try again later: this minute's tokens are used up.",
                retry_after_seconds=rate.retry_after_seconds,
                headers=_token_headers(rate),
            )
        return tokens

    def note(self, request: Request, call: Call | None, *, tokens: int) -> None:
        """`call` is None where nothing was answered; `tokens` is what was taken for it."""
        caller = request.caller
        plan = self._plans.get(caller.key_id)
        if plan is None:
            return
        billable = call is not None and call.billable
        if billable is not caller.counted:
            self._used.add(plan.requests, 1 if billable else -1)
        if call is None:
            return
        served = call.decision == "hit" and call.layer != "synthesized"
        if plan.budgets and not served and call.decision != "blocked":
            self._spend(plan, call, caller)
        if tokens:
            throttling.settle_tokens(plan.access, call.usage.total - tokens)

    def stored(self, entries: Sequence[NewEntry]) -> None:
        """Counted as if none took another's place: what is too much is corrected within a minute, as bytes are."""
        plan = self._plans.get(entries[0].writer_id) if entries and entries[0].writer_id else None
        if plan is not None:
            self._used.add(plan.entries, len(entries))

    def forget_budgets(self, tenant_id: UUID) -> None:
        """What was changed here holds for the next call of this process."""
        self._budgets.forget(tenant_id)
        for key_id, plan in list(self._plans.items()):
            if plan.access.tenant_id == tenant_id:
                self._plans.pop(key_id, None)

    def close(self) -> None:
        self._used.close()

    # -- what holds for a key

    def _planned(self, access: Access) -> _Plan:
        tenant_id, tally = access.tenant_id, self._used.of(access.tenant_id)
        most = requests_max(
            access.plan,
            included=access.requests_included,
            hard=access.requests_hard,
            overage_cap_usd=access.overage_cap_usd,
        )
        sized = None
        if access.bytes_max is not None:
            sized = tally.keep(Count(BYTES, _reader(tenant_id, _BYTES, tenant_id), slow=True))
        plan = _Plan(
            access=access,
            tally=tally,
            requests=self._requests(tally, access.period_start or access.created_at),
            requests_max=most,
            near=None if most is None else most - max(most // NEAR_SHARE, NEAR_CALLS),
            entries=tally.keep(Count(ENTRIES, _reader(tenant_id, _ENTRIES, tenant_id), slow=True)),
            bytes=sized,
            budgets=[self._spending(tally, budget) for budget in self._budgets_of(tenant_id)],
        )
        if len(self._plans) >= KEYS_MAX:
            self._plans.clear()
        self._plans[access.key_id] = plan
        return plan

    def _requests(self, tally: Tally, since: datetime) -> Count:
        name = requests_name(since)
        if name not in tally.counts:
            for old in [other for other in tally.counts if other.startswith(REQUESTS)]:
                tally.counts.pop(old, None)
        return tally.keep(Count(name, _reader(tally.tenant_id, _REQUESTS, tally.tenant_id, since)))

    def _budgets_of(self, tenant_id: UUID) -> Sequence[Budget]:
        try:
            return self._budgets.get(tenant_id, lambda: _read_budgets(tenant_id))
        except DatabaseUnavailable:
            return ()

    def _spending(self, tally: Tally, budget: Budget) -> _Spending:
        now = self._now()
        since = period_start(budget.period, now)
        truth = _reader(tally.tenant_id, _SPENT, tally.tenant_id, since, budget.project_id, budget.key_id, budget.task)
        spent = tally.keep(Count(budget_name(budget.id, since), lambda seconds: round(truth(seconds) * NANO)))
        return _Spending(budget, next_period_start(budget.period, now), spent)

    # -- budgets

    def _refuse_spent(self, plan: _Plan, request: Request, actions: tuple[Action, ...]) -> None:
        if features.REFUSING_BUDGETS not in plan.access.features:
            return
        for spending in self._covering(plan, request.caller, request.controls.task):
            budget, spent = spending.budget, Decimal(spending.spent.value) / NANO
            if budget.action in actions and spent >= budget.amount_usd:
                raise _refused(budget, spent)

    def _spend(self, plan: _Plan, call: Call, caller: Caller) -> None:
        covering = self._covering(plan, caller, call.task)
        if not covering:
            return
        names = tuple(name for name in (call.model_served, call.model_asked) if name)
        cost = self._cost_of(caller, call.provider, names, call.usage)
        if cost:
            for spending in covering:
                self._used.add(spending.spent, round(cost * NANO))

    def _covering(self, plan: _Plan, caller: Caller, task: str) -> list[_Spending]:
        now = self._now()
        for place, spending in enumerate(plan.budgets):
            if now >= spending.until:
                plan.tally.counts.pop(spending.spent.name, None)
                plan.budgets[place] = self._spending(plan.tally, spending.budget)
        self._used.refresh(plan.tally)
        return [one for one in plan.budgets if one.budget.covers(caller.project_id, caller.key_id, task)]


def _refused(budget: Budget, spent: Decimal) -> Refused:
    """Older clients read `monthly_limit`, so that a daily budget bears that name too; `period` tells them apart."""
    told = (
        ("current_usage", float(spent)),
        ("monthly_limit", float(budget.amount_usd)),
        ("period", budget.period),
    )
    word, since = ("Monthly", "this month") if budget.period == "month" else ("Daily", "today")
    amounts = f"{spent.normalize():f} of {budget.amount_usd.normalize():f}"
    message = f"{word} limit reached: {amounts} dollars are spent {since} (UTC)."
    return Refused(429, "budget_exceeded", message, extra=told)


def _token_headers(rate: throttling.Rate) -> dict[str, str]:
    return {
        "x-ratelimit-limit-tokens": str(rate.limit),
        "x-ratelimit-remaining-tokens": str(rate.remaining),
        "x-ratelimit-reset-tokens": throttling.span(rate.reset_after_seconds),
    }


def _reader(tenant_id: UUID, sql: str, *values: object) -> Callable[[float], int]:
    def read(seconds: float) -> int:
        ((number,),) = isolation.read(tenant_id, sql, values, deadline_seconds=seconds)
        return number  # type: ignore[no-any-return]

    return read


def _read_budgets(tenant_id: UUID) -> list[Budget]:
    rows = isolation.read(tenant_id, _BUDGETS, (tenant_id,), deadline_seconds=READ_SECONDS)
    return [Budget(*row) for row in rows]
