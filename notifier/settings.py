"""Django settings, from the environment alone (see .env.example for every variable)."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from channels import sandbox
from notifier import backends, embedded, environment, first_run, log, looks, metrics_dir, traces
from notifier.environment import BASE_DIR as BASE_DIR

# --- what runs -------------------------------------------------------------------------------------------

DATA_DIR = environment.folder("DATA_DIR", str(BASE_DIR / ".data"))
DATABASE_URL = environment.text("DATABASE_URL")
_LISTEN_DATABASE_URL = environment.text("LISTEN_DATABASE_URL")
if _LISTEN_DATABASE_URL and not DATABASE_URL:
    raise ImproperlyConfigured("LISTEN_DATABASE_URL is set and DATABASE_URL is not: both lead to the same database.")
BROKER_URL = environment.text("BROKER_URL")
BROKER_QUEUE_TYPE = environment.choice("BROKER_QUEUE_TYPE", ("default", "quorum"), "default")
EMBEDDED = not DATABASE_URL  # one machine, one command: Postgres and secrets live under DATA_DIR
DEBUG = environment.flag("DEBUG", default=False)

WEB_HOST = environment.text("WEB_HOST", "127.0.0.1")
WEB_PORT = environment.number("WEB_PORT", 8000)
WEB_PROCESSES = environment.number("WEB_PROCESSES", 2)
WORKER_PROCESSES = environment.number("WORKER_PROCESSES", 2)
WORKER_THREADS = environment.number("WORKER_THREADS", 32, least=1)
SANDBOX_PORT = environment.number("SANDBOX_PORT", 8025)
SANDBOX_SMTP_PORT = environment.number("SANDBOX_SMTP_PORT", 1025)
SANDBOX_URL = environment.text("SANDBOX_URL").rstrip("/")  # of the one that test keys reach; "": there are none
if SANDBOX_URL and not environment.is_address(SANDBOX_URL):
    raise ImproperlyConfigured("SANDBOX_URL must be an address such as http://127.0.0.1:8025.")

PUBLIC_URL = environment.text("PUBLIC_URL").rstrip("/")
if PUBLIC_URL and not environment.is_address(PUBLIC_URL):
    raise ImproperlyConfigured("PUBLIC_URL must be an address such as https://notify.example.com.")
_public = urlsplit(PUBLIC_URL)
_https = _public.scheme == "https"

SECRET_KEY = environment.text("SECRET_KEY")
if not SECRET_KEY and EMBEDDED:
    SECRET_KEY = first_run.secret_key(DATA_DIR)
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY must be set where DATABASE_URL is: a long random text, the same for all processes."
    )

# What `make run` made at its first start, if it did: the first page says where, and nobody what.
ADMIN_PASSWORD_FILE = first_run.path(DATA_DIR, "admin_password")
API_KEY_FILE = first_run.path(DATA_DIR, "api_key")

_loopback = ["localhost", "127.0.0.1", "[::1]"] if EMBEDDED or DEBUG else []
ALLOWED_HOSTS = [
    *(environment.words("ALLOWED_HOSTS") or _loopback),
    *([_public.hostname] if _public.hostname else []),  # what we tell the world must be let in
]

# --- Django ----------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold",  # before the admin, whose templates it has its own of
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "notifier",
    "notifications",
    "channels",
]

CORS_ALLOWED_ORIGINS = environment.words("CORS_ALLOWED_ORIGINS")

TRACES = traces.wanted()
TRACES_SERVICE = environment.text("OTEL_SERVICE_NAME", "notifier")

MIDDLEWARE = [
    "notifier.middleware.RequestLog",  # outermost: it sees every answer, a panic's too
    *(["notifications.api.tracing.RequestSpans"] if TRACES else []),
    *(["notifications.api.debugging.ProblemsOnly"] if DEBUG else []),
    *(["corsheaders.middleware.CorsMiddleware"] if CORS_ALLOWED_ORIGINS else []),
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "notifier.middleware.Probes",  # before the one that refuses unknown hosts
    "notifier.page_middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "notifier.page_middleware.AuthenticationMiddleware",
    "notifier.page_middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "notifier.urls"
WSGI_APPLICATION = "notifier.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "notifications" / "templates"],  # before the theme's, whose words it has its own of
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

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

UNFOLD = looks.UNFOLD
LOGIN_REDIRECT_URL = "admin:index"  # of who came to the login by itself

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DEFAULT_EXCEPTION_REPORTER_FILTER = "django.views.debug.SafeExceptionReporterFilter"

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # the few local assets come straight from the packages: nothing to collect

# --- Postgres --------------------------------------------------------------------------------------------

# A worker's many threads borrow from a pool, because they hold a connection only while they claim or record;
# a web thread keeps one of its own, and sees at once (not after a pool's patience) that the database is away.
ROLE = environment.choice("NOTIFIER_ROLE", ("web", "worker"), "web")

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **(environment.database(DATABASE_URL) if DATABASE_URL else embedded.connection(DATA_DIR)),
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 0 if ROLE == "worker" else None,
        # A look before each request is a round trip. A worker's statement that finds its connection broken is tried
        # again, and the web server sees on the socket that the other end has hung up (web_database.py).
        "CONN_HEALTH_CHECKS": False,
        "ATOMIC_REQUESTS": False,
        # Outside transactions they outlive theirs, in a session that a pooler has given to somebody else by then.
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }
}
# Past a pooler in front of DATABASE_URL, for what wants a session of its own: LISTEN. None: by DATABASE_URL itself.
LISTEN_DATABASE: dict[str, Any] | None = (
    environment.database(_LISTEN_DATABASE_URL, "LISTEN_DATABASE_URL") if _LISTEN_DATABASE_URL else None
)
# Whether statements are prepared. auto: where the session is the connection's own; on: through a pooler, too, which
# must know of them (PgBouncer 1.22 or later).
DB_PREPARE = environment.choice("DB_PREPARE", ("auto", "on", "off"), "auto")
for _database in filter(None, (DATABASES["default"], LISTEN_DATABASE)):
    _options = _database["OPTIONS"] = {
        "connect_timeout": 3,  # a database that does not answer a SYN is away: say so in seconds
        "application_name": f"notifier {ROLE}",
        # A server whose machine vanished without a word is noticed within seconds, and not by the kernel's defaults: a
        # quarter of an hour for what was sent to it, two hours where its answer is waited for. On a Unix socket they
        # mean nothing.
        "tcp_user_timeout": 3000,  # ms
        "keepalives_idle": 5,  # seconds
        "keepalives_interval": 2,  # seconds
        "keepalives_count": 3,
        **_database.get("OPTIONS", {}),
    }
_options = DATABASES["default"]["OPTIONS"]
if ROLE == "worker":
    _options["pool"] = {
        "min_size": 1,
        "max_size": environment.number("DATABASE_POOL_SIZE", 6, least=2),
        "timeout": 5.0,
        # The pool doubles its pauses between tries to connect, up to this: by its default of five minutes a worker
        # would find a database that was away for two of them two more minutes late.
        "reconnect_timeout": 5.0,
        "max_idle": 300.0,
    }

# --- security --------------------------------------------------------------------------------------------

# Cookies and redirects follow the address that users see: plain http on one's own machine, https in public.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = _https
SESSION_COOKIE_HTTPONLY = True
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _https
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # probes come from inside, over plain http
if environment.flag("TRUST_FORWARDED_PROTO", default=False):
    # Only behind a proxy that always sets or strips this header; anybody else could claim https with it.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

CORS_URLS_REGEX = r"^/api/.*$"
CORS_ALLOW_HEADERS = [
    "accept",
    "authorization",
    "content-type",
    "idempotency-key",
    "traceparent",
    "x-correlation-id",
]
CORS_EXPOSE_HEADERS = [
    "Idempotency-Key",
    "Idempotent-Replayed",
    "Location",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "X-Correlation-ID",
]

# --- REST ------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["notifications.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["notifications.api.authentication.HasScope"],
    "DEFAULT_PARSER_CLASSES": ["notifications.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "notifications.api.negotiation.Negotiation",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["notifications.api.throttling.ClientThrottle"],
    "EXCEPTION_HANDLER": "notifications.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Notifier",
    "DESCRIPTION": "A transactional outbox for notifications by Slack, SMS and email, with idempotency.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "StatusEnum": "notifications.api.schema_parts.STATUSES",
        "ResendableEnum": ["failed", "unknown"],
    },
    "WEBHOOKS": [f"notifications.api.webhook_events.{event}" for event in ("sent", "delivered", "failed", "unknown")],
    "PREPROCESSING_HOOKS": ["notifications.api.schema_parts.without_slash_variants"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "notifications.api.openapi.finish",
    ],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SCHEMA_PATH_PREFIX": "/api/v[0-9]+/",
    "TAGS": [
        {"name": "send", "description": "Store a notification durably; a worker sends it."},
        {"name": "read"},
        {"name": "change", "description": "What was accepted: send it again, not at all, or at another time."},
        {"name": "webhooks", "description": "Be told what becomes of your notifications."},
    ],
}

# --- metrics ---------------------------------------------------------------------------------------------

METRICS_DIR = metrics_dir.choose(environment.text("METRICS_DIR"), DATA_DIR, DATABASE_URL)
METRICS_TROUBLE = metrics_dir.prepare(METRICS_DIR)  # "" where every process can write there; a check says what else
METRICS_PORT = environment.number("METRICS_PORT", 0)  # of a worker's own exporter; 0 for none
METRICS_HOST = environment.text("METRICS_HOST", "0.0.0.0")  # noqa: S104 - for Prometheus, who comes from elsewhere
TALLIES = environment.flag("TALLIES", default=True)  # by the minute, in the database, for the dashboard
if METRICS_PORT > 65535:
    raise ImproperlyConfigured(f"METRICS_PORT must be a port up to 65535, or 0 for none, not {METRICS_PORT}.")

# --- the service -----------------------------------------------------------------------------------------

IDEMPOTENCY_KEY_REQUIRED = environment.flag("IDEMPOTENCY_KEY_REQUIRED", default=True)
IDEMPOTENCY_KEY_TTL = timedelta(hours=environment.number("IDEMPOTENCY_KEY_TTL", 72))
RATE_LIMIT = environment.number("RATE_LIMIT", 0)  # notifications a minute of each client; 0 for no limit
RETENTION_DAYS = environment.number("RETENTION_DAYS", 90)
REDACT_AFTER_DAYS = environment.number("REDACT_AFTER_DAYS", 0)  # 0: never
CHORES = environment.flag("CHORES", default=True)  # the relays see to both, once an hour
READY_QUEUE_AGE = timedelta(seconds=environment.number("READY_QUEUE_AGE", 300, least=1))
REQUEST_BODY_LIMIT = 1024 * 1024  # bytes; the largest message of any channel is a quarter of it
# A mail's files may have 5 MiB together, which base64 makes 7 million bytes of; beside them is room for any other body.
BODY_LIMIT_WITH_FILES = 8 * 1024 * 1024
BODY_LIMITS = {
    "/api/v1/notifications": BODY_LIMIT_WITH_FILES,
    "/api/v1/mail": BODY_LIMIT_WITH_FILES,
    "/api/v1/notifications/batch": 8 * 1024 * 1024,  # a thousand messages of 8 kB each
}
DATA_UPLOAD_MAX_MEMORY_SIZE = REQUEST_BODY_LIMIT

_webhooks = environment.pairs("SLACK_WEBHOOKS")
if environment.text("SLACK_WEB_HOOK_URL"):
    if "default" in _webhooks:
        raise ImproperlyConfigured(
            "SLACK_WEBHOOKS names 'default', and SLACK_WEB_HOOK_URL is set too: keep one of them."
        )
    _webhooks["default"] = environment.text("SLACK_WEB_HOOK_URL")

# What test keys send goes to the sandbox: to the same destinations by name, and with nothing of the providers' options.
_sandbox = sandbox.options(SANDBOX_URL, SANDBOX_SMTP_PORT, _webhooks or ("default",)) if SANDBOX_URL else {}

_ON_UNKNOWN = ("resend", "hold")  # what becomes of a send that nobody knows the outcome of
_max_segments = environment.number("SMS_MAX_SEGMENTS", 0)  # each is paid for; 0 for no limit but Twilio's own

NOTIFIER_CHANNELS = {
    "slack": {
        **backends.entry(
            environment.backends("SLACK_BACKENDS", "webhooks", backends.slack(_webhooks)),
            # Each webhook takes one message a second, and short bursts; whoever goes on past that may lose it.
            # https://docs.slack.dev/apis/web-api/rate-limits
            rate=environment.rate("SLACK_RATE", "1/s"),
        ),
        "on_unknown": environment.choice("SLACK_ON_UNKNOWN", _ON_UNKNOWN, "resend"),
        "batch": 20,
        "sandbox": _sandbox.get("slack"),
    },
    "email": {
        **backends.entry(
            environment.backends("EMAIL_BACKENDS", "smtp", backends.email()),
            rate=environment.rate("EMAIL_RATE", "off"),
        ),
        "on_unknown": environment.choice("EMAIL_ON_UNKNOWN", _ON_UNKNOWN, "resend"),
        "batch": 50,
        "sandbox": _sandbox.get("email"),
    },
    "sms": {
        **backends.entry(
            environment.backends("SMS_BACKENDS", "twilio", backends.sms(_max_segments)),
            rate=environment.rate("SMS_RATE", "off"),
        ),
        # An SMS costs money, and Twilio cannot deduplicate.
        "on_unknown": environment.choice("SMS_ON_UNKNOWN", _ON_UNKNOWN, "hold"),
        "batch": 10,
        "sandbox": {**_sandbox["sms"], "max_segments": _max_segments} if _sandbox else None,
    },
    # Wherever else: each destination is a URL that apprise knows.
    "apprise": {
        "backend": "channels.apprise.Apprise",
        "on_unknown": environment.choice("APPRISE_ON_UNKNOWN", _ON_UNKNOWN, "resend"),
        "batch": 5,
        "optional": True,  # where it has no destinations there is no warning, and no thread waits for it
        "urls": environment.pairs("APPRISE_URLS"),
    },
    # What becomes of all those, told to the clients' own receivers; nobody can post to it.
    "webhook": {
        "backend": "channels.webhook.StandardWebhook",
        "on_unknown": "resend",  # the scheme's receivers deduplicate by webhook-id
        "batch": 10,
        "max_tries": 1000,  # its time is what is limited: outbox/tell.py
        "endpoints": "notifications.webhooks.endpoints",
        "allowed_networks": environment.words("WEBHOOK_ALLOWED_NETWORKS"),
    },
}

# --- logs ------------------------------------------------------------------------------------------------

LOG_FORMAT = environment.choice("LOG_FORMAT", ("json", "console"), "console" if sys.stderr.isatty() else "json")
LOGGING_CONFIG = None
log.configure(
    level=environment.choice("LOG_LEVEL", ("debug", "info", "warning", "error"), "info"),
    form=LOG_FORMAT,
    secrets=[
        *_webhooks.values(),
        *backends.secrets(NOTIFIER_CHANNELS),
        SECRET_KEY,
        *BROKER_URL.split(";"),
        *(str(each.get("PASSWORD") or "") for each in (DATABASES["default"], LISTEN_DATABASE or {})),
        environment.text("TWILIO_AUTH_TOKEN"),
        environment.text("SMTP_PASSWORD"),
        environment.text("RESEND_API_KEY"),
        environment.text("OTEL_EXPORTER_OTLP_HEADERS"),
    ],
)
