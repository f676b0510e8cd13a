from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        # Models are there only now.
        from billing.leaving import leave
        from tenants.erasure import before_erasing

        before_erasing(leave)
