"""What is stored of answers, calls and money?

`entry` is hash-partitioned by tenant, `call` range-partitioned by month: the migrations create both in SQL. A Call is
written through one SQL function and read here; it carries no text.
"""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from pgvector.django import HalfVectorField

EMBEDDING_DIMENSIONS = 384  # all-MiniLM-L6-v2; another width needs a migration of entry.vector
# Upper bounds of the latency buckets in the roll-ups, in milliseconds, as their SQL has them; the last has no end.
LATENCY_BOUNDS_MS = (
    1,
    2,
    3,
    4,
    6,
    8,
    12,
    16,
    24,
    32,
    48,
    64,
    96,
    128,
    192,
    256,
    384,
    512,
    768,
    1024,
    2048,
    8192,
    32768,
)
LATENCY_BUCKETS = len(LATENCY_BOUNDS_MS) + 1


class Policy(models.Model):
    """A project's rules as stored; `domain.policy.Policy` is what the decision sees."""

    pk = models.CompositePrimaryKey("tenant_id", "project_id")
    tenant_id = models.UUIDField()
    project_id = models.UUIDField()
    settings = models.JSONField(default=dict)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "policy"


class Entry(models.Model):
    """A stored answer. `body` is question, request and answer, compressed and encrypted in one."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.UUIDField(default=uuid.uuid4)
    project_id = models.UUIDField()
    fingerprint = models.BinaryField(max_length=32)
    scope = models.BinaryField(max_length=32)
    caller_key = models.TextField(default="")
    namespace = models.TextField(default="")
    provider = models.TextField()
    model = models.TextField()
    endpoint = models.TextField()
    source = models.TextField(default="proxied")
    embedder = models.TextField(default="")
    vector = HalfVectorField(dimensions=EMBEDDING_DIMENSIONS, null=True)
    matchable = models.BooleanField(default=True)
    quarantined = models.BooleanField(default=False)
    body = models.BinaryField()
    size_bytes = models.PositiveIntegerField()
    usage = models.JSONField(default=dict)
    cost_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    latency_ms = models.PositiveIntegerField(default=0)
    metadata = models.JSONField(default=dict)
    writer_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)
    hits = models.BigIntegerField(default=0)
    last_hit_at = models.DateTimeField(null=True)
    saved_usd = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    alias_of = models.UUIDField(null=True)  # whose answer was found to be this question's too

    class Meta:
        db_table = "entry"


class EntryTag(models.Model):
    pk = models.CompositePrimaryKey("tenant_id", "entry_id", "tag")
    tenant_id = models.UUIDField()
    entry_id = models.UUIDField()
    tag = models.TextField()

    class Meta:
        db_table = "entry_tag"


class EntryDependency(models.Model):
    """`name@version` an entry rests on; it is purged by the name or by both."""

    pk = models.CompositePrimaryKey("tenant_id", "entry_id", "name", "version")
    tenant_id = models.UUIDField()
    entry_id = models.UUIDField()
    name = models.TextField()
    version = models.TextField(default="")

    class Meta:
        db_table = "entry_dependency"


class PendingMiss(models.Model):
    """A parsed Request whose answer the client fetches itself and puts back within minutes, sealed."""

    pk = models.CompositePrimaryKey("tenant_id", "project_id", "fingerprint")
    tenant_id = models.UUIDField()
    project_id = models.UUIDField()
    fingerprint = models.BinaryField(max_length=32)
    body = models.BinaryField()
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "pending_miss"


class Job(models.Model):
    """Work too long for a call. `settings` says what, and who asked for it; `result` is sealed."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.UUIDField(default=uuid.uuid4)
    project_id = models.UUIDField()
    kind = models.TextField()
    status = models.TextField()
    settings = models.JSONField(default=dict)
    total = models.BigIntegerField(default=0)
    done = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    errors = models.JSONField(default=list)
    attempts = models.PositiveIntegerField(default=0)
    result = models.BinaryField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    touched_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "job"


