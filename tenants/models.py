"""Who is calling, and what is theirs?

Every table but Tenant and User begins its keys with the tenant, so that row-level security needs one rule and the
tables can be distributed by tenant. Rows point at each other by plain uuid columns; the migrations add foreign keys
that hold the tenant too, because a key on the id alone would accept another tenant's row.
"""

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from tenants.roles import ROLES


class PeopleManager(UserManager["User"]):
    """People sign in by e-mail; there are no user names."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":  # type: ignore[override]
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":  # type: ignore[override]
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = None  # type: ignore[assignment]
    email = models.EmailField(unique=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = PeopleManager()  # type: ignore[misc]


class Tenant(models.Model):
    """The paying team. Billing writes the limit columns, everything else only reads them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    suspended_at = models.DateTimeField(null=True)
    plan = models.TextField(default="free")
    rpm = models.PositiveIntegerField(default=100)
    tpm = models.PositiveIntegerField(null=True)  # tokens per minute, all keys together
    requests_included = models.BigIntegerField(default=10_000)
    requests_hard = models.BooleanField(default=True)
    overage_cap_usd = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    period_start = models.DateTimeField(default=timezone.now)  # from here on requests count against the plan
    entries_max = models.BigIntegerField(default=5_000)
    bytes_max = models.BigIntegerField(null=True)
    ttl_max_seconds = models.BigIntegerField(default=7 * 86_400)
    detail_days = models.PositiveIntegerField(default=7)  # how long ledger rows are kept; roll-ups stay
    projects_max = models.PositiveIntegerField(null=True, default=1)
    members_max = models.PositiveIntegerField(null=True, default=2)
    keys_max = models.PositiveIntegerField(null=True, default=5)  # in each project
    features = ArrayField(models.TextField(), default=list)
    read_only = models.BooleanField(default=False)  # hits are served, nothing is stored
    revoke_leaked = models.BooleanField(default=False)  # a key found in public ends at once; the tenant's own choice

    class Meta:
        db_table = "tenant"


class Member(models.Model):
    pk = models.CompositePrimaryKey("tenant_id", "user_id")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    role = models.TextField(choices=[(role, role) for role in ROLES])
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "member"
        constraints = [models.CheckConstraint(condition=models.Q(role__in=ROLES), name="member_role_known")]


class Project(models.Model):
    """A cache space inside a tenant."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE)
    id = models.UUIDField(default=uuid.uuid4, editable=False)
    name = models.TextField()
    default_model = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "project"
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="project_name_unique")]


class ApiKey(models.Model):
    """A bearer secret of a project. Only a keyed hash is stored."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE)
    id = models.UUIDField(default=uuid.uuid4, editable=False)
    project_id = models.UUIDField()
    name = models.TextField(blank=True, default="")
    digest = models.BinaryField(unique=True, max_length=32)
    pepper_id = models.PositiveSmallIntegerField()
    hint = models.TextField()
    scopes = ArrayField(models.TextField())
    networks = ArrayField(models.TextField(), default=list)
    models_allowed = ArrayField(models.TextField(), default=list)  # names, or beginnings with *; empty: any
    rpm = models.PositiveIntegerField(null=True)
    tpm = models.PositiveIntegerField(null=True)
    ttl_max_seconds = models.BigIntegerField(null=True)
    provider = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.UUIDField(null=True)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    replaced_by = models.UUIDField(null=True)
    last_used_at = models.DateTimeField(null=True)
    expiry_told_days = models.PositiveSmallIntegerField(null=True)  # how near the end was when people were last told

    class Meta:
        db_table = "api_key"
        indexes = [models.Index(fields=["tenant", "project_id"], name="api_key_project")]


class ProviderKey(models.Model):
    """A tenant's credential for an upstream, encrypted; it goes to its provider's or its own stored URL only."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE)
    id = models.UUIDField(default=uuid.uuid4, editable=False)
    provider = models.TextField()
    base_url = models.TextField(blank=True, default="")
    sealed = models.BinaryField()
    hint = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    taken_at = models.DateTimeField(null=True)  # when its provider last took it
    trouble = models.TextField(blank=True, default="")  # why that is not known

    class Meta:
        db_table = "provider_key"
        constraints = [models.UniqueConstraint(fields=["tenant", "provider"], name="provider_key_unique")]


class DataKey(models.Model):
    """A tenant's own keys, wrapped by the master key: `text` seals what is stored, `digest` keys fingerprints."""

    pk = models.CompositePrimaryKey("tenant_id", "purpose", "version")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE)
    purpose = models.TextField(choices=[("text", "text"), ("digest", "digest")])
    version = models.PositiveIntegerField(default=1)
    wrapped = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "data_key"


