"""Which questions are about the present, and which are told apart by what a vector does not see?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_api.domain.cacheable import calculation, exact_only, volatile

ABOUT_THE_PRESENT = [
    "Do I need an umbrella today?",
    "Did Arsenal win yesterday?",
    "mortgage rates today",
    "Who is the president now?",
    "usd to eur",
    "What's the dollar to euro exchange rate?",
    "How is the stock market doing?",
    "What is Tesla stock trading at?",
    "How hot is it in Dubai?",
    "What is the temperature in Paris?",
    "What restaurants are open near me?",
    "Is GitHub down?",
    "Is flight BA123 on time?",
    "Generate a UUID",
    "Create a strong password",
    "What's the weather like in Lisbon?",
    "weather tomorrow",
    "Will it rain this afternoon?",
    "What time is it in Tokyo?",
    "What day is it today?",
    "what is today's date",
    "What's the latest news?",
    "latest iPhone model",
    "Who is the current president of France?",
    "What is the current price of gold?",
    "bitcoin price now",
    "What is the exchange rate between euros and dollars?",
    "convert 100 usd to eur",
    "What's the score of the Lakers game?",
    "who won last night",
    "Who is winning the match right now?",
    "Which movies are playing today?",
    "what is happening in Brazil",
    "Is there traffic on the M25?",
    "When is the next full moon?",
    "How many days until Christmas?",
    "breaking news please",
    "What is open now near the station?",
    "How is Tesla doing on the stock market today?",
    "Wie wird das Wetter in Berlin?",
    "Wie spät ist es?",
    "Was sind die neuesten Nachrichten?",
    "Was läuft heute im Kino?",
    "¿Qué tiempo hace en Madrid?",
    "¿Qué hora es?",
    "¿Cuáles son las últimas noticias?",
    "Quelle heure est-il ?",
    "Quel temps fait-il à Paris aujourd'hui ?",
    "Che tempo fa a Roma?",
    "Che ore sono?",
    "Que horas são?",
    "Quais são as notícias de hoje?",
    "Hoe laat is het?",
    "Wat is het laatste nieuws?",
]

FOR_VARIETY = [
    "Tell me another joke",
    "another one please",
    "Give me a random number",
    "Pick a random name for my cat",
    "Surprise me",
    "Tell me something new",
    "Try again",
    "Say that again, please",
    "Roll a dice",
    "Flip a coin",
    "Give me 3 more examples",
    "Write a different story",
    "Erzähl mir noch einen Witz",
    "Cuéntame otro chiste",
    "Raconte-moi une autre blague",
    "Raccontami un'altra barzelletta",
    "Vertel nog een mop",
]

LASTING = [
    "How do I get the current date in Python?",
    "How do I get the current time in JavaScript?",
    "How do I install the latest version of Node?",
    "git show latest commit",
    "How do I generate a UUID in Python?",
    "What should a strong password look like?",
    "How do I open a current account?",
    "Why was my card declined today?",
    "I tried to pay yesterday and my card did not work, what can I do?",
    "Delete my account right now",
    "What does `today` return in Excel?",
    'Who sang "Tonight"?',
    "How does weather differ from climate?",
    "What is a random variable?",
    "How do I generate a random number in Python?",
    "What is random forest?",
    "Can I open another account?",
    "I want to use another card",
    "Can people be infected again?",
    "How do I fall in love again?",
    "How do I improve my credit score?",
    "What is the time complexity of quicksort?",
    "How do I increase traffic to my website?",
    "Who won the world cup in 1998?",
    "What is the date of the French Revolution?",
    "When did the next king after Henry VIII reign?",
    "What is the difference between price and value?",
    "How do stock options work?",
    "My latest payment was declined",
    "How long until my transfer arrives?",
    "Wie eröffne ich ein Konto?",
    "¿Cómo abro una cuenta corriente?",
    "Comment fermer mon compte ?",
    "",
]

NEVER_BY_SIMILARITY = [
    "2+2",
    "What is 12/4?",
    "what is 17 * 23",
    "What is 15% of 80?",
    "12 times 7",
    "square root of 144",
    "solve x^2 - 5x + 6 = 0",
    "Calculate 18 minus 5",
    "sqrt(16)",
    "Was ist 12 mal 7?",
    "A baker sold 12 loaves on Monday and twice as many on Tuesday. How many loaves did he sell?",
    "Tom has three boxes with four pens in each box. He gives five pens to Ann. How many pens does Tom have left?",
    "A jug holds 3 cups. What is the price of the milk for 12 guests?",
    "If 4 hens lay 24 eggs, how many eggs do 10 hens lay?",
    "Ida is 6 and her aunt is five times as old. Determine the age of the aunt when Ida is twice as old.",
    "My brother pays 20% of the $60 rent. What is the amount that is left for me?",
    "The well was 9 metres deep. Half of it was filled up. How deep is it now?",
    "Lena kauft 6 Hefte zu je 2 Euro und zwei Stifte. Wie viel bezahlt sie?",
    "Wenn 3 Maler 12 Stunden brauchen, wie lange brauchen 6 Maler?",
    "Luis tiene 12 manzanas y regala la mitad. ¿Cuántas manzanas le quedan?",
    "Marie achète 4 cahiers à 3 euros. Combien paie-t-elle pour le double ?",
    "42",
    "?!",
    "🙂",
    "",
    "Как мне закрыть счёт?",
    "如何关闭我的账户？",
    "كيف أغلق حسابي؟",
    "मैं अपना खाता कैसे बंद करूं?",
    "口座を閉じるには？",
    "Từ ma nghĩa là gì?",
    "Làm sao để hủy đơn hàng?",
    "Con chó ăn gì?",
    "Jak usunąć konto?",
    "Şifremi nasıl değiştiririm?",
    "Hur ändrar jag mitt lösenord på sidan?",
    "word " * 300,
]

BY_SIMILARITY_TOO = [
    "How do I close my account?",
    "Where is order 370795561790?",
    "Why is my refund of $350 late?",
    "Is covid-19 worse than 9/11?",
    "flights from 3/15 to 3/18",
    "What happened in 2016?",
    "What is C++?",
    "I was charged twice on 3 May. How much will I get back?",
    "How many users can I add to the team plan?",
    "How long does a transfer of 500 euros take?",
    "If I cancel in the second month, what is the cost?",
    "Wie lange dauert eine Überweisung von 500 Euro?",
    "Wie schließe ich mein Konto?",
    "¿Cómo cierro mi cuenta?",
    "What does Москва mean in English?",
    "How do I get from Łódź to Wrocław by train?",
    "Who is Erdoğan?",
    "Wo finde ich meine Größe, ça va, señor?",
    "Combien coûte un café à l'œuf ?",
    "Como faço para cancelar a inscrição de não sócio?",
    "word " * 100,
]


@pytest.mark.parametrize("question", ABOUT_THE_PRESENT + FOR_VARIETY)
def test_a_question_whose_answer_should_change_is_volatile(question: str) -> None:
    assert volatile(question)


@pytest.mark.parametrize("question", LASTING)
def test_a_question_that_only_sounds_like_it_is_not(question: str) -> None:
    assert not volatile(question)


@pytest.mark.parametrize("question", NEVER_BY_SIMILARITY)
def test_what_a_vector_cannot_tell_apart_is_matched_exactly(question: str) -> None:
    assert exact_only(question) or calculation(question)


@pytest.mark.parametrize("question", BY_SIMILARITY_TOO)
def test_an_ordinary_question_is_matched_by_similarity_too(question: str) -> None:
    assert not exact_only(question) and not calculation(question)


def test_only_the_ends_of_a_long_text_ask() -> None:
    article = "The mayor spoke about what is happening today. " * 60
    assert not volatile("Put this into plain words: " + "A quiet sentence. " * 30 + article + "A quiet sentence. " * 30)
    assert volatile("A quiet sentence. " * 200 + "What is the weather like today?")


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert volatile(text) in (True, False)
    assert exact_only(text) in (True, False)
    assert calculation(text) in (True, False)


@pytest.mark.parametrize(
    "piece", ["what is ", "1+", "current ", "tell me a ", '"', "1 1/", "how many ", "\x00", "\ud800"]
)
def test_long_texts_take_time_in_proportion(piece: str) -> None:
    """Each ends at once; a pattern that backtracks would take minutes."""
    text = piece * (32_000 // len(piece))
    assert volatile(text) in (True, False)
    assert exact_only(text)
