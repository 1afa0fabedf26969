"""One settings file; environments differ by variables only (see `env.py` and docs/configuration)."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from typing import Any

from apps.runtime import failpoints
from gateway_site import env, logs, refusals
from gateway_site.telemetry import wanted

BASE_DIR = env.BASE_DIR
VAR_DIR = env.private_folder(env.VAR_DIR)

DEBUG = env.flag("WEIR_DEBUG", False)
SECRET_KEY = env.secret("WEIR_SECRET_KEY")
ALLOWED_HOSTS = env.words("WEIR_ALLOWED_HOSTS", [] if env.PRODUCTION else ["*"])
CSRF_TRUSTED_ORIGINS = env.words("WEIR_TRUSTED_ORIGINS", [])
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
WEIR_ROLE = env.choice("WEIR_ROLE", "all", "gateway", "control")
ROOT_URLCONF = "gateway_site.urls"
ASGI_APPLICATION = "gateway_site.asgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = "gateway_site.formats"
LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "portal:home"

INSTALLED_APPS = [
    # Daphne is what `runserver` serves with; elsewhere it would cost each process 14 MB.
    *(["daphne"] if "runserver" in sys.argv else []),
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.inlines",
    "gateway_site.site.WeirAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.forms",  # its widgets, for the renderer of the portal's forms
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "django_prometheus",
    "axes",
    "apps.audit",
    "apps.events",
    "apps.accounts",
    "apps.tenants",
    "apps.catalog",
    "apps.keys",
    "apps.access",
    "apps.signin",
    "apps.quotas",
    "apps.policies",
    "apps.usage",
    "apps.alerts",
    "apps.reconciliation",
    "apps.config",
    "apps.status",
    "apps.gateway",
    "apps.api",
    "apps.portal",
]

MIDDLEWARE = [
    "gateway_site.telemetry.pages.traced",
    "gateway_site.charset.Utf8Only",
    "django.middleware.security.SecurityMiddleware",
    "gateway_site.csp.ContentSecurityPolicy",
    "gateway_site.static.WholeFiles",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "apps.audit.origin.remember_address",
    "apps.signin.entering.require_second_factor",
    "axes.middleware.AxesMiddleware",
    "apps.tenants.behind.BehindTheWall",
]

FORM_RENDERER = "apps.audit.choices.Renderer"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- a process for calls alone: no pages, nobody signed in, so none of what these need ---------------------------
if env.SERVING and WEIR_ROLE == "gateway":
    ROOT_URLCONF = "apps.status.urls"
    INSTALLED_APPS = [
        "django.contrib.admin.apps.SimpleAdminConfig" if name == "gateway_site.site.WeirAdminConfig" else name
        for name in INSTALLED_APPS
        if not name.startswith("unfold.") and name not in ("drf_spectacular_sidecar", "apps.api", "apps.portal")
    ]
    MIDDLEWARE = [
        "gateway_site.charset.Utf8Only",
        "django.middleware.security.SecurityMiddleware",
        "gateway_site.csp.ContentSecurityPolicy",
        "django.middleware.common.CommonMiddleware",
    ]

# --- database: SQLite under var/ when embedded, PostgreSQL otherwise -------------------------------------------
DATABASE_URL = env.embedded("DATABASE_URL", f"sqlite:///{VAR_DIR / 'weir.db'}")


# Seconds; 0: no limit, and no start-up options, which some poolers refuse. `manage.py` sets none.
_STATEMENT_SECONDS = env.integer("WEIR_STATEMENT_SECONDS", 30)
WEIR_SECOND_WALL = env.flag("WEIR_SECOND_WALL", True)
# Only who says so knows that theirs keeps a connection for a session.
WEIR_WALL_BEHIND_POOLER = WEIR_SECOND_WALL and "WEIR_SECOND_WALL" in env.given()
WEIR_DURABILITY = env.choice("WEIR_DURABILITY", "process", "power")


def _database(url: str) -> dict[str, Any]:
    """What the URL itself says of the connection (`?sslmode=…`) goes before what is said here."""
    import environ

    if told := refusals.database(url):
        env.refuse(told)
        return {}
    config: dict[str, Any] = dict(environ.Env.db_url_config(url))
    config.setdefault("CONN_MAX_AGE", 60)  # seconds; a file, too, takes milliseconds to open
    if config["ENGINE"].endswith("sqlite3"):
        synchronous = "FULL" if WEIR_DURABILITY == "power" else "NORMAL"
        config["OPTIONS"] = {
            "timeout": 5,
            "transaction_mode": "IMMEDIATE",
            "init_command": f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous}; PRAGMA foreign_keys=ON;",
        }
        config["TEST"] = {"NAME": str(VAR_DIR / "test.db")}
    else:
        config["ENGINE"] = "django.db.backends.postgresql"
        config["CONN_HEALTH_CHECKS"] = True
        # A database that is cut off must fail, not hang: the look-up of keys and the revision checks wait for it.
        options: dict[str, Any] = {"connect_timeout": 5, "tcp_user_timeout": 10_000}
        if _STATEMENT_SECONDS:
            told = {
                "statement_timeout": f"{_STATEMENT_SECONDS}s",
                "idle_in_transaction_session_timeout": f"{2 * _STATEMENT_SECONDS}s",
                # The usual 4 is that of disks with heads: a tenant's newest calls were sought in everybody's then.
                "random_page_cost": "1.1",
            }
            options["options"] = " ".join(f"-c {name}={value}" for name, value in told.items())
        config["OPTIONS"] = options | config.get("OPTIONS", {})
    return config


DATABASES = {"default": _database(DATABASE_URL)}

# --- Redis: limits, channel layer and broker of several replicas; none when embedded ---------------------------
REDIS_URL = env.address("REDIS_URL", "")
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": (
        {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
        if REDIS_URL
        else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    )
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- Celery ----------------------------------------------------------------------------------------------------
_redis_as_broker = env.broker(REDIS_URL)
CELERY_BROKER_URL = env.address("CELERY_BROKER_URL", _redis_as_broker)
CELERY_BROKER_TRANSPORT: str | None = None
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {}
if CELERY_BROKER_URL.startswith("filesystem"):
    _broker = VAR_DIR / "broker"
    for _folder in ("messages", "control"):
        (_broker / _folder).mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT = "gateway_site.broker:Transport"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_broker / "messages"),
        "data_folder_out": str(_broker / "messages"),
        "control_folder": str(_broker / "control"),
    }
elif CELERY_BROKER_URL.startswith(("redis", "rediss")):
    # What a killed worker had is handed out again after so long; that must be longer than any task may take.
    CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 4 * 3600}
    if CELERY_BROKER_URL.startswith("rediss"):
        # Without a word Kombu would believe any certificate. What an address itself says of TLS (?ssl_…) goes before.
        CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None  # there are none, so nothing to clean up
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True  # every task may be run again, whole or half
CELERY_TASK_TIME_LIMIT = 600
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"

# --- sign-in ---------------------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AXES_VERBOSE = False
AXES_ENABLE_ADMIN = False
AXES_HANDLER = "apps.signin.guessing.Handler"
AXES_FAILURE_LIMIT = "apps.signin.guessing.most"
AXES_COOLOFF_TIME = 0.25  # hours
# Else each try at a locked name would be added to the row of those before, which grows by a kilobyte each time.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_CALLABLE = "apps.portal.entrance.locked"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_CALLABLE = "apps.signin.guessing.name"
AXES_CLIENT_IP_CALLABLE = "apps.signin.guessing.network"
AXES_SENSITIVE_PARAMETERS = ["code"]  # passwords are cut always; who was locked out, and from where, is to be seen
WEIR_REQUIRE_TOTP = env.choice("WEIR_REQUIRE_TOTP", "nobody", "staff", "everybody")
SESSION_ENGINE = "apps.signin.session_store"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
if env.PRODUCTION:
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    # Browsers take a cookie of such a name from this very host alone, over TLS: no neighbour can plant one.
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
    SECURE_SSL_REDIRECT = env.flag("WEIR_SSL_REDIRECT", True)
    SECURE_REDIRECT_EXEMPT = [r"^metrics$"]  # asked for at each process's own address, where there is no TLS
    SECURE_HSTS_SECONDS = env.integer("WEIR_HSTS_SECONDS", 31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
else:  # the profile sets what these ask for, and weir.E010 asks for the profile
    SILENCED_SYSTEM_CHECKS = [f"security.{name}" for name in ("W004", "W008", "W012", "W016", "W018", "W020")]

# --- mail: notices and invitations; without a server they wait, and pages show what they would have said ----------
WEIR_EMAIL_URL = env.secret("WEIR_EMAIL_URL", required=False)
WEIR_HAS_MAIL = bool(WEIR_EMAIL_URL)
DEFAULT_FROM_EMAIL = env.text("WEIR_EMAIL_FROM", "weir@localhost")
globals().update(env.mail(WEIR_EMAIL_URL))

# --- static files ----------------------------------------------------------------------------------------------
STATIC_URL = "static/"
WEIR_STATIC_DIR = env.text("WEIR_STATIC_DIR", "")
STATIC_ROOT = Path(WEIR_STATIC_DIR or VAR_DIR / "static")
if not WEIR_STATIC_DIR:  # an image has it filled already, where nobody may write
    STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not env.PRODUCTION
WHITENOISE_AUTOREFRESH = DEBUG

# --- Weir's own ------------------------------------------------------------------------------------------------
WEIR_BASE_URL = env.text("WEIR_BASE_URL", "http://127.0.0.1:8000")
WEIR_KEYRING = env.secret("WEIR_KEYRING")
WEIR_KEY_PEPPER = env.secret("WEIR_KEY_PEPPER", required=False)
WEIR_VAULT_TOKEN = env.text("WEIR_VAULT_TOKEN", "")
WEIR_VAULT_TOKEN_FILE = env.text("WEIR_VAULT_TOKEN_FILE", "")
WEIR_OPERATOR_TOKEN = env.secret("WEIR_OPERATOR_TOKEN")
WEIR_MAX_BODY_BYTES = env.integer("WEIR_MAX_BODY_BYTES", 32 * 1024 * 1024)
WEIR_KEY_CACHE = env.integer("WEIR_KEY_CACHE", 20_000)
WEIR_CORS_ORIGINS = env.words("WEIR_CORS_ORIGINS", [])
WEIR_DRAIN_SECONDS = env.number("WEIR_DRAIN_SECONDS", 300.0)
WEIR_PRESTOP_SECONDS = env.number("WEIR_PRESTOP_SECONDS", 10.0 if env.PRODUCTION else 0.0)
WEIR_STOP_SECONDS = env.number("WEIR_STOP_SECONDS", 0.0)
WEIR_STALL_SECONDS = env.number("WEIR_STALL_SECONDS", 60.0, least=1)
WEIR_HEADER_SECONDS = env.number("WEIR_HEADER_SECONDS", 10.0, least=1)
WEIR_MAX_HEADER_BYTES = env.integer("WEIR_MAX_HEADER_BYTES", 64 * 1024, least=1_024)
WEIR_BODY_SECONDS = env.number("WEIR_BODY_SECONDS", 60.0, least=1)
WEIR_MIN_BYTES_PER_SECOND = env.integer("WEIR_MIN_BYTES_PER_SECOND", 512)
WEIR_MAX_CONNECTIONS = env.integer("WEIR_MAX_CONNECTIONS", 10_000)
WEIR_MAX_CONNECTIONS_PER_ADDRESS = env.integer("WEIR_MAX_CONNECTIONS_PER_ADDRESS", 1_024)
WEIR_PROBE_PORT = env.integer("WEIR_PROBE_PORT", 0, most=65_535)
WEIR_FIGURES_DIR = env.text("PROMETHEUS_MULTIPROC_DIR", "")  # the library reads it too, before there are settings
WEIR_REFRESH_SECONDS = env.number("WEIR_REFRESH_SECONDS", 1.0, least=0.01)
WEIR_JOURNAL_DIR = env.text("WEIR_JOURNAL_DIR", str(VAR_DIR / "journal"))
WEIR_RETENTION_MONTHS = env.integer("WEIR_RETENTION_MONTHS", 0)
WEIR_HEALTH_DAYS = env.integer("WEIR_HEALTH_DAYS", 7)
WEIR_INTERVENTION_DAYS = env.integer("WEIR_INTERVENTION_DAYS", 90)
WEIR_EVENT_DAYS = env.integer("WEIR_EVENT_DAYS", 7, least=1)
WEIR_EVENT_SOURCE = env.text("WEIR_EVENT_SOURCE", WEIR_BASE_URL)
WEIR_EVENT_FOLDERS = env.words("WEIR_EVENT_FOLDERS", [str(VAR_DIR / "events")])
PUBSUB_EMULATOR_HOST = env.text("PUBSUB_EMULATOR_HOST", "")
WEIR_BALLAST_MB = env.integer("WEIR_BALLAST_MB", 16)
WEIR_CACHE_MB = env.integer("WEIR_CACHE_MB", 64)
WEIR_QDRANT_URL = env.text("WEIR_QDRANT_URL", "")
WEIR_QDRANT_API_KEY = env.secret("WEIR_QDRANT_API_KEY", required=False)
WEIR_QDRANT_ENTRIES = env.integer("WEIR_QDRANT_ENTRIES", 20_000 if WEIR_QDRANT_URL else 1_000, least=1)
WEIR_FIRST_BYTE_GATE = env.choice("WEIR_FIRST_BYTE_GATE", "journal", "database")
WEIR_TELEMETRY = wanted.read()
WEIR_TRACE_URL = wanted.trace_url()
WEIR_TRUSTED_PROXIES = env.words("WEIR_TRUSTED_PROXIES", [])
WEIR_REPLICA = env.text("WEIR_REPLICA", "")
WEIR_REVISION = env.text("WEIR_REVISION", "")
WEIR_PRIVATE_NETWORKS = env.networks("WEIR_PRIVATE_NETWORKS")
WEIR_FETCH_URLS = env.flag("WEIR_FETCH_URLS", True)
WEIR_FETCH_NETWORKS = env.networks("WEIR_FETCH_NETWORKS")
WEIR_PRESIDIO_URL = env.text("WEIR_PRESIDIO_URL", "")
WEIR_PRESIDIO_SECONDS = env.number("WEIR_PRESIDIO_SECONDS", 2.0)
WEIR_PRESIDIO_LANGUAGE = env.text("WEIR_PRESIDIO_LANGUAGE", "en")
WEIR_PRESIDIO_FAILURE = env.choice("WEIR_PRESIDIO_FAILURE", "closed", "open")
TESTING = "pytest" in sys.modules
WEIR_FAILPOINT = env.text("WEIR_FAILPOINT", "")
env.refuse_faults(WEIR_FAILPOINT, meant=env.flag("WEIR_FAULTS", False))
failpoints.arm(WEIR_FAILPOINT)
WEIR_LOG_FORMAT = env.text("WEIR_LOG_FORMAT", "json" if env.PRODUCTION else "console")
env.refuse_all([*env.missing(), *refusals.told(globals())])
if WEIR_TRUSTED_PROXIES == ["none"]:
    WEIR_TRUSTED_PROXIES = []
WEIR_PROBLEMS = tuple(env.PROBLEMS)  # of `manage.py doctor` alone: any other process has ended by now
WEIR_SECRET_FILES = dict(env.SECRET_FILES)
WEIR_EMBEDDED = not env.PRODUCTION

# --- logs: one JSON object a line, or a console for people -----------------------------------------------------
LOGGING = logs.configure(
    console=WEIR_LOG_FORMAT == "console",
    level=env.choice("WEIR_LOG_LEVEL", "INFO", "DEBUG", "WARNING", "ERROR", "CRITICAL"),
)

# --- the admin's looks -----------------------------------------------------------------------------------------
from gateway_site.console import UNFOLD  # noqa: E402, F401  # Unfold reads it from here
