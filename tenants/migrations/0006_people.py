"""Mail on its way, invitations, and what signing in needs."""

import uuid

from django.db import migrations, models
from django.utils import timezone

from tenants.isolation import function, grant, protect
from tenants.roles import ROLES

LIBRARY_TABLES = [
    "account_emailaddress",
    "account_emailconfirmation",
    "mfa_authenticator",
    "socialaccount_socialaccount",
    "socialaccount_socialapp",
    "socialaccount_socialtoken",
    "usersessions_usersession",
]

# Whoever was there before was made by an operator, who knew the address.
VERIFY_THOSE_BEFORE = """
    INSERT INTO account_emailaddress (email, verified, "primary", user_id)
    SELECT lower(email), true, true, id FROM tenants_user ORDER BY date_joined ON CONFLICT DO NOTHING
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0005_audit"),
        ("account", "0009_emailaddress_unique_primary_email"),
        ("mfa", "0003_authenticator_type_uniq"),
        ("socialaccount", "0006_alter_socialaccount_extra_data"),
        ("usersessions", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            "Mail",
            [
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("sealed", models.BinaryField()),
                ("created_at", models.DateTimeField(default=timezone.now)),
                ("due_at", models.DateTimeField(default=timezone.now)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
            ],
            {"db_table": "mail", "indexes": [models.Index(fields=["due_at"], name="mail_due")]},
        ),
        migrations.CreateModel(
            "Invitation",
            [
                ("pk", models.CompositePrimaryKey("tenant_id", "id", primary_key=True, serialize=False)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("email", models.TextField()),
                ("role", models.TextField(choices=[(role, role) for role in ROLES])),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("invited_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=timezone.now)),
                ("expires_at", models.DateTimeField()),
                ("tenant", models.ForeignKey("tenants.tenant", on_delete=models.CASCADE)),
            ],
            {
                "db_table": "invitation",
                "constraints": [
                    models.UniqueConstraint(fields=["tenant", "email"], name="invitation_email_unique"),
                    models.CheckConstraint(condition=models.Q(role__in=ROLES), name="invitation_role_known"),
                ],
            },
        ),
        migrations.CreateModel(
            "SsoConnection",
            [
                (
                    "tenant",
                    models.OneToOneField(
                        "tenants.tenant", on_delete=models.CASCADE, primary_key=True, serialize=False
                    ),
                ),
                ("domain", models.TextField()),
                ("proof", models.TextField()),
                ("proved_at", models.DateTimeField(null=True)),
                ("issuer", models.TextField()),
                ("client_id", models.TextField()),
                ("sealed", models.BinaryField()),
                ("required", models.BooleanField(default=False)),
                ("exempt_id", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=timezone.now)),
            ],
            {
                "db_table": "sso_connection",
                "constraints": [
                    models.UniqueConstraint(
                        fields=["domain"],
                        condition=models.Q(proved_at__isnull=False),
                        name="sso_domain_proved_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(required=False)
                        | models.Q(proved_at__isnull=False, exempt_id__isnull=False),
                        name="sso_required_leaves_a_way_in",
                    ),
                ],
            },
        ),
        grant("mail", verbs="INSERT"),
        *protect("invitation"),
        *protect("sso_connection"),
        *(grant(table) for table in LIBRARY_TABLES),
        # Who holds a token, or an address of the domain, does not name the tenant.
        function(
            "invitation_by_digest(bytea)",
            """
            RETURNS TABLE (tenant_id uuid, id uuid)
            LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
              SELECT i.tenant_id, i.id FROM public.invitation i WHERE i.digest = $1
            $$
            """,
        ),
        function(
            "sso_by_domain(text)",
            """
            RETURNS TABLE (tenant_id uuid)
            LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
              SELECT s.tenant_id FROM public.sso_connection s WHERE s.domain = $1 AND s.proved_at IS NOT NULL
            $$
            """,
        ),
        migrations.RunSQL(VERIFY_THOSE_BEFORE, migrations.RunSQL.noop),
    ]
