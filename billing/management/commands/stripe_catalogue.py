"""The other name of stripe_setup."""

from billing.management.commands.stripe_setup import Command

__all__ = ["Command"]
