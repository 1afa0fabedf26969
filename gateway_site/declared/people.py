"""Pages, sign-in and mail."""

from __future__ import annotations

from gateway_site.declared.setting import Section, Setting

PAGES = (
    Setting(
        "WEIR_ALLOWED_HOSTS",
        """Host names under which pages are answered; calls, and the host names of [pinned endpoints](endpoints.md),
        need not be among them""",
    ),
    Setting(
        "WEIR_TRUSTED_ORIGINS",
        "Origins, with scheme, whose forms are accepted: your public address behind a proxy",
    ),
    Setting("WEIR_SSL_REDIRECT", "Send HTTP on to HTTPS; in production only"),
    Setting("WEIR_HSTS_SECONDS", "How long browsers shall insist on HTTPS; in production only"),
    Setting(
        "WEIR_REQUIRE_TOTP",
        "Who must have a second factor to see a page: `nobody`, `staff` or `everybody`. See [sign-in](sign-in.md)",
    ),
    Setting("WEIR_DEBUG", "Django's debug pages. Never in production"),
)
MAIL = (
    Setting(
        "WEIR_EMAIL_URL",
        """The mail server for [alerts](alerts.md) and invitations, `smtp+tls://user:password@mail.example:587`
        (`smtp`, `smtp+tls`, `smtp+ssl`). Without one notices by e-mail are tried again, and given up in the end""",
    ),
    Setting("WEIR_EMAIL_FROM", "Whom mails say they come from"),
)

SECTIONS = (
    Section("pages", PAGES),
    Section("mail", MAIL),
)
