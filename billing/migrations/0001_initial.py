"""Accounts, mirrors of Stripe, usage in buckets; and what web must do before a tenant is known."""

import django.contrib.postgres.fields
import django.utils.timezone
import uuid
from django.db import migrations, models

from tenants.isolation import grant, protect, same_tenant

TABLES = (
    "billing_account",
    "billing_subscription",
    "billing_invoice",
    "billing_period",
    "usage_bucket",
    "meter_push",
    "billing_grant",
    "billing_credit",
    "billing_alert",
)


class Migration(migrations.Migration):

    initial = True

    dependencies = [("tenants", "0005_audit")]

    operations = [
        migrations.CreateModel(
            name='BillingAlert',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'kind', 'subject', blank=True, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('kind', models.TextField()),
                ('subject', models.TextField()),
                ('detail', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('resolved_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'billing_alert',
            },
        ),
        migrations.CreateModel(
            name='BillingPeriod',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'start', blank=True, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('start', models.DateTimeField()),
                ('end', models.DateTimeField()),
                ('subscription_id', models.TextField()),
                ('plan', models.TextField()),
                ('metered', models.BooleanField()),
                ('final', models.BooleanField(default=False)),
            ],
            options={
                'db_table': 'billing_period',
            },
        ),
        migrations.CreateModel(
            name='Credit',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('amount_usd', models.DecimalField(decimal_places=10, max_digits=20)),
                ('reason', models.TextField()),
                ('transaction_id', models.TextField(default='')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'db_table': 'billing_credit',
            },
        ),
        migrations.CreateModel(
            name='Cursor',
            fields=[
                ('name', models.TextField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
            ],
            options={
                'db_table': 'billing_cursor',
            },
        ),
        migrations.CreateModel(
            name='Grant',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('id', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('name', models.TextField()),
                ('value', models.BigIntegerField(null=True)),
                ('until', models.DateTimeField(null=True)),
                ('reason', models.TextField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('revoked_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'billing_grant',
            },
        ),
        migrations.CreateModel(
            name='Invoice',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('id', models.TextField()),
                ('subscription_id', models.TextField(default='')),
                ('number', models.TextField(default='')),
                ('status', models.TextField()),
                ('reason', models.TextField(default='')),
                ('total_usd', models.DecimalField(decimal_places=10, max_digits=20)),
                ('amount_due_usd', models.DecimalField(decimal_places=10, max_digits=20)),
                ('amount_paid_usd', models.DecimalField(decimal_places=10, max_digits=20)),
                ('period_start', models.DateTimeField()),
                ('period_end', models.DateTimeField()),
                ('created_at', models.DateTimeField()),
                ('finalized_at', models.DateTimeField(null=True)),
                ('paid_at', models.DateTimeField(null=True)),
                ('next_payment_attempt', models.DateTimeField(null=True)),
                ('hosted_invoice_url', models.TextField(default='')),
                ('invoice_pdf', models.TextField(default='')),
                ('problem', models.TextField(default='')),
            ],
            options={
                'db_table': 'billing_invoice',
            },
        ),
        migrations.CreateModel(
            name='Subscription',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('id', models.TextField()),
                ('state', models.TextField()),
                ('plan', models.TextField()),
                ('items', models.JSONField(default=list)),
                ('period_start', models.DateTimeField(null=True)),
                ('period_end', models.DateTimeField(null=True)),
                ('trial_end', models.DateTimeField(null=True)),
                ('cancels_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'billing_subscription',
            },
        ),
        migrations.CreateModel(
            name='UsageBucket',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'hour', 'period_start', blank=True, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('hour', models.DateTimeField()),
                ('period_start', models.DateTimeField()),
                ('quantity', models.BigIntegerField(default=0)),
                ('pushed', models.BigIntegerField(default=0)),
            ],
            options={
                'db_table': 'usage_bucket',
            },
        ),
        migrations.CreateModel(
            name='BillingAccount',
            fields=[
                ('tenant_id', models.UUIDField(primary_key=True, serialize=False)),
                ('version', models.BigIntegerField(default=0)),
                ('customer_id', models.TextField(default='')),
                ('email', models.TextField(default='')),
                ('checkout_id', models.TextField(default='')),
                ('checkouts', models.PositiveIntegerField(default=0)),
                ('changes', models.PositiveIntegerField(default=0)),
                ('trial_used', models.BooleanField(default=False)),
                ('subscription_id', models.TextField(default='')),
                ('state', models.TextField(default='')),
                ('plan', models.TextField(default='')),
                ('trial_ends_at', models.DateTimeField(null=True)),
                ('period_start', models.DateTimeField(null=True)),
                ('period_end', models.DateTimeField(null=True)),
                ('cancels_at', models.DateTimeField(null=True)),
                ('next_plan', models.TextField(default='')),
                ('schedule_id', models.TextField(default='')),
                ('entitlements', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None)),
                ('past_due_since', models.DateTimeField(null=True)),
                ('converted_at', models.DateTimeField(null=True)),
                ('synced_at', models.DateTimeField(null=True)),
                ('plan_given', models.TextField(default='')),
                ('overage_cap_usd', models.DecimalField(decimal_places=10, max_digits=20, null=True)),
                ('apply_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'db_table': 'billing_account',
                'indexes': [models.Index(fields=['customer_id'], name='billing_account_customer')],
            },
        ),
        migrations.CreateModel(
            name='MeterPush',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'hour', 'period_start', 'revision', blank=True, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField()),
                ('hour', models.DateTimeField()),
                ('period_start', models.DateTimeField()),
                ('revision', models.PositiveIntegerField()),
                ('identifier', models.TextField()),
                ('value', models.BigIntegerField()),
                ('stamped_at', models.DateTimeField()),
                ('late', models.BooleanField(default=False)),
                ('state', models.TextField(default='sending')),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('tried_at', models.DateTimeField(null=True)),
                ('next_try_at', models.DateTimeField()),
                ('created_at', models.DateTimeField()),
                ('settled_at', models.DateTimeField(null=True)),
                ('problem', models.TextField(default='')),
            ],
            options={
                'db_table': 'meter_push',
                'indexes': [models.Index(condition=models.Q(('state', 'sending')), fields=['state', 'next_try_at'], name='meter_push_open')],
            },
        ),
        migrations.CreateModel(
            name='StripeEvent',
            fields=[
                ('id', models.TextField(primary_key=True, serialize=False)),
                ('type', models.TextField()),
                ('created', models.DateTimeField()),
                ('payload', models.JSONField()),
                ('customer_id', models.TextField(default='')),
                ('state', models.TextField(default='waiting')),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('next_try_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('problem', models.TextField(default='')),
                ('received_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('done_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'stripe_event',
                'indexes': [models.Index(condition=models.Q(('state', 'waiting')), fields=['next_try_at'], name='stripe_event_waiting'), models.Index(fields=['customer_id'], name='stripe_event_customer')],
            },
        ),
        *(same_tenant(table, "tenant_id", "tenant", "id") for table in TABLES),
        same_tenant("meter_push", "tenant_id, hour, period_start", "usage_bucket", "tenant_id, hour, period_start"),
        *(operation for table in TABLES for operation in protect(table)),
        # Without SELECT: an event holds what Stripe knows of a customer, and web need not read it back.
        grant("stripe_event", verbs="INSERT"),
    ]
