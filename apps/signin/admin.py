"""Identity providers, who is known to them, and second factors, in the admin. Staff may be let look; to change any of
it is for operators, since whoever says what a group means can make themselves one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget

from apps.accounts import identities
from apps.accounts.models import Identity
from apps.audit import cells
from apps.audit.fields import SeveralField
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin, Inline
from apps.outbound.jwks import ALGORITHMS
from apps.signin import second_factors, services
from apps.signin.models import GroupRule, IdentityProvider, SecondFactor, default_algorithms


class ProviderForm(forms.ModelForm):
    """The secret goes in and never comes out again."""

    secret = forms.CharField(
        label="Client secret",
        required=False,
        max_length=4096,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Write-only. Leave empty to keep the present one; none at all makes it a public client.",
    )
    algorithms = SeveralField(
        none=[],
        required=True,
        initial=default_algorithms,
        choices=[(name, name) for name in ALGORITHMS],
        help_text="Those that its tokens may be signed with. Nothing else is believed.",
    )

    class Meta:
        model = IdentityProvider
        fields = [
            *("name", "slug", "issuer", "client_id", "scopes", "algorithms", "tenant", "required_claims"),
            *("groups_claim", "groups_decide", "creates_people", "default_role", "links_by_email"),
            *("is_second_factor", "is_enabled"),
        ]
        labels = {
            "client_id": "Client id",
            "groups_claim": "Claim with groups",
            "groups_decide": "Groups decide",
            "creates_people": "Makes accounts",
            "default_role": "Role for everybody",
            "links_by_email": "Believe its addresses",
            "is_second_factor": "Asks for a second factor itself",
            "is_enabled": "Enabled",
        }
        help_texts = {
            "slug": "In the address that it sends people back to, …/sign-in/with/SLUG/back/: register that there.",
            "issuer": "Exactly as its configuration names it, at …/.well-known/openid-configuration. In a private "
            "network: open that under Allowed networks first.",
            "tenant": "Whose own it is: it lets people into that tenant only, and never operators or staff. Empty: "
            "everybody's.",
            "required_claims": 'Who lacks one is refused: {"hd": "example.com"}. Where anybody can have an account, as '
            "at Google, say here whom it is for.",
            "groups_claim": "Its name, or the way to it: realm_access.roles.",
            "groups_decide": "What the groups below do not give is taken: roles in the tenants that they name, and "
            "staff or operator if they name that. The last owner of a tenant stays, and the last operator.",
            "creates_people": "For those whom nobody has invited.",
            "default_role": "In its own tenant, for people of no group below. Needs the tenant.",
            "links_by_email": "Somebody with an address that it has verified is let into the account with that "
            "address; never into one of an operator or of staff.",
            "is_second_factor": "Whoever comes by it is not asked for a code here.",
        }


class RuleInline(Inline):
    model = GroupRule
    fields = ["group", "tenant", "role", "is_staff", "is_operator"]
    autocomplete_fields = ["tenant"]
    verbose_name = "group"
    verbose_name_plural = "groups"

    def get_queryset(self, request: HttpRequest) -> QuerySet[GroupRule]:
        rows: QuerySet[GroupRule] = super().get_queryset(request)
        return rows.select_related("tenant", "provider__tenant")


@admin.register(IdentityProvider)
class IdentityProviderAdmin(AuditedAdmin):
    area = Area.SIGN_IN
    form = ProviderForm
    list_display = ["name", "issuer", "tenant", "shown_state"]
    list_filter = [("is_enabled", BooleanRadioFilter)]
    list_select_related = ["tenant"]
    search_fields = ["name__istartswith", "issuer__icontains"]
    search_help_text = "Beginning of the name, or part of the issuer"
    prepopulated_fields = {"slug": ["name"]}
    autocomplete_fields = ["tenant"]
    readonly_fields = ["shown_secret"]
    inlines = [RuleInline]
    nothing_yet = "With one, such as Keycloak, Entra, Okta or Google, people need no password here."
    fieldsets = [
        (None, {"fields": ["name", "slug", "issuer", "client_id", "secret", "shown_secret", "is_enabled"]}),
        (
            "Whom it lets in",
            {
                "fields": ["tenant", "required_claims", "creates_people", "default_role", "links_by_email"],
                "classes": ["tab"],
            },
        ),
        ("Groups", {"fields": ["groups_claim", "groups_decide"], "classes": ["tab"]}),
        ("Tokens", {"fields": ["scopes", "algorithms", "is_second_factor"], "classes": ["tab"]}),
    ]

    @display(description="Kept")
    def shown_secret(self, provider: IdentityProvider) -> str:
        return "a secret, sealed" if provider.client_secret else "no secret"

    @display(description="State", ordering="is_enabled")
    def shown_state(self, provider: IdentityProvider) -> str:
        return cells.badge("enabled", "good") if provider.is_enabled else cells.badge("disabled", "bad")

    def save_model(self, request: HttpRequest, obj: IdentityProvider, form: ModelForm, change: bool) -> None:
        secret = form.cleaned_data.get("secret", "")
        if not change:
            services.add_provider(obj, actor=request.user, secret=secret)
            return
        had_secret = bool(obj.client_secret)
        services.update_provider(obj, actor=request.user, **self.changes(obj, form.changed_data))
        if secret:
            services.set_secret(obj, actor=request.user, secret=secret)
        elif had_secret and not obj.client_secret:
            messages.warning(request, "The secret was for another issuer or client, and is gone. Set the new one.")

    def delete_model(self, request: HttpRequest, obj: IdentityProvider) -> None:
        services.delete_provider(obj, actor=request.user)


class Listed(AuditedAdmin):
    """Rows that people make themselves, and that an operator may only take away."""

    list_select_related = ["user"]
    search_fields = ["user__username__startswith", "user__email__startswith"]
    search_help_text = "Beginning of a user name or e-mail address"
    warn_unsaved_form = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Identity)
class IdentityAdmin(Listed):
    area = Area.ACCOUNTS
    list_display = ["user", "issuer", "subject", "shown_created"]
    search_fields = [*Listed.search_fields, "subject"]
    search_help_text = f"{Listed.search_help_text}, or a whole subject"
    fields = ["user", "issuer", "subject", "shown_created"]
    nothing_yet = "Who somebody is to an identity provider, or to an issuer whose tokens programs call with."

    @display(description="Since", ordering="created_at")
    def shown_created(self, row: Identity) -> str:
        return cells.ago(row.created_at)

    def delete_model(self, request: HttpRequest, obj: Identity) -> None:
        identities.unlink(obj, actor=request.user)


@admin.register(SecondFactor)
class SecondFactorAdmin(Listed):
    area = Area.SIGN_IN
    list_display = ["user", "shown_state", "shown_created"]
    fields = ["user", "shown_state", "shown_created"]
    nothing_yet = "People set theirs up on their account page. WEIR_REQUIRE_TOTP says who has to."

    @display(description="State", ordering="confirmed")
    def shown_state(self, row: SecondFactor) -> str:
        return cells.badge("on", "good") if row.confirmed else cells.badge("begun")

    @display(description="Since", ordering="created_at")
    def shown_created(self, row: SecondFactor) -> str:
        return cells.ago(row.created_at)

    def delete_model(self, request: HttpRequest, obj: SecondFactor) -> None:
        """For somebody who has lost their phone and their recovery codes. Their sessions end."""
        second_factors.remove(obj.user, actor=request.user)