class JobPart(models.Model):
    """Some lines of an upload, sealed, until they are imported; whoever took it last is at it, for seconds."""

    pk = models.CompositePrimaryKey("tenant_id", "job_id", "number")
    tenant_id = models.UUIDField()
    job_id = models.UUIDField()
    number = models.PositiveIntegerField()
    first_line = models.PositiveBigIntegerField()
    body = models.BinaryField()
    taken_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "job_part"


class WaitingVector(models.Model):
    """The vector of an imported entry on its way into the index, as little-endian 16-bit floats."""

    pk = models.CompositePrimaryKey("tenant_id", "entry_id")
    tenant_id = models.UUIDField()
    entry_id = models.UUIDField()
    embedder = models.TextField()
    vector = models.BinaryField()

    class Meta:
        db_table = "waiting_vector"


class Feedback(models.Model):
    """What a caller said of a served answer. A wrong pair, by its two Fingerprints, never matches again."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.UUIDField(default=uuid.uuid4)
    project_id = models.UUIDField()
    key_id = models.UUIDField(null=True)
    verdict = models.TextField()
    asked = models.BinaryField(max_length=32, null=True)
    cached = models.BinaryField(max_length=32)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "feedback"


class AnswerCheck(models.Model):
    """Whether an entry's answer was right for a question as near as `similarity`, and what was foretold of it.

    `chance` is that of its being checked: a random sample's rows, over theirs, speak for all.
    """

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.UUIDField(default=uuid.uuid4)
    project_id = models.UUIDField()
    checked_at = models.DateTimeField(default=timezone.now)
    kind = models.TextField()  # hit, shadow (one that was not served), doubt (too unlikely to be served), feedback
    source = models.TextField()  # judge, member, caller
    entry_id = models.UUIDField()
    similarity = models.FloatField()
    probability = models.FloatField()
    chance = models.FloatField(default=1.0)
    correct = models.BooleanField()
    trust = models.FloatField()
    key_id = models.UUIDField(null=True)
    call_id = models.UUIDField(null=True)

    class Meta:
        db_table = "answer_check"


class CheckWanted(models.Model):
    """A pair a judge model is to look at. `body` is the question that was asked, sealed."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.UUIDField(default=uuid.uuid4)
    project_id = models.UUIDField()
    kind = models.TextField()
    body = models.BinaryField()
    entry_id = models.UUIDField()
    bought_id = models.UUIDField(null=True)  # the fresh answer's entry, after a miss
    similarity = models.FloatField()
    probability = models.FloatField()
    chance = models.FloatField()
    attempts = models.PositiveSmallIntegerField(default=0)
    wanted_at = models.DateTimeField()
    next_at = models.DateTimeField()

    class Meta:
        db_table = "check_wanted"


class Calibration(models.Model):
    """What a project's own checks say of the promise. `cut`: the least probability to serve at."""

    pk = models.CompositePrimaryKey("tenant_id", "project_id")
    tenant_id = models.UUIDField()
    project_id = models.UUIDField()
    cut = models.FloatField(null=True)
    state = models.TextField()  # learning, kept, alarm
    promise = models.FloatField()
    checked = models.BigIntegerField()
    wrong = models.BigIntegerField()
    foretold = models.FloatField()
    fitted_at = models.DateTimeField()
    alarmed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "calibration"


class BlocklistEntry(models.Model):
    """A question that is not to be answered. `body` is the question, the reason and what else was said, sealed."""

    pk = models.CompositePrimaryKey("tenant_id", "project_id", "id")
    tenant_id = models.UUIDField()
    project_id = models.UUIDField()
    id = models.IntegerField()
    digest = models.BinaryField(max_length=32)
    embedder = models.TextField(default="")
    vector = HalfVectorField(dimensions=EMBEDDING_DIMENSIONS, null=True)
    body = models.BinaryField()
    category = models.TextField()
    severity = models.PositiveSmallIntegerField()
    hit_count = models.BigIntegerField(default=0)
    false_positives = models.PositiveSmallIntegerField(default=0)
    key_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "blocklist_entry"


