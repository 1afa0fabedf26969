"""Endpoints that force one model, whatever a caller asks for."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone

from apps.catalog import validators

SHAPE = r"[a-z0-9]+(?:-[a-z0-9]+)*"  # of a name: it stands in paths


class PinnedEndpoint(models.Model):
    """A model by a path (`/e/<name>/…`), by host names, and by a port of its own; empty: not by that.

    `address`: what the port listens on; null: what the server itself listens on. `networks` null: callers may be
    anywhere. `cors_origins` null: the installation's. `former_names` stay its own: keys that are confined to one of
    them are confined to it.
    """

    name = models.CharField(
        max_length=40,
        unique=True,
        validators=[RegexValidator(rf"^{SHAPE}\Z", "Use small letters, digits and single hyphens.")],
    )
    former_names = models.JSONField(default=list, db_default=[], blank=True, editable=False)
    model = models.ForeignKey("catalog.Model", on_delete=models.PROTECT, related_name="pinned_endpoints")
    is_enabled = models.BooleanField("enabled", default=True)
    hosts = models.JSONField(default=list, blank=True, validators=[validators.validate_hosts])
    port = models.PositiveIntegerField(
        null=True, blank=True, unique=True, validators=[MinValueValidator(1), MaxValueValidator(65_535)]
    )
    address = models.GenericIPAddressField("bind address", null=True, blank=True)
    networks = models.JSONField(null=True, blank=True, validators=[validators.validate_networks])
    cors_origins = models.JSONField("CORS origins", null=True, blank=True, validators=[validators.validate_origins])
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        return f"/e/{self.name}"

    def clean(self) -> None:
        """A host name belongs to one endpoint, and none is where the admin is; a name once used stays with it."""
        self.address = self.address or None  # an empty field of a form
        if self.address is not None and self.port is None:
            raise ValidationError({"address": "Only a port is listened on."})
        if own := sorted(_own_hosts().intersection(self.hosts)):
            raise ValidationError({"hosts": f"“{own[0]}” is the installation's own: its admin would be gone."})
        others = PinnedEndpoint.objects.exclude(pk=self.pk).values_list("hosts", "name", "former_names")
        taken = {host for hosts, _, _ in others for host in hosts}
        if clash := sorted(taken.intersection(self.hosts)):
            raise ValidationError({"hosts": f"“{clash[0]}” is another endpoint's."})
        for _, now, names in others:
            if self.name in names:
                told = f"“{now}” had this name, and keys may be confined to it: choose another."
                raise ValidationError({"name": told})


def _own_hosts() -> set[str]:
    named = urlsplit(settings.WEIR_BASE_URL).hostname
    allowed = {host.lower().strip(".") for host in settings.ALLOWED_HOSTS}  # `.example` is example and all below it
    return {*allowed, *([named] if named else []), "localhost"}
