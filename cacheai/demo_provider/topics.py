"""What does the demo provider know?"""

import re
from functools import cache

# Each line: the words that must all be in the question (alternatives after `|`), then what it answers.
# Small on purpose: enough for a newcomer to see an answer to a question in two wordings.
TOPICS = (
    ("capital france", "The capital of France is Paris."),
    ("capital germany", "The capital of Germany is Berlin."),
    ("capital japan", "The capital of Japan is Tokyo."),
    ("capital italy", "The capital of Italy is Rome."),
    ("capital spain", "The capital of Spain is Madrid."),
    ("capital australia", "The capital of Australia is Canberra, not Sydney."),
    ("capital canada", "The capital of Canada is Ottawa."),
    ("capital brazil", "The capital of Brazil is Brasília."),
    (
        "cancel order|cancel purchase|stop order",
        "To cancel an order, open Orders, choose the order and select Cancel. This works until it is packed; "
        "after that, refuse the parcel or send it back.",
    ),
    (
        "refund|money back",
        "A refund goes back to the card or account that paid. After we have checked the return it takes "
        "three to five working days.",
    ),
    ("return item|return order|send back", "You can return an unused item within 30 days, free of charge."),
    (
        "reset password|forgot password|forgotten password|lost password|change password",
        "To reset your password, choose “Forgot password?” on the sign-in page and follow the link in the "
        "e-mail. The link is good for one hour.",
    ),
    ("track order|where order|where parcel|track parcel", "The tracking link is in the e-mail we sent you."),
    (
        "shipping cost|delivery cost|shipping cost much|postage",
        "Shipping costs 4.90 and is free for orders of 50 or more.",
    ),
    ("long delivery|long shipping|delivery time", "Delivery takes two to four working days."),
    ("opening hour|when open", "We are open Monday to Friday from 9 to 18 and Saturday from 10 to 14."),
    ("delete account|close account", "Open Settings, then Account, and choose Delete account."),
    ("change address|update address|new address", "Open Settings, then Addresses, and edit the address."),
    ("cancel subscription|end subscription", "Open Billing and choose Cancel plan; it ends with the month."),
    ("invoice|receipt", "Every invoice is under Billing, as a PDF."),
    ("contact support|reach support|talk human", "Write to support from the Help page; we answer in a day."),
    (
        "python reverse string|python reverse list",
        "In Python, slice it with a negative step: `text[::-1]`. For a list, there is `items.reverse()`.",
    ),
    (
        "python read file|python open file",
        'In Python: `from pathlib import Path` and then `Path("notes.txt").read_text(encoding="utf-8")`.',
    ),
    ("python sort dict|python sort dictionary", "`dict(sorted(counts.items(), key=lambda pair: pair[1]))`."),
    ("python virtual environment|python venv", "Run `python -m venv .venv`, then `. .venv/bin/activate`."),
    ("python list comprehension", "It builds a list in one expression: `[n * n for n in range(10)]`."),
    (
        "git undo commit|git undo last",
        "`git reset --soft HEAD~1` takes the commit back and keeps its changes.",
    ),
    ("semantic cache", "A semantic cache serves a stored answer when a question comes again in other words."),
    ("meaning life", "Forty-two, according to a well-known book."),
    ("boil egg", "Six minutes for a soft egg, ten for a hard one, from the moment the water boils."),
    ("tell joke|know joke", "Why did the cache cross the road? It had been there before."),
    ("hello|hi|hey", "Hello! Ask me anything, but expect little."),
)
WORD = re.compile(r"\w+")


def known_answer(question: str) -> str | None:
    """The topic whose words are all in the question; of several the one with most words."""
    # A long text is no simple question, and need not be searched.
    words = {_stem(word) for word in WORD.findall(question[:1000].lower())}
    matching = [(len(needed), answer) for needed, answer in _needed_words() if needed <= words]
    return max(matching, key=lambda pair: pair[0])[1] if matching else None


@cache
def _needed_words() -> list[tuple[frozenset[str], str]]:
    return [
        (frozenset(_stem(word) for word in phrase.split()), answer)
        for phrases, answer in TOPICS
        for phrase in phrases.split("|")
    ]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
