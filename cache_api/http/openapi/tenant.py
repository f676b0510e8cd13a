"""How are a tenant's projects, keys, provider keys and its audit trail described?"""

from cache_api.http.openapi.controls import LIMITED, gone, listed, paged
from cache_api.http.openapi.pieces import (
    WITH_BODY,
    Json,
    answer,
    array,
    asked,
    fields_of,
    flag,
    in_path,
    link,
    maybe,
    moment,
    money,
    one_of,
    operation,
    query_of,
    ref,
    sent,
    string,
    table,
    told,
    whole,
)
from cache_api.http.tenant.api_keys import ChangedKeySerializer, KeySerializer, KeysSerializer, RotateSerializer
from cache_api.http.tenant.projects import ProjectSerializer
from cache_api.http.tenant.provider_keys import ProviderKeySerializer
from cache_api.http.tenant.trail import AuditSerializer
from tenants.keys import SCOPES, TENANT_MANAGE

TAG = "Projects, keys and the audit trail"
MANAGE = "keys:manage"

_WORDS = {
    "project_id": "The key's own project, if not given; a key without `tenant:manage` may name no other.",
    "limit": "At most so many.",
    "cursor": "`next_cursor` of the page before.",
    "name": "What people call it.",
    "default_model": "Asked where a Vectorcache call names none.",
    "scopes": "What it may do; none that the key it is made with lacks. All but those that manage, if not given.",
    "networks": "The only networks it works from, like `192.0.2.0/24`; any, if none is given.",
    "models_allowed": "The only models it may ask: names, or beginnings that end in `*`, perhaps with `provider/`.",
    "rpm": "Calls a minute, if fewer than the plan's.",
    "tpm": "Tokens a minute, if fewer than the plan's.",
    "ttl_max_seconds": "How long the answers it stores are kept at most.",
    "provider": "Who answers where the call does not say.",
    "expires_at": "When it ends; never, if not given.",
    "grace": "How long the old key works on.",
    "secret": "The provider's credential. Nobody can read it again.",
    "base_url": "The only address it may go to; the provider's own, if not given.",
}
_ID = string(format="uuid")
_PROJECT = in_path("project", "The project's id.", _ID)
_KEY = in_path("key_id", "The key's id.", _ID)
_PROVIDER = in_path("provider", "A known provider's name.", string(minLength=1, maxLength=128))
_CHANGED = {
    **_WORDS,
    "scopes": "What it may do from now on; none that the key it is changed with lacks.",
    "networks": "The only networks it works from; an empty list is any.",
    "models_allowed": "The only models it may ask; an empty list is any.",
    "rpm": "Calls a minute; null is the plan's.",
    "tpm": "Tokens a minute; null is the plan's.",
    "ttl_max_seconds": "How long the answers it stores are kept at most; null is the plan's.",
    "expires_at": "When it ends; null is never.",
}
_KEY_COLUMNS: Json = {
    "id": _ID,
    "project_id": _ID,
    "name": string(),
    "hint": string("Its first characters."),
    "status": one_of("live", "ending", "expired", "revoked", words="An ending one has a successor."),
    "scopes": array(one_of(*sorted(SCOPES))),
    "networks": array(string()),
    "models_allowed": array(string()),
    "rpm": maybe(whole()),
    "tpm": maybe(whole()),
    "ttl_max_seconds": maybe(whole()),
    "provider": string(),
    "created_at": moment(),
    "expires_at": maybe(moment()),
    "revoked_at": maybe(moment()),
    "replaced_by": maybe(_ID),
    "last_used_at": maybe(moment()),
}

