"""The words of the cache, as plain Python: what is asked, what is stored, and what is decided.

Request      a parsed call in one dialect: what is asked, of which model, with which parameters
Fingerprint  keyed digest of everything that can change the answer: exact match
Scope        the same digest without the last user text: what must match exactly before similarity counts
Entry        a stored answer, its question, its vector, its scope, its cost when it was bought
Candidate    an entry near the question, with its similarity
Policy       a project's rules
Decision     Hit, Miss, Bypass or Blocked, always with a Reason
Usage        tokens in one normal form, whoever counted them
Call         one ledger row
"""
