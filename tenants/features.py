"""What may a plan hold beyond exact, semantic and feedback?"""

SYNTHESIS = "synthesis"
OWN_PRICES = "own_prices"
REFUSING_BUDGETS = "refusing_budgets"
WEBHOOKS = "webhooks"
SSO = "sso"
AUDIT_LOG = "audit_log"
NETWORKS = "networks"  # keys that work from some addresses only
SAML = "saml"
OWN_KMS = "own_kms"

PRO = (SYNTHESIS, OWN_PRICES, REFUSING_BUDGETS, WEBHOOKS)
TEAM = (*PRO, SSO, AUDIT_LOG, NETWORKS)
ENTERPRISE = (*TEAM, SAML, OWN_KMS)