SCHEMAS: Json = {
    "Tenant": told(
        {
            "id": _ID,
            "name": string(),
            "created_at": moment(),
            "plan": string(),
            "features": array(string()),
            "read_only": flag("Hits are served, nothing is stored."),
            "period_start": moment(),
            "over_quota": flag("The cache steps aside: calls pass uncached."),
            "used": told(
                {
                    "requests": whole("Hits, misses and blocks of this period."),
                    "spend_usd": maybe(money("Beyond the plan's price; null where it is not known here.")),
                    "entries": whole(),
                    "bytes": whole(),
                    "projects": whole(),
                    "members": whole(),
                    "keys": whole("In the project that has the most."),
                }
            ),
            "limits": told(
                {
                    "rpm": whole("Calls a minute, all keys together."),
                    "tpm": maybe(whole("Tokens a minute.")),
                    "requests_included": whole(),
                    "requests_hard": flag("Beyond those, calls pass uncached."),
                    "overage_cap_usd": maybe(money()),
                    "entries_max": whole(),
                    "bytes_max": maybe(whole()),
                    "ttl_max_seconds": whole(),
                    "detail_days": whole("How long single calls are kept."),
                    "projects_max": maybe(whole()),
                    "members_max": maybe(whole()),
                    "keys_max": maybe(whole("In each project.")),
                }
            ),
        }
    ),
    "NewProject": asked(fields_of(ProjectSerializer, _WORDS), "name"),
    "Project": told({"id": _ID, "name": string(), "default_model": string(), "created_at": moment()}),
    "NewKey": asked(fields_of(KeySerializer, _WORDS)),
    "Key": told(_KEY_COLUMNS),
    "KeyWithSecret": told({**_KEY_COLUMNS, "key": string("The key itself, shown this once.")}),
    "NewProviderKey": asked(fields_of(ProviderKeySerializer, _WORDS), "secret"),
    "ProviderKey": told(
        {
            "provider": string(),
            "base_url": string(),
            "hint": string("Its last four characters."),
            "created_at": moment(),
            "taken_at": maybe(moment("When its provider last took it.")),
            "trouble": string("Why that is not known; empty if it is."),
        }
    ),
    "TestedProviderKey": told(
        {
            "provider": string(),
            "taken": flag("Whether its provider took it."),
            "trouble": string("Why nobody knows, in a sentence; empty if it was taken."),
        }
    ),
    "AuditEvent": told(
        {
            "seq": whole(),
            "at": moment(),
            "actor": told(
                {
                    "kind": one_of("person", "key", "operator", "system"),
                    "id": maybe(_ID),
                    "address": string(),
                }
            ),
            "action": string(),
            "target": string(),
            "diff": table({}),
            "hash": string("SHA-256 of the hash before and this row, in hex."),
        }
    ),
}

_ONE_KEY = answer("The key.", ref("Key"), headers=LIMITED)
_ONE_PROJECT = answer("The project.", ref("Project"), headers=LIMITED)