class Call(models.Model):
    """One ledger row. The primary key's time is the id's own millisecond, so that a replay meets the same key."""

    pk = models.CompositePrimaryKey("tenant_id", "at", "id")
    tenant_id = models.UUIDField()
    at = models.DateTimeField()
    id = models.UUIDField()
    project_id = models.UUIDField()
    key_id = models.UUIDField(null=True)
    task = models.TextField()
    origin = models.TextField()
    parent_id = models.UUIDField(null=True)
    dialect = models.TextField()
    provider = models.TextField()
    model_asked = models.TextField()
    model_served = models.TextField()
    stream = models.BooleanField()
    service_tier = models.TextField()
    status = models.SmallIntegerField()
    decision = models.TextField()
    layer = models.TextField()
    reason = models.TextField()
    similarity = models.FloatField(null=True)
    entry_id = models.UUIDField(null=True)
    in_total = models.BigIntegerField()
    in_cached = models.BigIntegerField()
    in_write_5m = models.BigIntegerField()
    in_write_1h = models.BigIntegerField()
    in_audio = models.BigIntegerField()
    out_total = models.BigIntegerField()
    out_reasoning = models.BigIntegerField()
    out_audio = models.BigIntegerField()
    tokens_estimated = models.BooleanField()
    price_source = models.TextField()
    price_version = models.TextField()
    unit_prices = models.JSONField(null=True)
    cost_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    list_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    discount_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    fee_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    saved_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    priced_at = models.DateTimeField(null=True)
    billable = models.BooleanField()
    retry = models.BooleanField()
    ms_total = models.PositiveIntegerField()
    ms_embed = models.PositiveIntegerField()
    ms_lookup = models.PositiveIntegerField()
    ms_upstream = models.PositiveIntegerField()
    ms_first_byte = models.PositiveIntegerField()
    end_user = models.TextField(null=True)  # noqa: DJ001  # a digest, never the name; null: nobody was named
    in_served = models.BigIntegerField(null=True)  # tokens of a list's items that were stored, beside those bought
    fingerprint = models.BinaryField(max_length=32, null=True)  # of what was asked

    class Meta:
        db_table = "call"


class UsageFigures(models.Model):
    """What an hour or a day of calls comes to. Always recomputed whole from `call`, never incremented."""

    tenant_id = models.UUIDField()
    project_id = models.UUIDField()
    key_id = models.UUIDField()
    provider = models.TextField()
    model = models.TextField()
    task = models.TextField()
    calls = models.BigIntegerField()
    exact_hits = models.BigIntegerField()
    semantic_hits = models.BigIntegerField()
    synthesized_hits = models.BigIntegerField()
    misses = models.BigIntegerField()
    bypasses = models.BigIntegerField()
    blocked = models.BigIntegerField()
    reasons = models.JSONField(default=dict)
    billable = models.BigIntegerField()
    unpriced = models.BigIntegerField()
    estimated = models.BigIntegerField()
    in_total = models.BigIntegerField()
    in_cached = models.BigIntegerField()
    out_total = models.BigIntegerField()
    tokens_saved = models.BigIntegerField()
    cost_usd = models.DecimalField(max_digits=20, decimal_places=10)
    saved_usd = models.DecimalField(max_digits=20, decimal_places=10)
    fee_usd = models.DecimalField(max_digits=20, decimal_places=10)
    hit_latency = ArrayField(models.BigIntegerField(), size=LATENCY_BUCKETS)
    miss_latency = ArrayField(models.BigIntegerField(), size=LATENCY_BUCKETS)
    hit_ms = models.BigIntegerField(default=0)
    miss_ms = models.BigIntegerField(default=0)
    # What of the sums above belongs to hits and to bypasses; a block has none of it, the rest is the misses'.
    hit_tokens = models.BigIntegerField(default=0)
    hit_cost_usd = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    hit_unpriced = models.BigIntegerField(default=0)
    bypass_tokens = models.BigIntegerField(default=0)
    bypass_cost_usd = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    bypass_unpriced = models.BigIntegerField(default=0)
    wrong = models.BigIntegerField(default=0)
    # What nobody asked for: checks in the shadow, warming, backtests. It is in the sums above, not among the calls.
    upkeep = models.BigIntegerField(default=0)
    upkeep_tokens = models.BigIntegerField(default=0)
    upkeep_unpriced = models.BigIntegerField(default=0)
    list_usd = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    discount_usd = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    miss_list_usd = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    miss_discount_usd = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    miss_saved_usd = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    hit_fee_usd = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    blocked_fee_usd = models.DecimalField(max_digits=20, decimal_places=10, default=0)
    upkeep_cost_usd = models.DecimalField(max_digits=20, decimal_places=10, default=0)

    class Meta:
        abstract = True


