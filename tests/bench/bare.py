"""What is the least a call could cost here? Django, one view, one query by a key, and nothing else.

BARE_CONNINFO=... python -m gunicorn tests.bench.bare
"""

import os

import django
import orjson
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path
from psycopg_pool import ConnectionPool

ANSWER = "x" * 600  # as long as an answer of the demo provider
QUERY = "SELECT relname FROM pg_class WHERE oid = %s"
PG_CLASS = 1259
CONNECTIONS = 8

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="none", MIDDLEWARE=[])
django.setup()
pool = ConnectionPool(os.environ["BARE_CONNINFO"], min_size=CONNECTIONS, kwargs={"autocommit": True}, open=True)


def answer(request: HttpRequest) -> HttpResponse:
    body = orjson.loads(request.body)
    with pool.connection() as connection:
        found = connection.execute(QUERY, [PG_CLASS]).fetchone()
    told = {"model": body["model"], "found": found, "answer": ANSWER}
    return HttpResponse(orjson.dumps(told), content_type="application/json")


urlpatterns = [path("v1/chat/completions", answer)]
application = WSGIHandler()
