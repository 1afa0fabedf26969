"""The one error tree. The family says whose fault it is; the kind says what a client is told.

    GatewayError
    ├── ClientError                the caller can cure it
    │   ├── InvalidRequest         400  not JSON, a field missing or of the wrong type
    │   │   ├── Unfit              400  this model's provider cannot be asked that
    │   │   │   └── TakesNoURL     400  it wants the bytes
    │   │   ├── Unfetched          400  the same to a caller, who has said where the bytes are
    │   │   ├── LacksAbility       400  no deployment of the model can do what the call needs
    │   │   └── ContextOverflow    400  the prompt does not fit the model's window
    │   ├── AuthenticationFailed   401  no key, malformed, unknown, expired, revoked: told alike
    │   ├── PermissionDenied       403  the key may not do this here
    │   │   └── PolicyForbids      403  a data policy leaves no deployment that may answer
    │   ├── NotFound               404  no such path
    │   │   └── ModelNotFound      404  no such model, or none that the key may use
    │   ├── MethodNotAllowed       405
    │   ├── BodyTooSlow            408
    │   ├── BodyTooLarge           413
    │   ├── RateLimited            429  a limit of the gateway's own
    │   ├── BudgetExhausted        429  a budget is spent, or has not so much left
    │   │   └── BudgetHeld         429  it is not spent, but promised to calls in flight
    │   └── ClientGone             499  nobody is left to answer; never rendered
    │       └── Outpaced           499  another deployment answered the same call first; never a call's own end
    ├── UpstreamError              the provider's doing
    │   ├── UpstreamRefused        4xx  our translation or the caller's content; not retried
    │   ├── UpstreamAuth           502  the provider refused our credential
    │   ├── UpstreamRateLimited    429
    │   ├── UpstreamOverloaded     529  (503 to OpenAI clients)
    │   ├── UpstreamFailed         502  5xx
    │   ├── UpstreamTimeout        504  connect, first byte, idle or total
    │   └── UpstreamBroken         502  connection lost, truncated or garbled answer
    │       └── ConnectionStale    502  a kept-alive connection was already closed when the request was written to it
    └── GatewayFault               ours
        ├── Unsupported            501  no provider of the model can do it
        ├── NoDeployment           529  (503 to OpenAI clients) nothing can serve the model now
        │   └── NoPrice            529  (503 to OpenAI clients) what could serve it has no price, and a budget applies
        ├── Unavailable            503  draining, or the ledger cannot be written
        └── InternalError          500

How an error looks in a dialect is `protocols/<name>/error.py`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

Headers = tuple[tuple[str, str], ...]


class GatewayError(Exception):
    """Base of the tree.

    `param` names the offending request field. `retry_after` is in seconds. `retryable` says whether another
    deployment may be tried before the first byte has gone out.
    """

    kind: str = "api"
    status: int = 500
    code: str | None = None
    retryable: ClassVar[bool] = False
    should_retry: bool | None = None  # the x-should-retry header that both SDK families obey

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        headers: Headers = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code
        self.retry_after = retry_after
        self.headers = headers


class ClientError(GatewayError):
    """The caller's to cure."""

    status = 400


class InvalidRequest(ClientError):
    kind = "invalid_request"