class UsageHour(UsageFigures):
    pk = models.CompositePrimaryKey("tenant_id", "hour", "project_id", "key_id", "provider", "model", "task")
    hour = models.DateTimeField()

    class Meta:
        db_table = "usage_hour"


class UsageDay(UsageFigures):
    pk = models.CompositePrimaryKey("tenant_id", "day", "project_id", "key_id", "provider", "model", "task")
    day = models.DateField()

    class Meta:
        db_table = "usage_day"


class UsageOfEndUser(models.Model):
    """What some of one end user's calls come to."""

    tenant_id = models.UUIDField()
    project_id = models.UUIDField()
    end_user = models.TextField()
    calls = models.BigIntegerField()
    hits = models.BigIntegerField()
    billable = models.BigIntegerField()
    unpriced = models.BigIntegerField()
    tokens = models.BigIntegerField()
    tokens_saved = models.BigIntegerField()
    cost_usd = models.DecimalField(max_digits=20, decimal_places=10)
    list_usd = models.DecimalField(max_digits=20, decimal_places=10)
    discount_usd = models.DecimalField(max_digits=20, decimal_places=10)
    saved_usd = models.DecimalField(max_digits=20, decimal_places=10)
    fee_usd = models.DecimalField(max_digits=20, decimal_places=10)
    synthesis_cost_usd = models.DecimalField(max_digits=20, decimal_places=10)
    upkeep_cost_usd = models.DecimalField(max_digits=20, decimal_places=10)

    class Meta:
        abstract = True


class UsageEndUser(UsageOfEndUser):
    """Of an hour. Recomputed whole with its hour."""

    pk = models.CompositePrimaryKey("tenant_id", "hour", "project_id", "end_user")
    hour = models.DateTimeField()

    class Meta:
        db_table = "usage_end_user"


class UsageModel(models.Model):
    """Some call of that hour asked for the one and was served by the other. Gone with the calls; without rows, any."""

    pk = models.CompositePrimaryKey("tenant_id", "hour", "asked", "served")
    tenant_id = models.UUIDField()
    hour = models.DateTimeField()
    asked = models.TextField()
    served = models.TextField()

    class Meta:
        db_table = "usage_model"


class UsageEndUserDay(UsageOfEndUser):
    """Of a day that is over. A day has all of its rows or none; without them its hours tell."""

    pk = models.CompositePrimaryKey("tenant_id", "day", "project_id", "end_user")
    day = models.DateField()

    class Meta:
        db_table = "usage_end_user_day"


class FeePeriod(models.Model):
    """How many billable calls of a plan's period were priced: which fee the next one takes."""

    pk = models.CompositePrimaryKey("tenant_id", "period_start")
    tenant_id = models.UUIDField()
    period_start = models.DateTimeField()
    plan = models.TextField()
    billable = models.BigIntegerField()

    class Meta:
        db_table = "fee_period"


class LedgerKept(models.Model):
    """Since when a tenant's calls are kept; before that the roll-ups are the record."""

    tenant_id = models.UUIDField(primary_key=True)
    since = models.DateTimeField()

    class Meta:
        db_table = "ledger_kept"