PATHS: Json = {
    "/v1/tenant": {
        "get": operation(
            "showTenant",
            "What is this tenant called, and what does its plan allow?",
            tag=TAG,
            scope=TENANT_MANAGE,
            answers={200: answer("The tenant.", ref("Tenant"), headers=LIMITED)},
        )
    },
    "/v1/projects": {
        "post": operation(
            "createProject",
            "Make a project",
            tag=TAG,
            scope=TENANT_MANAGE,
            body=sent(ref("NewProject"), project={"name": "Support", "default_model": "demo-small"}),
            answers={
                201: answer(
                    "The project.",
                    ref("Project"),
                    headers=LIMITED,
                    show=link("showProject", project="id"),
                )
            },
            errors=(*WITH_BODY, 409),
        ),
        "get": operation(
            "listProjects",
            "List the projects",
            tag=TAG,
            scope=TENANT_MANAGE,
            answers={200: listed("Project")},
        ),
    },
    "/v1/projects/{project}": {
        "get": operation(
            "showProject",
            "Show a project",
            tag=TAG,
            scope=TENANT_MANAGE,
            parameters=[_PROJECT],
            answers={200: _ONE_PROJECT},
            errors=(*WITH_BODY, 404),
        ),
        "patch": operation(
            "changeProject",
            "Rename a project, or give it another default model",
            tag=TAG,
            scope=TENANT_MANAGE,
            parameters=[_PROJECT],
            body=sent(asked(fields_of(ProjectSerializer, _WORDS)), model={"default_model": "demo-large"}),
            answers={200: _ONE_PROJECT},
            errors=(*WITH_BODY, 404, 409),
        ),
        "delete": operation(
            "deleteProject",
            "Remove a project",
            words="With its keys and all that is stored there. The last one stays.",
            tag=TAG,
            scope=TENANT_MANAGE,
            parameters=[_PROJECT],
            answers={200: gone(id=_ID)},
            errors=(*WITH_BODY, 404, 409),
        ),
    },
    "/v1/keys": {
        "post": operation(
            "createKey",
            "Make a key",
            words="The answer shows it, this once.",
            tag=TAG,
            scope=MANAGE,
            body=sent(
                ref("NewKey"),
                key={"name": "Staging", "scopes": ["proxy", "cache:read"], "models_allowed": ["demo-*"], "rpm": 60},
            ),
            answers={
                201: answer(
                    "The key.",
                    ref("KeyWithSecret"),
                    headers=LIMITED,
                    show=link("showKey", key_id="id"),
                    rotate=link("rotateKey", key_id="id"),
                    revoke=link("revokeKey", key_id="id"),
                )
            },
            errors=(*WITH_BODY, 404),
        ),
        "get": operation(
            "listKeys",
            "List the keys",
            words="The newest first. With `tenant:manage` those of all projects, or of the one that is named.",
            tag=TAG,
            scope=MANAGE,
            parameters=query_of(KeysSerializer, _WORDS),
            answers={200: paged("Key", next_cursor=string())},
            errors=(*WITH_BODY, 404),
        ),
    },
    "/v1/keys/{key_id}": {
        "get": operation(
            "showKey",
            "Show a key",
            tag=TAG,
            scope=MANAGE,
            parameters=[_KEY],
            answers={200: _ONE_KEY},
            errors=(*WITH_BODY, 404),
        ),
        "patch": operation(
            "changeKey",
            "Rename a key, or change what it may",
            words="What is not sent stays. It holds everywhere within ten seconds. An ended key can be renamed alone.",
            tag=TAG,
            scope=MANAGE,
            parameters=[_KEY],
            body=sent(
                asked(fields_of(ChangedKeySerializer, _CHANGED)),
                name={"name": "Staging, old"},
                rules={"scopes": ["proxy", "cache:read"], "rpm": 30},
            ),
            answers={200: _ONE_KEY},
            errors=(*WITH_BODY, 404, 409),
        ),
        "delete": operation(
            "revokeKey",
            "Revoke a key",
            words="It ends everywhere within ten seconds.",
            tag=TAG,
            scope=MANAGE,
            parameters=[_KEY],
            answers={200: answer("Revoked.", told({"id": _ID, "revoked": {"const": True}}), headers=LIMITED)},
            errors=(*WITH_BODY, 404),
        ),
    },
    "/v1/keys/{key_id}/rotate": {
        "post": operation(
            "rotateKey",
            "Give a key a successor",
            words="Of the same rules, now; the old one ends after the grace. None outlives the key that asks for it.",
            tag=TAG,
            scope=MANAGE,
            parameters=[_KEY],
            body=sent(asked(fields_of(RotateSerializer, _WORDS)), day={"grace": "24h"}),
            answers={201: answer("The successor.", ref("KeyWithSecret"), headers=LIMITED)},
            errors=(*WITH_BODY, 404, 409),
        )
    },
    "/v1/provider_keys": {
        "get": operation(
            "listProviderKeys",
            "List the stored credentials for providers",
            tag=TAG,
            scope=TENANT_MANAGE,
            answers={200: listed("ProviderKey")},
        )
    },
    "/v1/provider_keys/{provider}": {
        "put": operation(
            "putProviderKey",
            "Store a provider's credential, or another in its place",
            words="Its provider is asked first: one it refuses is not stored.",
            tag=TAG,
            scope=TENANT_MANAGE,
            parameters=[_PROVIDER],
            body=sent(ref("NewProviderKey"), credential={"secret": "any-will-do-for-the-demo"}),
            answers={200: answer("Stored.", ref("TestedProviderKey"), headers=LIMITED)},
            errors=WITH_BODY,
        ),
        "delete": operation(
            "deleteProviderKey",
            "Remove a credential",
            tag=TAG,
            scope=TENANT_MANAGE,
            parameters=[_PROVIDER],
            answers={200: gone(provider=string())},
            errors=(*WITH_BODY, 404),
        ),
    },
    "/v1/provider_keys/{provider}/test": {
        "post": operation(
            "testProviderKey",
            "Ask the provider again whether it takes the stored credential",
            tag=TAG,
            scope=TENANT_MANAGE,
            parameters=[_PROVIDER],
            answers={200: answer("What it said.", ref("TestedProviderKey"), headers=LIMITED)},
            errors=(*WITH_BODY, 404),
        )
    },
    "/v1/audit": {
        "get": operation(
            "listAudit",
            "Who did what?",
            words="The newest first.",
            tag=TAG,
            scope=TENANT_MANAGE,
            parameters=query_of(AuditSerializer, _WORDS),
            answers={200: paged("AuditEvent", next_cursor=whole())},
        )
    },
}
