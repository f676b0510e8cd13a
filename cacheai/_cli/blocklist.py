"""Which questions shall not be answered?"""

from argparse import Namespace

from .._client import Client
from .entries import ask
from .terminal import Terminal, one_line, table


def add(client: Client, args: Namespace, terminal: Terminal) -> int:
    made = ask(
        client,
        "POST",
        "/cache/blocklist",
        query=args.text,
        reason=args.reason,
        category=args.category,
        severity=args.severity,
    )
    terminal.show(made, [f"Blocked as {made['id']}." if made["created"] else f"Blocked already, as {made['id']}."])
    return 0


def check(client: Client, args: Namespace, terminal: Terminal) -> int:
    found = ask(client, "POST", "/cache/blocklist/check", query=args.text)
    match = found["match"]
    if match is None:
        terminal.show(found, ["Not blocked."])
        return 0
    why = one_line(match.get("reason")) or "no reason given"
    line = f"Blocked by {match['id']} (similarity {match['similarity']:.4f}): {why}"
    terminal.show(found, [line, f"It means: {one_line(match['query'])}"])
    return 0


def listed(client: Client, args: Namespace, terminal: Terminal) -> int:
    found = ask(client, "GET", "/cache/blocklist", limit=args.limit, category=args.category)
    names = ("id", "category", "severity", "hit_count", "reason", "query")
    rows = [[one.get(name) for name in names] for one in found["data"]]
    heads = ("Id", "Category", "Severity", "Hits", "Reason", "Question")
    terminal.show(found, table(heads, rows) if rows else ["Nothing is blocked."])
    return 0


def remove(client: Client, args: Namespace, terminal: Terminal) -> int:
    removed = ask(client, "DELETE", f"/cache/blocklist/{args.id}")
    terminal.show(removed, [f"{args.id} is answered again."])
    return 0


def false_positive(client: Client, args: Namespace, terminal: Terminal) -> int:
    told = ask(client, "POST", f"/cache/blocklist/{args.id}/false-positive")
    terminal.show(told, [f"{args.id} is answered again." if told.get("removed") else "Noted."])
    return 0