class LedgerProof(models.Model):
    """What a day's calls came to when they were last counted again, and where the roll-ups said otherwise."""

    pk = models.CompositePrimaryKey("tenant_id", "day")
    tenant_id = models.UUIDField()
    day = models.DateField()
    calls = models.BigIntegerField()
    billable = models.BigIntegerField()
    cost_usd = models.DecimalField(max_digits=20, decimal_places=10)
    saved_usd = models.DecimalField(max_digits=20, decimal_places=10)
    fee_usd = models.DecimalField(max_digits=20, decimal_places=10)
    differences = ArrayField(models.TextField())
    proved_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_proof"


class ErrorHour(models.Model):
    """Provider errors relayed, best effort: an error is no answer and has no ledger row."""

    pk = models.CompositePrimaryKey("tenant_id", "hour", "project_id", "provider", "model", "status")
    tenant_id = models.UUIDField()
    hour = models.DateTimeField()
    project_id = models.UUIDField()
    provider = models.TextField()
    model = models.TextField()
    status = models.SmallIntegerField()
    errors = models.BigIntegerField()

    class Meta:
        db_table = "error_hour"


class PriceRate(models.Model):
    """Dollars per million tokens of a model that was met: a reference table without a tenant."""

    pk = models.CompositePrimaryKey("provider", "model")
    provider = models.TextField()
    model = models.TextField()
    input_usd = models.DecimalField(max_digits=20, decimal_places=10)
    cached_usd = models.DecimalField(max_digits=20, decimal_places=10)
    write_usd = models.DecimalField(max_digits=20, decimal_places=10)
    output_usd = models.DecimalField(max_digits=20, decimal_places=10)
    version = models.TextField()
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "price_rate"


class OwnPrice(models.Model):
    """Dollars per million tokens a project sets itself. A new price ends the one before, whose calls keep it."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.UUIDField(default=uuid.uuid4)
    project_id = models.UUIDField()
    provider = models.TextField()
    model_pattern = models.TextField()
    input_usd = models.DecimalField(max_digits=20, decimal_places=10)
    output_usd = models.DecimalField(max_digits=20, decimal_places=10)
    write_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    cached_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField(null=True)

    class Meta:
        db_table = "own_price"


class Budget(models.Model):
    """What may be spent on providers in a day or month: by a whole tenant, a project, a key, or under a task's name."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.UUIDField(default=uuid.uuid4)
    project_id = models.UUIDField(null=True)
    key_id = models.UUIDField(null=True)
    task = models.TextField(default="")
    period = models.TextField()
    amount_usd = models.DecimalField(max_digits=20, decimal_places=10)
    action = models.TextField(default="alert")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "budget"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "project_id", "key_id", "task", "period"],
                nulls_distinct=False,
                name="budget_once",
            ),
            models.CheckConstraint(condition=models.Q(period__in=("day", "month")), name="budget_period_known"),
            models.CheckConstraint(
                condition=models.Q(action__in=("alert", "cache_only", "block")), name="budget_action_known"
            ),
            models.CheckConstraint(condition=models.Q(amount_usd__gt=0), name="budget_of_something"),
        ]


class BudgetAlert(models.Model):
    """A threshold that was passed, once. `budget` is its id; "requests" and "spend" are the plan's own limits."""

    pk = models.CompositePrimaryKey("tenant_id", "budget", "period", "threshold")
    tenant_id = models.UUIDField()
    budget = models.TextField()
    period = models.DateTimeField()
    threshold = models.PositiveSmallIntegerField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "budget_alert"


class StorageLimit(models.Model):
    """The limits a tenant's entries were last held to. Above lowered ones they stay until `surplus_until`."""

    tenant_id = models.UUIDField(primary_key=True)
    entries_max = models.BigIntegerField()
    bytes_max = models.BigIntegerField(null=True)
    surplus_until = models.DateTimeField(null=True)

    class Meta:
        db_table = "storage_limit"
