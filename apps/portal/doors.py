"""Where people come in and let programs in, and where their own account is."""

from __future__ import annotations

from django.urls import path

from apps.portal import account, device, entrance, federation, programs

urlpatterns = [
    path(".well-known/oauth-authorization-server", programs.metadata, name="oauth_metadata"),
    path("oauth/device_authorization", programs.device_authorization, name="device_authorization"),
    path("oauth/token", programs.token, name="oauth_token"),
    path("oauth/revoke", programs.revoke, name="oauth_revoke"),
    path("protocol", programs.protocol, name="protocol"),
    path("device/", device.device, name="device"),
    path("sign-in/", entrance.sign_in, name="sign_in"),
    path("sign-in/code/", entrance.code, name="sign_in_code"),
    path("sign-in/with/<slug:provider>/", federation.leave, name="sign_in_with"),
    path("sign-in/with/<slug:provider>/back/", federation.come_back, name="sign_in_back"),
    path("sign-in/with/<slug:provider>/logged-out/", federation.logged_out, name="sign_in_logged_out"),
    path("sign-out/", entrance.sign_out, name="sign_out"),
    path("account/", account.account, name="account"),
    path("account/password/", account.password, name="account_password"),
    path("account/second-factor/", account.second_factor, name="account_second_factor"),
    path("account/second-factor/remove/", account.remove_second_factor, name="account_second_factor_remove"),
    path("account/recovery-codes/", account.recovery_codes, name="account_recovery_codes"),
    path("account/sign-out-everywhere/", account.sign_out_everywhere, name="account_sign_out_everywhere"),
    path("account/connect/<slug:provider>/", federation.connect, name="account_connect"),
    path("account/identities/<int:identity>/disconnect/", account.disconnect, name="account_disconnect"),
]
