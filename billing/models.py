"""What do we know of a tenant's plan, its invoices and what Stripe was told?

Everything Stripe says is a mirror that is overwritten whole by `accounts.account_sync`; the truth is there. What was
used is the ledger's truth; a UsageBucket is how much of it falls into an hour of a period, and a MeterPush one message
about it.
"""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone


class BillingAccount(models.Model):
    """A tenant's customer at Stripe, what it bought, and what operators gave it."""

    tenant_id = models.UUIDField(primary_key=True)
    version = models.BigIntegerField(
        default=0
    )  # of the mirror: a sync that read Stripe before another wrote starts anew
    customer_id = models.TextField(default="")
    email = models.TextField(default="")
    checkout_id = models.TextField(default="")  # the last one begun; the next closes it, so that nobody buys twice
    checkouts = models.PositiveIntegerField(default=0)  # attempts: what makes an idempotency key of a new one new
    changes = models.PositiveIntegerField(default=0)  # of the subscription by us, likewise
    trial_used = models.BooleanField(default=False)

    # -- Mirrored
    subscription_id = models.TextField(default="")
    state = models.TextField(default="")  # Stripe's word; empty: never bought
    plan = models.TextField(default="")  # bought; the state says whether it applies
    trial_ends_at = models.DateTimeField(null=True)
    period_start = models.DateTimeField(null=True)
    period_end = models.DateTimeField(null=True)
    cancels_at = models.DateTimeField(null=True)
    next_plan = models.TextField(default="")  # where a planned downgrade leads
    schedule_id = models.TextField(default="")
    entitlements = ArrayField(models.TextField(), default=list)
    past_due_since = models.DateTimeField(null=True)
    converted_at = models.DateTimeField(null=True)  # the first paid invoice above 0
    synced_at = models.DateTimeField(null=True)

    # -- Ours
    plan_given = models.TextField(default="")  # by an operator; stands above what was bought
    overage_cap_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)  # empty: the plan's price
    apply_at = models.DateTimeField(null=True)  # when the limits change by themselves: a grace ends, a grant is over
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "billing_account"
        indexes = [models.Index(fields=["customer_id"], name="billing_account_customer")]


class Subscription(models.Model):
    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.TextField()
    state = models.TextField()
    plan = models.TextField()
    items = models.JSONField(default=list)  # [{"id", "price", "metered"}]
    period_start = models.DateTimeField(null=True)
    period_end = models.DateTimeField(null=True)
    trial_end = models.DateTimeField(null=True)
    cancels_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "billing_subscription"


class Invoice(models.Model):
    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.TextField()
    subscription_id = models.TextField(default="")
    number = models.TextField(default="")
    status = models.TextField()
    reason = models.TextField(default="")
    total_usd = models.DecimalField(max_digits=20, decimal_places=10)
    amount_due_usd = models.DecimalField(max_digits=20, decimal_places=10)
    amount_paid_usd = models.DecimalField(max_digits=20, decimal_places=10)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    created_at = models.DateTimeField()
    finalized_at = models.DateTimeField(null=True)
    paid_at = models.DateTimeField(null=True)
    next_payment_attempt = models.DateTimeField(null=True)
    hosted_invoice_url = models.TextField(default="")
    invoice_pdf = models.TextField(default="")
    problem = models.TextField(default="")  # why it could not be finalised

    class Meta:
        db_table = "billing_invoice"


class BillingPeriod(models.Model):
    """From when to when usage counts together. A period that is cut short by an upgrade ends where the next begins."""

    pk = models.CompositePrimaryKey("tenant_id", "start")
    tenant_id = models.UUIDField()
    start = models.DateTimeField()
    end = models.DateTimeField()
    subscription_id = models.TextField()
    plan = models.TextField()
    metered = models.BooleanField()  # not in a trial, nor where the plan has no price by use
    final = models.BooleanField(default=False)  # its invoice can take no more usage

    class Meta:
        db_table = "billing_period"


class UsageBucket(models.Model):
    """How many billable calls of an hour fall into a period. Both figures only grow."""

    pk = models.CompositePrimaryKey("tenant_id", "hour", "period_start")
    tenant_id = models.UUIDField()
    hour = models.DateTimeField()
    period_start = models.DateTimeField()
    quantity = models.BigIntegerField(default=0)
    pushed = models.BigIntegerField(default=0)

    class Meta:
        db_table = "usage_bucket"


class MeterPush(models.Model):
    """One message to Stripe's meter. Committed before it is sent, so that a crash leaves something to settle."""

    SENDING, SENT = "sending", "sent"
    LOST = "lost"  # Stripe never counted it; the next revision takes its place
    FAILED, DOUBTFUL = "failed", "doubtful"  # an operator settles it; its bucket waits

    pk = models.CompositePrimaryKey("tenant_id", "hour", "period_start", "revision")
    tenant_id = models.UUIDField()
    hour = models.DateTimeField()
    period_start = models.DateTimeField()
    revision = models.PositiveIntegerField()
    identifier = models.TextField()
    value = models.BigIntegerField()
    stamped_at = models.DateTimeField()  # what Stripe counts it under
    late = models.BooleanField(default=False)  # counted in a later period: its own was invoiced
    state = models.TextField(default=SENDING)
    attempts = models.PositiveIntegerField(default=0)
    tried_at = models.DateTimeField(null=True)
    next_try_at = models.DateTimeField()
    created_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)
    problem = models.TextField(default="")

    class Meta:
        db_table = "meter_push"
        indexes = [
            models.Index(fields=["state", "next_try_at"], name="meter_push_open", condition=models.Q(state="sending"))
        ]


class Grant(models.Model):
    """A limit or a feature an operator gave, until a date or without end."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.UUIDField(default=uuid.uuid4, editable=False)
    name = models.TextField()  # a feature's, or a limit column of Tenant
    value = models.BigIntegerField(null=True)  # a limit's
    until = models.DateTimeField(null=True)
    reason = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "billing_grant"


class Credit(models.Model):
    """Money given back on the next invoice."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.UUIDField(default=uuid.uuid4, editable=False)
    amount_usd = models.DecimalField(max_digits=20, decimal_places=10)
    reason = models.TextField()
    transaction_id = models.TextField(default="")  # Stripe's; empty: not confirmed yet
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "billing_credit"


class BillingAlert(models.Model):
    """Something an operator must look at, once for each subject."""

    pk = models.CompositePrimaryKey("tenant_id", "kind", "subject")
    tenant_id = models.UUIDField()
    kind = models.TextField()  # drift, push_failed, push_doubtful, finalization_failed, dispute, two_subscriptions
    subject = models.TextField()
    detail = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "billing_alert"


class StripeEvent(models.Model):
    """A webhook event or one fetched later, kept once. Of no tenant until it is looked into: the app may only add."""

    WAITING, DONE, IGNORED = "waiting", "done", "ignored"

    id = models.TextField(primary_key=True)
    type = models.TextField()
    created = models.DateTimeField()
    payload = models.JSONField()
    customer_id = models.TextField(default="")
    state = models.TextField(default=WAITING)
    attempts = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(default=timezone.now)
    problem = models.TextField(default="")
    received_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "stripe_event"
        indexes = [
            models.Index(fields=["next_try_at"], name="stripe_event_waiting", condition=models.Q(state="waiting")),
            models.Index(fields=["customer_id"], name="stripe_event_customer"),
        ]


class Cursor(models.Model):
    """How far a nightly look at Stripe came."""

    name = models.TextField(primary_key=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "billing_cursor"