class Unfit(InvalidRequest):
    """An upstream of another dialect has no words for what is asked. `param` is the canonical request's field, which
    may have another name in the caller's dialect."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", param=field)
        self.reason = reason


class TakesNoURL(Unfit):
    """`what` the upstream fetches for nobody: "images", "documents"."""

    def __init__(self, what: str) -> None:
        super().__init__("messages", f"this model takes no {what} by URL; send their bytes in base64")


class Unfetched(InvalidRequest):
    """`refused`, unless somebody fetches what lies at `urls`: with that the upstream can be asked. By URL: how often
    it is given, and goes as bytes."""

    def __init__(self, refused: InvalidRequest, *, urls: Mapping[str, int]) -> None:
        super().__init__(refused.message, param=refused.param, code=refused.code)
        self.urls = urls


class LacksAbility(InvalidRequest):
    code = "unsupported_ability"


class ContextOverflow(InvalidRequest):
    code = "context_length_exceeded"


class AuthenticationFailed(ClientError):
    kind = "authentication"
    status = 401
    code = "invalid_api_key"


class PermissionDenied(ClientError):
    kind = "permission"
    status = 403


class PolicyForbids(PermissionDenied):
    code = "policy_forbids"
    should_retry = False


class NotFound(ClientError):
    kind = "not_found"
    status = 404


class ModelNotFound(NotFound):
    code = "model_not_found"


class MethodNotAllowed(ClientError):
    kind = "invalid_request"
    status = 405
    code = "method_not_allowed"


class BodyTooSlow(ClientError):
    kind = "timeout"
    status = 408


class BodyTooLarge(ClientError):
    kind = "too_large"
    status = 413


class RateLimited(ClientError):
    kind = "rate_limit"
    status = 429
    code = "rate_limit_exceeded"


class BudgetExhausted(ClientError):
    """`billing_error` with `x-should-retry: false` to Anthropic clients, `insufficient_quota` to OpenAI's."""

    kind = "billing"
    status = 429
    code = "insufficient_quota"
    should_retry: bool | None = False


class BudgetHeld(BudgetExhausted):
    """As a passed limit to clients: it is worth asking again."""

    kind = "rate_limit"
    code = "budget_reserved"
    should_retry = None


class ClientGone(ClientError):
    kind = "client_gone"
    status = 499


class Outpaced(ClientGone):
    code = "hedge_lost"


class UpstreamError(GatewayError):
    """The provider's doing.

    `upstream_status` is what the provider answered (0: nothing). `body` is its body, kept only for a caller of
    the same dialect, to whom a refusal is relayed unmodified.
    """

    status = 502
    reached = True  # False: no connection was made, so the provider knows nothing of the call

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int = 0,
        body: bytes | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        headers: Headers = (),
    ) -> None:
        super().__init__(message, param=param, code=code, retry_after=retry_after, headers=headers)
        self.upstream_status = upstream_status
        self.body = body


class UpstreamRefused(UpstreamError):
    kind = "invalid_request"

    def __init__(
        self,
        message: str,
        *,
        kind: str = "invalid_request",
        upstream_status: int = 400,
        body: bytes | None = None,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, upstream_status=upstream_status, body=body, param=param, code=code)
        self.kind = kind
        self.status = upstream_status


class UpstreamAuth(UpstreamError):
    """A 401 here would make Claude Code run its key helper again, so the caller is told 502 and not to retry."""

    retryable = True
    should_retry = False


class UpstreamRateLimited(UpstreamError):
    kind = "rate_limit"
    status = 429
    code = "rate_limit_exceeded"
    retryable = True


class UpstreamOverloaded(UpstreamError):
    kind = "overloaded"
    status = 529
    retryable = True


class UpstreamFailed(UpstreamError):
    retryable = True


class UpstreamTimeout(UpstreamError):
    kind = "timeout"
    status = 504
    retryable = True


class UpstreamBroken(UpstreamError):
    retryable = True


class ConnectionStale(UpstreamBroken):
    """Says nothing of the provider's health, and it most likely never saw the request: worth asking the same again."""

    code = "connection_stale"


class GatewayFault(GatewayError):
    """Ours."""


class Unsupported(GatewayFault):
    status = 501
    code = "unsupported"
    should_retry = False


class NoDeployment(GatewayFault):
    kind = "overloaded"
    status = 529


class NoPrice(NoDeployment):
    code = "no_price"
    should_retry = False


class Unavailable(GatewayFault):
    kind = "overloaded"
    status = 503


class InternalError(GatewayFault):
    pass