class Invitation(models.Model):
    """A way into a tenant, once and for one verified mail. Only a digest of its token is stored."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE)
    id = models.UUIDField(default=uuid.uuid4, editable=False)
    email = models.TextField()  # in lower case
    role = models.TextField(choices=[(role, role) for role in ROLES])
    digest = models.BinaryField(unique=True, max_length=32)
    invited_by = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "invitation"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "email"], name="invitation_email_unique"),
            models.CheckConstraint(condition=models.Q(role__in=ROLES), name="invitation_role_known"),
        ]


class SsoConnection(models.Model):
    """A tenant's own sign-in, for the people of one domain. Of no use until the domain is proved."""

    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, primary_key=True)
    domain = models.TextField()  # in lower case
    proof = models.TextField()  # what the domain's TXT record must say
    proved_at = models.DateTimeField(null=True)
    issuer = models.TextField()
    client_id = models.TextField()
    sealed = models.BinaryField()  # the client's secret
    required = models.BooleanField(default=False)
    exempt_id = models.UUIDField(null=True)  # the owner who may still come in by password
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "sso_connection"
        constraints = [
            # Who meets it controls the domain's records: it reveals nothing to a stranger.
            models.UniqueConstraint(
                fields=["domain"], condition=models.Q(proved_at__isnull=False), name="sso_domain_proved_once"
            ),
            models.CheckConstraint(
                condition=models.Q(required=False) | models.Q(proved_at__isnull=False, exempt_id__isnull=False),
                name="sso_required_leaves_a_way_in",
            ),
        ]


class Mail(models.Model):
    """A mail on its way, sealed. The app adds them and sees none; a worker sends them as the owner."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    sealed = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        db_table = "mail"
        indexes = [models.Index(fields=["due_at"], name="mail_due")]


class AuditEvent(models.Model):
    """Who did what to what. Written once: the app may not change a row, and each row's hash covers the one before."""

    pk = models.CompositePrimaryKey("tenant_id", "seq")
    tenant_id = models.UUIDField()
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    actor_kind = models.TextField()
    actor_id = models.UUIDField(null=True)
    address = models.TextField(default="")
    action = models.TextField()
    target = models.TextField(default="")
    diff = models.JSONField(default=dict)
    hash = models.BinaryField(max_length=32)

    class Meta:
        db_table = "audit_event"


class AuditHead(models.Model):
    """The end of a tenant's chain; locked while a row is added."""

    tenant_id = models.UUIDField(primary_key=True)
    seq = models.BigIntegerField(default=0)
    hash = models.BinaryField(max_length=32, default=bytes(32))

    class Meta:
        db_table = "audit_head"


class Erasure(models.Model):
    """What was asked to be erased and what is gone. It outlives its subject, and names nobody."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.TextField(choices=[("tenant", "tenant"), ("person", "person")])
    subject_id = models.UUIDField()
    asked_by = models.UUIDField(null=True)
    asked_at = models.DateTimeField()
    due_at = models.DateTimeField()
    suspended = models.BooleanField(default=False)  # by this: taking it back lifts it
    withdrawn_at = models.DateTimeField(null=True)
    keys_destroyed_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    counts = models.JSONField(default=dict)  # rows by table, and files

    class Meta:
        db_table = "erasure"
        constraints = [
            models.UniqueConstraint(
                fields=["subject_id"], condition=models.Q(withdrawn_at=None), name="erasure_one_at_a_time"
            )
        ]


class TenantExport(models.Model):
    """All that is a tenant's, as a file for a day. `status` is queued, running, done or failed."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.UUIDField(default=uuid.uuid4)
    asked_by = models.UUIDField(null=True)
    status = models.TextField(default="queued")
    tables_total = models.PositiveIntegerField(default=0)
    tables_done = models.PositiveIntegerField(default=0)
    rows_done = models.BigIntegerField(default=0)
    cursor = models.JSONField(null=True)  # where the next part begins; None: at the beginning
    bytes = models.BigIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    touched_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "tenant_export"


class WebhookEndpoint(models.Model):
    """An address of a tenant's that is told of what happens. `sealed` is the secret its messages are signed with."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.UUIDField(default=uuid.uuid4)
    url = models.TextField()
    events = ArrayField(models.TextField(), default=list)  # empty: all
    sealed = models.BinaryField()
    hint = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    disabled_at = models.DateTimeField(null=True)
    disabled_reason = models.TextField(default="")

    class Meta:
        db_table = "webhook_endpoint"


class WebhookDelivery(models.Model):
    """One event on its way to one endpoint, and what came of it."""

    pk = models.CompositePrimaryKey("tenant_id", "id")
    tenant_id = models.UUIDField()
    id = models.UUIDField(default=uuid.uuid4)
    endpoint_id = models.UUIDField()
    event = models.TextField()
    body = models.TextField()  # the very bytes, since they are signed
    created_at = models.DateTimeField(default=timezone.now)
    next_at = models.DateTimeField(null=True)  # None: delivered or given up
    attempts = models.PositiveSmallIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True)
    given_up_at = models.DateTimeField(null=True)
    status = models.PositiveSmallIntegerField(null=True)  # of the last answer
    error = models.TextField(default="")

    class Meta:
        db_table = "webhook_delivery"
        indexes = [
            models.Index(fields=["next_at"], name="webhook_delivery_due", condition=models.Q(next_at__isnull=False)),
            models.Index(fields=["tenant_id", "endpoint_id", "created_at"], name="webhook_delivery_log"),
        ]
