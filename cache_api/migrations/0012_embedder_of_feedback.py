"""With which embedder was a wrongly answered question's vector made? With another's it says nothing of likeness."""

from django.db import migrations
from django.db.migrations.operations import RunSQL

from tenants.isolation import tenant_function

# Of what was said before, the entry it was said of knows; of entries that are gone nobody does, and that pair alone
# stays known, by its Fingerprints.
COLUMN = """
ALTER TABLE feedback ADD COLUMN embedder text;
UPDATE feedback SET embedder = entry.embedder FROM entry
WHERE feedback.vector IS NOT NULL AND entry.tenant_id = feedback.tenant_id
  AND entry.project_id = feedback.project_id AND entry.fingerprint = feedback.cached;
"""

NAME = "entry_checks(tenant uuid, project uuid, ids bytea, near halfvec)"
RETURNS = "TABLE (entry_id uuid, known_wrong boolean, similarities float8[], rights boolean[], trusts float8[])"
BODY = """RETURN QUERY SELECT entry.id,
      EXISTS (SELECT FROM feedback WHERE feedback.tenant_id = tenant AND feedback.project_id = project
        AND feedback.verdict = 'wrong' AND feedback.cached = entry.fingerprint
        {of_one_embedder}
        AND feedback.vector IS NOT NULL AND feedback.vector <=> near <= 0.05),
      newest.similarities, newest.rights, newest.trusts
    FROM entry LEFT JOIN LATERAL (
      SELECT array_agg(one.similarity) AS similarities, array_agg(one.correct) AS rights,
          array_agg(one.trust) AS trusts
      FROM (SELECT c.similarity, c.correct, c.trust FROM answer_check AS c
        WHERE c.tenant_id = tenant AND c.entry_id = entry.id ORDER BY c.checked_at DESC
        LIMIT 32) AS one) AS newest ON true
    WHERE entry.tenant_id = tenant AND entry.id = ANY (
      SELECT encode(substring(ids FROM place * 16 + 1 FOR 16), 'hex')::uuid
      FROM generate_series(0, octet_length(ids) / 16 - 1) AS place);"""


def _made(of_one_embedder: str) -> str:
    made = tenant_function(NAME, RETURNS, BODY.format(of_one_embedder=of_one_embedder))
    return str(made.sql).replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


class Migration(migrations.Migration):
    dependencies = [("cache_api", "0011_end_users_by_day")]

    operations = [
        RunSQL(COLUMN, "ALTER TABLE feedback DROP COLUMN embedder"),
        # `near` was made with the embedder of the entries that were found near it.
        RunSQL(_made("AND feedback.embedder = entry.embedder"), _made("")),
    ]
