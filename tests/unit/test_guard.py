"""Every row is a pair of questions that lie close together for a vector, and what must tell them apart."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache_api.domain.guard import mismatch

DIFFERENT = [
    # asked, stored, reason
    ("What does 😀 mean?", "What does 😭 mean?", "literal"),
    ("What is the symbol ∑?", "What is the symbol ∏?", "literal"),
    ("What does & mean in C?", "What does * mean in C?", "literal"),
    ("What does cmd > file do?", "What does cmd >> file do?", "literal"),
    ("What does 2>&1 do?", "What does 1>&2 do?", "literal"),
    ("What does ^\\d+$ match?", "What does ^\\w+$ match?", "literal"),
    ("Can O- donate to A+?", "Can O+ donate to A+?", "literal"),
    ("Is vitamin A safe in pregnancy?", "Is vitamin E safe in pregnancy?", "literal"),
    ("What is blood type O?", "What is blood type A?", "literal"),
    ("Translate to French: the dog", "Translate to French: a dog", "literal"),
    ("Correct the grammar: she have a car", "Correct the grammar: she has a car", "literal"),
    ("Is zero an even number?", "Is zero an odd number?", "negation"),
    ("What is 15% of the bill?", "What is 18% of the bill?", "number"),
    ("Can I withdraw 1,000 a day?", "Can I withdraw 10,000 a day?", "number"),
    ("refund of 1k for my order", "refund of 2k for my order", "number"),
    ("three tips for better sleep", "five tips for better sleep", "number"),
    ("Where do 12 eggs fit?", "Where do two dozen eggs fit?", "number"),
    ("Is it -5 degrees there?", "Is it 5 degrees there?", "number"),
    ("Who was the second president?", "Who was the third president?", "number"),
    ("World War I or World War II?", "World War I or World War III?", "number"),
    ("Wie viel kosten drei Äpfel?", "Wie viel kosten vier Äpfel?", "number"),
    ("¿Cuánto cuestan veinte libros?", "¿Cuánto cuestan treinta libros?", "number"),
    ("Où acheter quatre-vingts chaises ?", "Où acheter quatre-vingt-dix chaises ?", "number"),
    ("Quanto costano ventuno libri?", "Quanto costano ventidue libri?", "number"),
    ("Onde posso comprar dezoito livros?", "Onde posso comprar dezenove livros?", "number"),
    ("Wat kosten eenentwintig boeken?", "Wat kosten tweeëntwintig boeken?", "number"),
    ("كم سعر ١٢ كتابا", "كم سعر ١٣ كتابا", "number"),
    ("a run of 5 km", "a run of 10 km", "number"),
    ("the reign of Louis XIV", "the reign of Louis XVI", "number"),
    ("half a million users", "a million users", "number"),
    ("a run of 5 km", "a run of 5 miles", "unit"),
    ("send 100 dollars home", "send 100 euros home", "unit"),
    ("dose of 5 mg a day", "dose of 5 g a day", "unit"),
    ("convert usd to eur", "convert usd to gbp", "unit"),
    ("How many grams are in 1 cup?", "How many grams are in 1 tablespoon?", "unit"),
    ("bake at 180 °C", "bake at 180 °F", "unit"),
    ("How much is the basic plan per month?", "How much is the basic plan per year?", "unit"),
    ("How much is the basic plan a month?", "What is the annual price of the basic plan?", "unit"),
    ("How tall is it in meters?", "How tall is it in feet?", "unit"),
    ("كيف أحذف حسابي؟", "كيف أنشئ حسابا؟", "language"),
    ("Как удалить аккаунт?", "Как создать аккаунт?", "language"),
    ("日本の首都はどこですか", "中国の首都はどこですか", "language"),
    ("Where is order 00123842?", "Where is order 123842?", "id"),
    ("Where is order 370795561790?", "Where is order 732201349959?", "id"),
    ("Where is my order?", "Where is order 370795561790?", "id"),
    ("I need invoice #12588", "I need invoice #12589", "id"),
    ("Write to ann@example.com", "Write to bob@example.com", "id"),
    ("Summarise https://example.com/a", "Summarise https://example.com/b", "id"),
    ("Summarise the page", "Summarise the page https://example.com/b", "id"),
    ("What does error 0x80070005 mean?", "What does error 0x80070057 mean?", "id"),
    ("Track parcel RX123456785DE", "Track parcel RX123456799DE", "id"),
    ("What is an H1B visa?", "What is a visa?", "id"),
    ("ticket 550e8400-e29b-41d4-a716-446655440000", "ticket 550e8400-e29b-41d4-a716-446655440001", "id"),
    ("Bestellung 00123842 stornieren", "Bestellung 00123843 stornieren", "id"),
    ("install Python 3.11", "install Python 3.12", "version"),
    ("What changed in v2.0?", "What changed in v2.1?", "version"),
    ("upgrade to Django 5.2", "upgrade to Django 6.0", "version"),
    ("print in python2", "print in python3", "version"),
    ("release 1.2.3 notes", "release 1.2.4 notes", "version"),
    ("Python 3.10 wheels", "Python 3.1 wheels", "version"),
    ("flights on 5 March 2024", "flights on 6 March 2024", "date"),
    ("flights on 2024-03-05", "flights on March 6, 2024", "date"),
    ("Is the bank open on Monday?", "Is the bank open on Sunday?", "date"),
    ("weather tomorrow", "weather today", "date"),
    ("a table at 7 pm", "a table at 8 pm", "date"),
    ("a table at 19:00", "a table at 19:30", "date"),
    ("what happened last year", "what happened this year", "date"),
    ("events in January", "events in February", "date"),
    ("flights in june", "flights in july", "date"),
    ("flights in may", "flights in june", "date"),
    ("What falls due by the end of april?", "What falls due by the end of march?", "date"),
    ("What did I spend last may?", "What did I spend last march?", "date"),
    ("Flüge im mai", "Flüge im juni", "date"),
    ("vols en mars", "vols en avril", "date"),
    ("Flüge am 5. März", "Flüge am 6. März", "date"),
    ("vuelos el 5 de marzo", "vuelos el 6 de marzo", "date"),
    ("Öffnungszeiten am Montag", "Öffnungszeiten am Dienstag", "date"),
    ("What does `len` do?", "What does `sum` do?", "literal"),
    ("git branch -d topic", "git branch -D topic", "literal"),
    ("rsync --delete to a host", "rsync --archive to a host", "literal"),
    ("What is in /etc/passwd?", "What is in /etc/shadow?", "literal"),
    ("What is in the file?", "What is in /etc/shadow?", "literal"),
    ("open report.pdf", "open report.csv", "literal"),
    ('Who said "to be or not to be"?', 'Who said "veni vidi vici"?', "literal"),
    ("Who said “I came”?", "Who said “I saw”?", "literal"),
    ('Was heisst "schon"?', 'Was heisst "schön"?', "literal"),
    ("Was heisst „zahlen“?", "Was bedeutet „zählen“?", "literal"),
    ("What does `maname` do?", "What does `mañame` do?", "literal"),
    ('What does "ma" mean?', 'What does "ma\u0301" mean?', "literal"),
    ("Translate to English: il mange", "Translate to English: il mangé", "literal"),
    ("Wie kann ich die Seiten zahlen?", "Wie kann ich die Seiten zählen?", "literal"),
    ("Warum druckt der Schuh?", "Warum drückt der Schuh?", "literal"),
    ("Ich hatte gern Geld", "Ich hätte gern Geld", "literal"),
    ("¿Cuántos anos tiene?", "¿Cuántos años tiene?", "literal"),
    ("what is == for", "what is === for", "literal"),
    ("why is max_tokens ignored", "why is top_p ignored", "literal"),
    ("what does getElementById return", "what does querySelector return", "literal"),
    ("what does os.path.join() do", "what does os.path.split() do", "literal"),
    ("where is $HOME set", "where is $PATH set", "literal"),
    ("centre a <div>", "centre a <span>", "literal"),
    ("reverse a list in Python", "reverse a list in Java", "code_language"),
    ("reverse a list in Python", "reverse a list", "code_language"),
    ("reverse a list in C", "reverse a list in C++", "code_language"),
    ("reverse a list in C#", "reverse a list in C", "code_language"),
    ("a web server in Go", "a web server in Rust", "code_language"),
    ("read a file in Node.js", "read a file in Ruby", "code_language"),
    ("routing in Django", "routing in Flask", "code_language"),
    ("what is wrong: def f(x): return x", "what is wrong: fn f(x) { x }", "code_language"),
    ("Translate good morning to French", "Translate good morning to German", "language"),
    ("Translate good morning", "Translate good morning into German", "language"),
    ("Summarise this in Spanish", "Summarise this", "language"),
    ("Wie sagt man das auf Französisch?", "Wie sagt man das auf Englisch?", "language"),
    ("What is the capital of Peru and why is it?", "Was ist die Hauptstadt von Peru und warum ist es die?", "language"),
    ("Москва", "Moskva", "language"),
    ("enable dark mode", "disable dark mode", "negation"),
    ("turn on the alarm", "turn off the alarm", "negation"),
    ("Can I check in early?", "Can I check out early?", "negation"),
    ("How do I zoom in?", "How do I zoom out?", "negation"),
    ("Who is the former owner?", "Who is the current owner?", "negation"),
    ("How do I lock my card?", "How do I unlock my card?", "negation"),
    ("Is it safe to eat raw eggs?", "Is it not safe to eat raw eggs?", "negation"),
    ("Is it safe to eat raw eggs?", "Is it unsafe to eat raw eggs?", "negation"),
    ("recipes with nuts", "recipes without nuts", "negation"),
    ("The gate is not open.", "The gate is not shut.", "negation"),
    ("How can I become a person who is not shy?", "How can I become more shy?", "negation"),
    ("things an actor should worry about", "things an actor should not worry about", "negation"),
    ("Which birds can fly?", "Which birds can't fly?", "negation"),
    ("Which birds can fly?", "Which birds cant fly?", "negation"),
    ("Which birds can fly?", "Which birds cannot fly?", "negation"),
    ("Show users who are active", "Show users who are not active", "negation"),
    ("Show users who are active", "Show users who are inactive", "negation"),
    ("What foods should I eat?", "What foods should I never eat?", "negation"),
    ("all countries in Europe", "all countries in Europe except France", "negation"),
    ("wash hands before eating", "wash hands after eating", "negation"),
    ("Are pets allowed?", "Are pets prohibited?", "negation"),
    ("many users complained", "hardly any users complained", "negation"),
    ("buy shares of a company", "sell shares of a company", "negation"),
    ("increase the font size", "decrease the font size", "negation"),
    ("find the maximum of a list", "find the minimum of a list", "negation"),
    ("How to become more patient?", "How to become less patient?", "negation"),
    ("subscribe to the newsletter", "unsubscribe from the newsletter", "negation"),
    ("a person who is happy", "a person who is unhappy", "negation"),
    ("Delete my account", "Don't delete my account", "negation"),
    ("Wo kann ich mein Auto anmelden?", "Wo kann ich mein Auto abmelden?", "negation"),
    ("Solve x + 2 = 5", "Solve x - 2 = 5", "literal"),
    ("What is 3 * 5?", "What is 3 + 5?", "literal"),
    ("red roses and white lilies", "white roses and red lilies", "order"),
    ("It was 30th in the league and 14th in the cup.", "It was 14th in the league and 30th in the cup.", "order"),
    ("Who needs 7 red pens and 3 blue ones?", "Who needs 7 blue pens and 3 red ones?", "order"),
    ("old men, young women and sick children", "sick men, old women and young children", "order"),
    ("sell the car and buy the house", "buy the car and sell the house", "order"),
    ("designed by Ann and written by Bob", "written by Ann and designed by Bob", "order"),
    ("the 7th round, 77th pick", "the 77th round, 7th pick", "order"),
    ("die alte Brücke und der neue Turm", "die neue Brücke und der alte Turm", "order"),
    ("How do I transfer money to another account?", "How do I transfer money from another account?", "negation"),
    ("How do I migrate from Redis to Kafka?", "How do I migrate to Redis from Kafka?", "negation"),
    ("Züge nach Berlin", "Züge von Berlin", "negation"),
    ("When does the semester start?", "When does the semester end?", "negation"),
    ("Who is the lender of the loan?", "Who is the borrower of the loan?", "negation"),
    ("Wann ist der Anfang der Ferien?", "Wann ist das Ende der Ferien?", "negation"),
    ("Wie aktiviere ich Benachrichtigungen?", "Wie deaktiviere ich Benachrichtigungen?", "negation"),
    ("Welche Vögel können fliegen?", "Welche Vögel können nicht fliegen?", "negation"),
    ("Rezepte mit Zucker", "Rezepte ohne Zucker", "negation"),
    ("¿Qué aves pueden volar?", "¿Qué aves no pueden volar?", "negation"),
    ("recetas con azúcar", "recetas sin azúcar", "negation"),
    ("Quels oiseaux volent ?", "Quels oiseaux ne volent pas ?", "negation"),
    ("recettes avec sucre", "recettes sans sucre", "negation"),
    ("Quali uccelli volano?", "Quali uccelli non volano?", "negation"),
    ("receitas com açúcar", "receitas sem açúcar", "negation"),
    ("Welke vogels kunnen vliegen?", "Welke vogels kunnen niet vliegen?", "negation"),
]

SAME = [
    ("Can I withdraw 1,000 a day?", "Can I withdraw 1000 per day?"),
    ("Can I withdraw 1k a day?", "Can I withdraw a thousand a day?"),
    ("1.5 million users", "1,500,000 users"),
    ("two hundred and fifty users", "250 users"),
    ("twenty-five tips", "25 tips"),
    ("two point five percent", "2.5 %"),
    ("half a million users", "500,000 users"),
    ("a dozen eggs", "12 eggs"),
    ("twice a day", "2 times a day"),
    ("the 1st president", "the first president"),
    ("How much is it per month?", "How much is it monthly?"),
    ("How much is it per month?", "How much is it a month?"),
    ("Как удалить аккаунт?", "как удалить аккаунт"),
    ("How do I get from Rome to Oslo?", "How do I get to Oslo from Rome?"),
    ("a letter from my bank to me", "a letter to me from my bank"),
    ("Solve x+2=5", "Solve x + 2 = 5"),
    ("red roses and white lilies", "white lilies and red roses"),
    ("Are there virtual disposable cards?", "What is a disposable virtual card?"),
    ("Which is Frank Capra's best film?", "Which is the best Frank Capra film?"),
    ("1972 wurde die neue Kirche gebaut", "Die neue Kirche wurde 1972 gebaut"),
    ("½ cup of milk", "0.5 cup of milk"),
    ("１２ eggs", "12 eggs"),
    ("कितने १२ अंडे", "कितने 12 अंडे"),
    ("fünfundzwanzig Äpfel kaufen", "25 Äpfel kaufen"),
    ("zweihundert Euro überweisen", "200 € überweisen"),
    ("Wie überweise ich 1.000 € auf das Konto?", "Wie überweise ich 1000 Euro auf das Konto?"),
    ("quatre-vingt-dix euros", "90 euros"),
    ("treinta y cinco euros", "35 euros"),
    ("a refund of $350", "a refund of 350 dollars"),
    ("a refund of $350", "a refund of 350"),
    ("laptop under Rs.25000", "laptop under 25000INR"),
    ("a run of 5 km", "a run of 5,000 metres"),
    ("a 5-km run", "a run of 5 kilometers"),
    ("2 hours of sleep", "120 minutes of sleep"),
    ("Which one can I take?", "Which can I take?"),
    ("Where is order 123842?", "where is my order 123842"),
    ("an H1B visa", "an H-1B visa"),
    ("specs of the iPhone7", "specs of the iPhone 7"),
    ("covid-19 symptoms", "covid19 symptoms"),
    ("covid-19 symptoms", "covid symptoms"),
    ("see www.example.com/a", "see https://example.com/a/"),
    ("What changed in v2.0?", "What changed in 2.0?"),
    ("print in python3", "print in Python 3"),
    ("Django 5.0 news", "Django 5 news"),
    ("flights on 5 March 2024", "flights on 2024-03-05"),
    ("flights on March 5th, 2024", "flights on 05.03.2024"),
    ("flights on 5 March", "flights on 5 March 2024"),
    ("from 21 to 28 January", "from January 21 to 28"),
    ("May I fly in june?", "Can I fly in june?"),
    ("How may I march to Rome on monday?", "How can I march to Rome on monday?"),
    ("Who sang with June Carter?", "Who sang with Carter?"),
    ("a table at 7pm", "a table at 19:00"),
    ("a table at noon", "a table at 12:00"),
    ("What does `len` do?", "What does len do?"),
    ("What does len() do?", "what does `len()` do"),
    ('What does "lit" mean?', "What does lit mean?"),
    ("Wo ist das naechste Cafe, das schön ist?", "Wo ist das naechste Café, das schön ist?"),
    ("Wie kündige ich mein Konto?", "Wie kundige ich mein Konto?"),
    ("¿Cómo está usted?", "¿Como esta usted?"),
    ("Was ist schöner, „schon“ oder „schön“?", "Was ist schoner, „schön“ oder „schon“?"),
    ('What is a "CAFÉ"?', 'What is a "cafe\u0301"?'),
    ("foo_bar is undefined", "foo bar is undefined"),
    ("read a file in Node.js", "read a file in nodejs"),
    ("How do I translate to French?", "How can I translate into French?"),
    ("This is not acceptable", "This is unacceptable"),
    ("That is not a bad idea", "That is a good idea"),
    ("Is he still alive?", "Is he not dead?"),
    ("less happy", "more sad"),
    ("I don't know how to pay", "how to pay"),
    ("I do not know how to pay", "I dont know how to pay"),
    ("I cannot log in to my account", "help me log in to my account"),
    ("My card is not working", "How do I get my card to work?"),
    ("My pin is blocked", "How do I unblock my pin?"),
    ("Isn't it safe to eat raw eggs?", "Is it safe to eat raw eggs?"),
    ("Can I pay by card or not?", "Can I pay by card?"),
    ("no lo hago nunca", "nunca lo hago"),
    ("How do I open a bank account?", "What do I need to open a bank account?"),
    ("Is the python a snake?", "is a python a snake"),
    ("What will happen in the spring?", "What happens in spring?"),
    ("Is Andrew an executive or an artist?", "Is Andrew an artist or an executive?"),
]


@pytest.mark.parametrize(("asked", "stored", "reason"), DIFFERENT)
def test_a_question_that_differs_in_what_counts_is_not_a_hit(asked: str, stored: str, reason: str) -> None:
    assert mismatch(asked, stored) == reason
    assert mismatch(stored, asked) == reason


@pytest.mark.parametrize(("asked", "stored"), SAME)
def test_two_spellings_of_one_thing_are_no_difference(asked: str, stored: str) -> None:
    assert mismatch(asked, stored) is None
    assert mismatch(stored, asked) is None


_TEXTS = st.text() | st.lists(
    st.sampled_from(sorted({word for row in DIFFERENT for text in row[:2] for word in text.split()}))
).map(" ".join)
_PROSE = st.lists(
    st.sampled_from(
        sorted({word for row in DIFFERENT for text in row[:2] for word in text.split() if not set("`-$_") & set(word)})
    )
).map(" ".join)


@given(_TEXTS, _TEXTS)
def test_it_does_not_matter_which_of_the_two_was_asked(one: str, other: str) -> None:
    assert mismatch(one, other) == mismatch(other, one)


@given(_TEXTS)
def test_a_question_never_differs_from_itself(text: str) -> None:
    assert mismatch(text, text) is None


@given(_PROSE)
def test_capitals_are_no_difference(text: str) -> None:
    assert mismatch(text.upper(), text) is None
    assert mismatch(text.lower(), text) is None


@given(_TEXTS, st.sampled_from(["", " ", "?", "!", " ?", "...", "?!", "\n", " \t\n"]))
def test_blanks_and_the_last_mark_are_no_difference(text: str, end: str) -> None:
    assert mismatch(text, "  " + text.replace(" ", "  ") + end) is None


HOSTILE = [
    "",
    "\x00",
    "\ud800 alone",
    "\u202eabc\u202c",
    "👩‍👩‍👧 12",
    "٣.٥",
    "½⅓Ⅷ²",
    "1/0",
    "0/0/0",
    "-",
    "--",
    "1e999999",
    "9" * 5000,
    "٩" * 5000,
    "99.99.9999",
    "#",
    "``",
    "'''",
    '"""',
    "a\u0300\u0301",
    "İıſẞ",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_odd_texts_are_compared_like_any_other(text: str) -> None:
    for other in HOSTILE:
        assert mismatch(text, other) == mismatch(other, text)


@settings(max_examples=8, deadline=None)
@given(st.text(alphabet=string.printable, min_size=1, max_size=6))
def test_long_texts_take_time_in_proportion(piece: str) -> None:
    """Each of these ends in well under a second; a pattern that backtracks would take minutes."""
    text = piece * (16_000 // len(piece))
    assert mismatch(text, text[:-1] + "x 7") == mismatch(text[:-1] + "x 7", text)
