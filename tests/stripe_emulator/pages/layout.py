"""How do the emulated pages look, so that nobody takes them for the real ones?"""

from html import escape

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 2rem auto; padding: 0 1rem; color: #1a1f36; }
.banner { background: #fff3c4; border: 1px solid #e0b400; padding: .5rem 1rem; border-radius: .4rem; }
.refused { background: #fde2e1; border: 1px solid #c0392b; padding: .5rem 1rem; border-radius: .4rem; }
table { width: 100%; border-collapse: collapse; margin: 1rem 0; } td, th { text-align: left; padding: .3rem 0; }
td:last-child, th:last-child { text-align: right; } tfoot { border-top: 1px solid #ccc; font-weight: 600; }
label { display: block; margin: .6rem 0 .2rem; }
input, select { font: inherit; width: 100%; padding: .4rem; box-sizing: border-box; }
button { font: inherit; margin-top: 1rem; padding: .6rem 1rem; background: #3d3bd1; color: #fff; border: 0; }
button { border-radius: .4rem; }
section { border-top: 1px solid #ddd; margin-top: 1.5rem; }
"""
NO_CARD = (("", "No card yet"),)
CARDS = (
    ("4242424242424242", "4242 4242 4242 4242: accepted"),
    ("4000000000000002", "4000 0000 0000 0002: declined at once"),
    ("4000000000000341", "4000 0000 0000 0341: accepted now, declined when charged"),
    ("4000002500003155", "4000 0025 0000 3155: asks for authentication"),
)


def document(title: str, body: str, *, refused: str | None = None) -> bytes:
    told = f'<p class="refused" role="alert">{escape(refused)}</p>' if refused else ""
    page = f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}: emulated, no money</title>
<style>{STYLE}</style></head><body><p class="banner"><strong>Emulated, no money.</strong> This stands in for Stripe
on this machine. No card is asked for and nothing is paid.</p><h1>{escape(title)}</h1>{told}{body}</body></html>"""
    return page.encode()


def field(name: str, label: str, value: str = "", *, kind: str = "text") -> str:
    return (
        f'<label for="{name}">{escape(label)}</label>'
        f'<input id="{name}" name="{name}" type="{kind}" value="{escape(value)}">'
    )


def choice(name: str, label: str, options: tuple[tuple[str, str], ...]) -> str:
    inner = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    return f'<label for="{name}">{escape(label)}</label><select id="{name}" name="{name}">{inner}</select>'


def form(action: str, inner: str, button: str) -> str:
    return (
        f'<form method="post" action="{escape(action)}">{inner}<button type="submit">{escape(button)}</button></form>'
    )


def link(url: str, text: str) -> str:
    return f'<p><a href="{escape(url)}">{escape(text)}</a></p>'


def dollars(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}${abs(cents) // 100:,}.{abs(cents) % 100:02}"


def table(rows: list[tuple[str, int]], total: tuple[str, int]) -> str:
    inner = "".join(f"<tr><td>{escape(text)}</td><td>{dollars(cents)}</td></tr>" for text, cents in rows)
    foot = f"<tfoot><tr><td>{escape(total[0])}</td><td>{dollars(total[1])}</td></tr></tfoot>"
    return f"<table><tbody>{inner}</tbody>{foot}</table>"
