"""What does the server offer, in the words of OpenAPI? A file for each group of endpoints; here they are joined."""

from collections import ChainMap
from typing import Any

from cache_api.http.openapi import (
    blocklist,
    budgets,
    controls,
    entries,
    figures,
    models,
    operation,
    refusals,
    tenant,
    vectorcache,
)

_GROUPS = (models, vectorcache, entries, blocklist, figures, tenant, budgets, operation)


def document(version: str) -> dict[str, Any]:
    schemas = ChainMap(
        {"CacheControls": controls.CACHE_CONTROLS, "Signals": controls.SIGNALS},
        refusals.SCHEMAS,
        *(group.SCHEMAS for group in _GROUPS),
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CacheAI",
            "version": version or "0",
            "summary": "A semantic cache for LLM calls.",
            "description": (
                "Every answer says what was decided and why. Errors are in the shape of the protocol that is spoken "
                "on a path; a provider's own error keeps its status and its body."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": group.TAG} for group in _GROUPS],
        "security": [{"bearer": []}, {"x_api_key": []}],
        "paths": {path: methods for group in _GROUPS for path, methods in group.PATHS.items()},
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "parameters": controls.PARAMETERS,
            "headers": controls.HEADERS,
            "responses": refusals.responses(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer ca-...`"},
                "x_api_key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-Key",
                    "description": "The same key. Beside it, Authorization may hold the provider's.",
                },
            },
        },
    }
