"""What a router must know of the present moment besides the snapshot. Whoever has a part of it implements that part."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from apps.domain.snapshot import Credential, Deployment


class Measured(NamedTuple):
    """Of a deployment, of late; None: nobody knows yet. `first_token` in seconds, `success` from 0 to 1."""

    first_token: float | None = None
    tokens_per_second: float | None = None
    success: float | None = None


UNMEASURED = Measured()


class Facts(Protocol):
    """Times are seconds from now; 0: at once."""

    def is_ready(self, deployment: Deployment) -> bool:
        """Nothing keeps a call from it, with whichever credential. False: the others say what does, if anything."""

    def rests(self, deployment: Deployment, credential: Credential) -> float:
        """For which a credential is set aside."""

    def open_for(self, deployment: Deployment) -> float:
        """For which its breaker lets nobody through; 0 too when it is half open and has a call to spare."""

    def is_full(self, deployment: Deployment) -> bool:
        """It answers as many calls as it may, or others wait for it."""

    def measured(self, deployment: Deployment) -> Measured: ...


class Calm:
    """Facts of a quiet moment: nothing rests, nothing is open or full, nothing has been measured."""

    def is_ready(self, deployment: Deployment) -> bool:
        resting = (self.rests(deployment, credential) for credential in deployment.provider.credentials)
        return not (self.open_for(deployment) or self.is_full(deployment) or any(resting))

    def rests(self, deployment: Deployment, credential: Credential) -> float:
        return 0.0

    def open_for(self, deployment: Deployment) -> float:
        return 0.0

    def is_full(self, deployment: Deployment) -> bool:
        return False

    def measured(self, deployment: Deployment) -> Measured:
        return UNMEASURED
