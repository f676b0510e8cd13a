"""Where does Stripe call?"""

from django.urls import path

from billing.webhooks import webhook

urlpatterns = [path("billing/webhook", webhook, name="stripe-webhook")]
