"""Why did money not move?

BillingError
├── BillingOff          no Stripe key is set
├── BillingRefused      Stripe or we said no; .reason is a word
└── BillingUnavailable  Stripe did not answer, or not in time: nobody knows whether it was done

BadSignature            a webhook that Stripe did not send
"""


class BillingError(Exception):
    """Billing failed."""


class BillingOff(BillingError):
    """Billing is off on this installation: an operator sets plans."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class BillingRefused(BillingError):
    """The change was refused."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BillingUnavailable(BillingError):
    """The payment service does not answer. Try again in a minute."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class BadSignature(Exception):
    """No secret of ours signed this body lately."""
