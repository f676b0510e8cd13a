"""Would a stored answer to this question still answer it tomorrow, and can a vector tell it from its like?"""

# ruff: noqa: SIM905  (word lists read better as words)

import re
from collections.abc import Iterator

from cache_api.domain.guard.languages import is_foreign, script_shares
from cache_api.domain.guard.spelling import accented, plain, words

# Of a long text, a pasted article say, only the ends speak to the model; what is in between is material.
_LONG_CHARACTERS = 1200
_ENDS_CHARACTERS = 400

_QUOTED = re.compile(r"\"[^\"]{1,400}\"|`[^`]{1,400}`|(?<!\S)'[^']{1,400}'(?!\w)")
_SENTENCE_END = re.compile(r"[.!?;:]+(?= |$)")

_ASKS = re.compile(
    r"\b(?:what|whats|who|whos|where|which|how|hows|is|are|will|when|any|show|tell|give|list|check"
    r"|did|does|do i need|should i (?:wear|take|bring)"
    r"|was|wer|wie|wo|welche[rns]?|wann|gibt|ist|sind|zeig|que|quien|cual|cuales|como|donde|cuando|hay|cuanto|dime"
    r"|esta"
    r"|quel|quelle|quels|quelles|quoi|qui|comment|combien|donne|est"
    r"|che|chi|quale|quali|dove|quando|quanto|dimmi|qual|quais|quem|onde|diga|wat|waar|welke|wanneer|hoe)\b"
)
_NOW = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|last night|right now|at the moment|at this moment|as of now|this "
    r"(?:week|weekend|morning|afternoon|evening)|next week|heute|morgen|gestern|gerade|im moment|derzeit|zurzeit"
    r"|momentan"
    r"|hoy|manana|ayer|ahora|en este momento|aujourd'hui|demain|hier soir|maintenant|en ce moment|actuellement"
    r"|oggi|domani|ieri|adesso|ora come ora|in questo momento|hoje|amanha|ontem|agora|neste momento"
    r"|vandaag|gisteren|op dit moment|momenteel)\b"
)
_TOLD = re.compile(r"\b(?:i|i'm|i've|my|me|we|our|ich|mein\w*|mi|mis|yo|je|mon|ma|io|mio|mia|eu|meu|minha|ik|mijn)\b")
_PAST = re.compile(
    r"\b(?:was|were|did|didn't|didnt|had|have|been|made|got|went|sent|paid|bought|saw|took|withdrew|hasn't|wasn't"
    r"|couldn't|wouldn't|habe|hatte|wurde|war|he|hice|fue|ha|hanno|fiz|foi|heb|had|ai|etait|(?!need|feed|speed|exceed|proceed|succeed)\w{2,20}ed)\b"
)

_PRESENT = re.compile(
    "|".join(
        (
            # the newest of a kind
            r"(?<!my )(?<!your )(?<!his )(?<!her )\b(?:latest|newest|most recent)\b"
            r"(?! (?:payment|charge|transaction|order|bill|atm|purchase|transfer|withdrawal|statement|date)\b)",
            r"\bcurrent (?:\w{1,20} ){0,2}(?:price|prices|rate|rates|weather|temperature|time|date|day|year"
            r"|version|score"
            r"|news|president|minister|ceo|king|queen|pope|population|champion|champions|market|value|standings"
            r"|situation"
            r"|traffic|events|trend|trends|season|record|leader|inflation|population|mayor|governor)\b",
            r"\b(?:who|what|which|how many|how much|where)\b[^.]{0,60}\bcurrently\b(?! (?:have|own) )",
            r"\b(?:breaking|live) (?:news|scores?|results|coverage|updates?)\b|\bup[- ]to[- ]date (?:news|prices?"
            r"|info)",
            r"\btoday's (?!world\b|society\b|generation\b|age\b|day\b|standards?\b|youth\b)",
            # clock and calendar
            r"\bwhat(?:'s| is|s)? (?:the )?(?:exact |local )?time(?: is it| now| in \w| right now|$)",
            r"\bwhat time (?:of day )?(?:is it|it is|do you have)\b|\b(?:tell|give) me (?:what )?the (?:time"
            r"|date)\b(?! of| when)",
            r"\b(?:what|which) (?:day|date|month|year) (?:of the week )?(?:is it|is today|it is|will it be"
            r"|today is)\b",
            r"^(?:current )?time in \w",
            r"\bwhat(?:'s| is|s)? (?:the |today's )date\b(?! of\b| when\b| on\b)|\bwhat(?:'s| is)? today\b",
            r"\bhow (?:many|long|much)\b[^.]{0,40}\b(?:until|till|left until|left before)\b(?! (?:i|my|we|it|the"
            r"|they|you)\b)",
            r"\bwhen(?:'s| is| are| does| will| do)? (?:the |my |our |be the )?next \w",
            r"\bwho(?:'s| is|s)? (?:the )?(?:\w{1,20} ){1,4}now$",
            # weather, traffic
            r"\bhow (?:hot|cold|warm) is it in\b|\b(?:temperature|air quality|uv index) in [a-z]{3,}(?= ?$)",
            r"\b(?:what|how|whats|hows)(?:'s| is| was| will)?(?: it)?(?: be)? (?:the )?(?:weather|forecast)\b",
            r"\bweather (?:update|look|in|at|for|like|today|tomorrow|forecast|report|now|outside|this|going|here"
            r"|conditions)\b"
            r"(?! general)",
            r"\b(?:will|is|does) it (?:going to |gonna )?(?:be )?(?:rain|snow|raining|snowing|sunny|windy|storm"
            r"|freezing)\b",
            r"\bchances? of (?:rain|snow)\b|\bday forecast\b|\b(?:temperature|hot|cold|warm) (?:is it "
            r"|will it be )?(?:outside|right now|in the city)\b",
            r"\b(?:how is|how's|hows|how bad is|is there|what is|what's|whats|any"
            r"|check)\b[^.]{0,24} traffic\b(?! rule| law)",
            r"\btraffic (?:report|jam on|conditions|right now|update|be like)"
            r"|\bis (?:the )?traffic (?:bad|heavy|light|slow)|\bthe traffic (?:in|on|to|like)\b",
            # markets
            r"\b(?:stock|share|bitcoin|btc|ethereum|eth|crypto|gold|silver|oil|gas|petrol|diesel|fuel) (?:market )?"
            r"(?:price|prices|quote|value)\b(?= of| for| in| at| now| right| today|$)",
            r"\b(?:price|value|worth) of (?:a |one |an )?(?:bitcoin|btc|ethereum|eth|gold|silver|oil|crude|gas"
            r"|petrol|diesel)\b",
            r"\b(?:price|value) of (?:\w{1,20} ){1,3}(?:stock|stocks|shares?)\b",
            r"\bhow (?:much|high) (?:is|are) (?:a |one )?(?:bitcoin|btc|ethereum|gold|oil|the dollar|the euro"
            r"|\w{1,20} stock)\b",
            r"\b(?:what|what's|whats|how much)\b[^.]{0,20}\bexchange rates?\b[^.]{0,12}"
            r"\b(?:between|from|of|now|today|right now|usd|eur|gbp|dollars?|euros?|us|yen|pounds?|pesos?)\b",
            r"\b\d[\d.,]* ?(?:usd|eur|gbp|jpy|inr|dollars?|euros?|pounds?|yen|rupees?|pesos?|btc) (?:to|in|into) "
            r"(?:usd|eur|gbp|jpy|inr|us dollars?|dollars?|euros?|pounds?|yen|rupees?|pesos?|btc)\b",
            r"^(?:usd|eur|gbp|jpy|inr|chf|cad|aud|btc|eth)(?: to (?:usd|eur|gbp|jpy|inr|chf|cad|aud|btc|eth))?"
            r"(?: (?:exchange )?rate)?$"
            r"|\b(?:dollars?|euros?|pounds?|yen|rupees?) to (?:the )?(?:dollars?|euros?|pounds?|yen|rupees?) "
            r"exchange rate\b"
            r"|\bstock trading at\b|\b(?:stock )?market doing\b|^[a-z]{2,5} (?:stock|share) ?price$|^[a-z]{2,5} stock$",
            r"\b(?:mortgage|interest|exchange|gas|fuel) (?:rates?|prices?) (?:today|now|near me|right now)\b",
            r"\b(?:open|playing|available|happening|prices?|events?) near me\b|\bnear me (?:open )?now\b",
            r"^(?:hey |hi )?is (?:\w{1,20} ){1,2}(?:down|up)(?: (?:right )?now| today)?$"
            r"|\bflight [a-z]{2} ?\d{1,4}\b[^.]{0,20}\b(?:on time|delayed|status)|\bstatus of flight\b",
            # sport, news, what is on
            r"\b(?:score|result|standings) (?:of|in|for|from) (?:the |last |yesterday|today|tonight)?[^.]{0,40}"
            r"\b(?:game|match|league|race|season|night|finals?)\b",
            r"\bwhat(?:'s| is|s)? (?:the )?score\b|\bwho(?:'s| is|s)? (?:winning|leading|ahead)\b(?! in life)",
            r"\bwho (?:won|lost|plays|played|scored|is playing)\b[^.]{0,60}\b(?:last night|yesterday|today|tonight"
            r"|this week\w*)\b",
            r"\b(?:what|what's|whats|any|give me|show me|tell me|read me|latest|top|recent)\b[^.]{0,20} (?:news"
            r"|headlines)\b",
            r"\bnews (?:about|on|from|in|today)\b|\bheadlines\b",
            r"\bwhat(?:'s| is|s)? (?:new (?:in|on|with|at|today)|new$|(?:happening|going on|trending)(?: in\b"
            r"| around\b| today| now| right))",
            r"\bopen (?:right )?now\b|\bupcoming (?:events?|movies?|games?|matches|elections?|concerts?|holidays?"
            r"|releases?)\b",
            # the same, elsewhere
            r"\b(?:neueste[nrs]?|aktuelle[nrs]?|jungste[nrs]?) (?:\w{1,24} )?(?:nachrichten|version|kurs|preis"
            r"|stand|wetter"
            r"|lage|zahlen|wert|temperatur|meldungen|entwicklungen|uhrzeit)\b|\bwie spat ist es\b|\bwieviel uhr\b"
            r"|\bwie viel uhr\b|\bwie (?:ist|wird) das wetter\b|\bwetter (?:in|heute|morgen)\b|\bwettervorhersage\b"
            r"|\bwelche[rns]? (?:tag|datum) (?:ist|haben wir)\b|\bwie steht es (?:bei|im|zwischen)\b",
            r"\b(?:ultimas?|ultimos?|recientes|ultime|recenti) (?:noticias|novedades|notizie|novita|version)\b"
            r"|\bnoticias de\b"
            r"|\bque (?:hora|dia|fecha) (?:es|son)\b|\bque horas? sao\b|\bque tiempo (?:hace|hara)\b"
            r"|\bcomo esta el clima\b"
            r"|\b(?:clima|tiempo|tempo|previsao do tempo) (?:en|em|hoy|hoje|manana)\b|\bprecio actual\b"
            r"|\bpreco atual\b"
            r"|\bprecio del? (?:bitcoin|oro|dolar|petroleo)\b|\btipo de cambio\b|\bcotacao do\b",
            r"\bdernieres? (?:nouvelles|actualites|infos|version)\b|\bquelle heure est[- ]il\b|\bquel temps fait\b"
            r"|\bmeteo\b"
            r"|\bquel jour (?:sommes|est)\b|\bcours (?:actuel|du bitcoin)\b|\bprix actuel\b",
            r"\bche ore sono\b|\bche ora e\b|\bche tempo fa\b|\bche giorno e\b|\bprezzo attuale\b",
            r"\bhoe laat is het\b|\b(?:laatste|nieuwste) (?:nieuws|versie)\b|\bwat voor weer\b|\bhet weer (?:in"
            r"|vandaag|morgen)\b"
            r"|\bhuidige (?:prijs|koers|weer|tijd)\b",
        )
    )
)
_THINGS = (
    r"(?:joke|jokes|story|stories|poem|example|examples|one|idea|ideas|fact|facts|name|names|quote|quotes|riddle"
    r"|song|recipe"
    r"|version|suggestion|suggestions|option|options|title|slogan|haiku|limerick|question|variation|answer|tip"
    r"|tips|witz"
    r"|geschichte|beispiel|chiste|historia|ejemplo|blague|histoire|exemple|barzelletta|storia|esempio|piada"
    r"|exemplo|mop"
    r"|verhaal|voorbeeld|gedicht|poema|poeme|poesia)"
)
_WISHES = (
    r"(?:tell|give|show|write|suggest|recommend|generate|make|find|pick|choose|draw|name|say|create|send|compose"
    r"|play|throw"
    r"|erzahl\w?|gib|nenn\w?|schreib\w?|cuenta\w*|dame|dime|escribe|raconte|donne|ecris|raccontami|dimmi|dammi"
    r"|scrivi|conte"
    r"|diga|escreva|vertel|geef|schrijf)"
)
_VARIETY = re.compile(
    "|".join(
        (
            rf"^(?:please |now |ok |okay |can you |could you |will you "
            rf"|would you )?{_WISHES}\b[^.]{{0,24}}\b(?:another|a different"
            rf"|one more|a few more|some more|\d{{1,2}} more|a random|random|some other|any other"
            rf"|noch ein\w{{0,2}}|otro|otra"
            rf"|un autre|une autre|un'altra|un altro|un'altro|outra|outro"
            rf"|nog een) (?:\w{{1,20}} ){{0,2}}?{_THINGS}\b",
            rf"^(?:please |now |ok |okay |can you |could you )?{_WISHES} (?:me |us |mir |moi )?(?:a |one |some "
            rf"|any |\d{{1,2}} )?"
            r"random(?:ly)?\b(?! forest| variable| access| walk| sampl)",
            r"^(?:and |now )?(?:another|one more|noch ein\w{0,2}|otro|otra|un autre|une autre|un altro|un'altra"
            r"|outro|outra|nog een)"
            rf"(?: {_THINGS})?(?:,? (?:please|bitte|por favor))?$",
            rf"^(?:please )?(?:try|do (?:it|that)|say (?:it|that)|roll|ask|flip|spin|regenerate|play|guess"
            rf"|{_WISHES})\b"
            r"[^.]{0,24}\b(?:again|once more|one more time|nochmal|noch einmal|otra vez|de nuevo|encore une fois"
            r"|di nuovo"
            r"|novamente|nog een keer)(?:,? please)?$",
            r"\bsurprise (?:me|us)\b|\buberrasch\w? mich\b|\bsorprende?me\b|\bsorprendimi\b|\bsurprends[- ]moi\b"
            r"|\bsurpreenda[- ]me\b|\bverras me\b",
            rf"^(?:please |can you |could you )?{_WISHES} (?:me |us )?something (?:else|random|different|new)\b",
            r"^(?:please |can you |could you )?(?:roll|throw) (?:a|the|two|some|\d{0,2} ?)? ?(?:d\d{1,3}|dice|die)\b",
            r"^(?:please |can you |could you )?(?:generate|create|make|give me|write) (?:me )?"
            r"(?:a |an |some |\d{1,3} )?"
            r"(?:new |strong |secure |unique |safe )*(?:passwords?|passphrases?|uuids?|guids?|api keys?|pin codes?"
            r"|tokens?)(?: for me| please)?$",
            r"^(?:please |can you |could you |let's )?(?:flip|toss) (?:me )?(?:a|the) coin\b|\bcoin (?:flip"
            r"|toss)(?: please)?$|^(?:call )?heads or tails\b",
            r"^(?:please |can you |could you )?(?:pick|choose|think of|give me) (?:a|any) (?:number"
            r"|card)\b(?! plate)",
            r"\b(?:at random|al azar|au hasard|a caso|ao acaso|zufallige[nrs]?|willekeurige?"
            r"|aleatori[oa])\b(?= \w{1,20}$|$)",
            r"\b(?:a|some) different (?:one|answer|version|joke|story|example|wording)\b",
        )
    )
)


# No question is volatile without one of these: most are answered here, ten times faster than by the patterns.
_SIGNS = frozenset(
    """
    today tonight tomorrow yesterday night right now moment week weekend morning afternoon evening
    heute morgen gestern gerade derzeit zurzeit momentan hoy manana ayer ahora momento aujourd demain hier
    maintenant actuellement oggi domani ieri adesso ora hoje amanha ontem agora vandaag gisteren momenteel
    latest newest recent current currently breaking live up time date day month year until till
    left next weather forecast rain raining snow snowing sunny windy storm freezing temperature hot cold warm traffic
    stock stocks share shares bitcoin btc ethereum eth crypto gold silver oil gas petrol diesel fuel crude dollar euro
    exchange usd eur gbp jpy inr dollars euros pounds pound yen rupees rupee peso pesos score scores result results
    standings winning leading ahead won lost plays played scored playing news headlines new happening going trending
    open upcoming chance chances
    neueste neuester neuestes neuesten aktuelle aktueller aktuelles aktuellen jungste jungsten spat uhr wetter
    wettervorhersage tag datum steht ultimas ultimos ultima ultimo ultime recientes recenti noticias hora horas dia
    fecha tiempo clima tempo precio preco tipo cotacao dernieres derniere heure temps meteo jour cours prix ore
    giorno prezzo laat laatste nieuwste weer huidige
    password passwords passphrase passphrases uuid uuids guid guids api pin token tokens near down doing trading
    flight
    quality uv status another different more other random randomly noch otro otra autre altra altro outra outro nog
    again once
    nochmal vez nuevo encore nuovo novamente keer surprise sorprendeme sorprendimi surprends surpreenda verras
    uberrasch uberrasche something roll throw flip toss coin heads pick choose think number card any azar hasard caso
    acaso zufallige zufalliger zufalliges zufalligen willekeurig willekeurige aleatorio aleatoria aleatori
    """.split()
)
_NO_LETTER = re.compile(r"[^a-z]+")


_HOW_IT_IS_DONE = re.compile(
    r"^(?:please |can you |could you )?(?:how (?:do|can|could|would|should) (?:i|we|you)|how to|what is the command to"
    r"|what command|wie kann ich|wie|comment|como|git|npm|pip|docker|kubectl|write a (?:function|script|query|program"
    r"|method|regex))\b[^.?!]{0,60}"
    r"\b(?:get|install|update|upgrade|download|pull|fetch|show|print|display|format|calculate|use|read|check out"
    r"|checkout|revert|select|query|insert|return|returns|log|add|store|set)\b[^.?!]{0,40}"
    r"\b(?:latest|newest|most recent|current)\b"
)


def volatile(question: str) -> bool:
    """Does it ask for the present, or for something else each time?"""
    folded = plain(question).casefold()
    if _SIGNS.isdisjoint(_NO_LETTER.split(folded)):
        return False
    if _HOW_IT_IS_DONE.search(folded) and not _NOW.search(folded):
        return False
    return any(
        _PRESENT.search(sentence) or _VARIETY.search(sentence) or _asks_for_now(sentence)
        for sentence in _sentences(folded)
    )


def _sentences(folded: str) -> Iterator[str]:
    parts = [folded]
    if len(folded) > _LONG_CHARACTERS:
        parts = [folded[:_ENDS_CHARACTERS], folded[-_ENDS_CHARACTERS:]]
    for part in parts:
        for sentence in _SENTENCE_END.split(_QUOTED.sub("", part)):
            yield sentence.strip(" ,-")


def _asks_for_now(sentence: str) -> bool:
    """`Who plays today?`, but not `Why was my card declined today?`: that tells what happened."""
    if not _NOW.search(sentence) or not _ASKS.search(sentence) or sentence.startswith("why "):
        return False
    return not (_TOLD.search(sentence) and _PAST.search(sentence))


# The embedder reads 256 word pieces, two of them its own marks, and is blind to the rest.
_WINDOW_PIECES = 254
_PIECES = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
_SHORT_WORD_PIECES = 1.05  # both measured on English and German texts: one too long in 25 slips through
_LETTERS_A_PIECE = 4.5

_A_DIGIT = re.compile(r"\d")
# What stands before the first digit is asked of behind it: a pattern that begins with a digit is looked for at digits.
_OPERATION = re.compile(
    r"\d(?: ?(?:[+*×÷^=]|\*\*) ?[\d(x-]| ?% of \$?\d|!(?:\W|$)| (?:mal|durch|por|fois|per|keer) \d"
    r"|(?<!\w\d)[\d.,]* (?:- \d[\d.,]*(?: ?=|$)|(?:plus|minus|times|divided by|multiplied by|over|mod|modulo) \d)"
    r"|(?:(?<=^\d)|(?<=\bis \d)|(?<='s \d)|(?<=\bwhats \d))\d* ?[/x] ?\d+$)"
)
_FUNCTION = re.compile(
    r"\b(?:percent of \$?\d|square root of \d|(?:sum|product|difference|average|mean|quotient) of -?\d"
    r"|(?:sqrt|log|ln|sin|cos|tan|gcd|lcm|factorial)\b ?(?:of )?\(?-?\d)"
)
_SOLVE = re.compile(
    r"^(?:please |can you )?(?:solve|calculate|compute|evaluate|simplify|factor|integrate|differentiate|berechne|lose"
    r"|calcula|calcule|resuelve|resous|risolvi|bereken)\b[^.]{0,200}\d"
)
_MEASURE = (
    r"(?:total|average|mean|probability|area|perimeter|circumference|volume|sum|difference|ratio|cost|costs|price|"
    r"percentage|percent|fraction|profit|distance|speed|number|amount|quantity|score|age|ages|height|length|width|"
    r"depth|weight|size|duration|temperature|salary|income|earnings?|savings?|expenditure|payment|balance|worth|share|"
    r"count|capacity|value|product|angle|remainder|threshold|likelihood|odds|result)"
)
_HOW_MUCH = re.compile(
    r"\bhow (?:many|much|long|old|far|fast|tall|heavy|big|deep|high|wide|large)\b"
    rf"|\bwhat(?:'s| is| was| will be| would be| are| were)? (?:[\w'-]{{1,20}} ){{0,5}}?{_MEASURE}\b"
    rf"|\b(?:calculate|determine|find|compute|work out) (?:[\w'-]{{1,20}} ){{0,4}}?(?:{_MEASURE}\b|how )"
    r"|\bwie ?viele?\b|\bwie (?:lange|alt|weit|schnell|gross|hoch|tief|schwer|teuer)\b"
    r"|\bcuant[oa]s?\b|\bcombien\b|\bquel (?:age|est le (?:total|nombre|prix))\b|\bquant[oiea]s?\b|\bhoeveel\b"
)
_FIGURE = re.compile(
    r"\d[\d.,/:]*|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty"
    r"|fifty|sixty"
    r"|seventy|eighty|ninety|hundred|dozen|half|twice|thrice|double|triple|tripled|doubled|thirds?|quarters?|fourth"
    r"|fifth|sixth|eighth|tenth|each|every|per"
    r"|zwei|drei|vier|funf|sechs|sieben|acht|neun|zehn|zwolf|halb\w*|halfte|drittel|viertel|doppelt|jede[nrs]?"
    r"|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|mitad|doble|cada"
    r"|deux|trois|quatre|cinq|sept|huit|neuf|dix|moitie|tiers|chaque|due|tre|quattro|cinque|sei|dieci|meta|ogni"
    r"|dois|duas|quatro|sete|oito|nove|dez|metade|twee|drie|vier|vijf|zes|tien|helft|elke?)\b"
)
# Quantities are told before one is asked for: in a sentence of their own, or as what is given.
_TOLD_BEFORE = re.compile(
    r"[.!] \S|^(?:if|given|suppose|assuming|assume|when|wenn|falls|angenommen|si|se|als|stel)\b"
    r"|\b(?:if|given that|knowing that|suppose that|wenn|falls|sabiendo que|sachant que|sapendo che)\b"
)
_PERCENT = re.compile(r"\d ?%|\d percent\b|\d prozent\b")
_WORD_PROBLEM_BLANKS = 6
_FIGURES_TOLD, _FIGURES_ALONE = 2, 3  # `I was charged twice`: who tells of himself seldom sets a problem

_LATIN_SHARE = 0.5


def exact_only(question: str) -> bool:
    """Is it stored but never matched by similarity? Cosine does not see what makes it differ from its like."""
    return _over_the_window(question) or _foreign_to_the_embedder(question)


def _over_the_window(question: str) -> bool:
    """An estimate that errs to the long side, without the embedder's word list."""
    if len(question) <= _WINDOW_PIECES:  # a piece has at least one character
        return False
    pieces = 0.0
    for token in _PIECES.findall(question):
        if not token.isalpha():
            pieces += 1 + len(token) // 3
        elif not token.isascii():
            pieces += max(1.0, len(token) / 2) if token[0] < "\u0370" else len(token)
        else:
            pieces += _SHORT_WORD_PIECES if len(token) <= 7 else len(token) / _LETTERS_A_PIECE
        if pieces > _WINDOW_PIECES:
            return True
    return False


def _foreign_to_the_embedder(question: str) -> bool:
    """No letters at all, or a script or language that the embedder has hardly read."""
    if question.isascii():
        return not any(map(str.isalpha, question))
    if script_shares(plain(question)).get("LATIN", 0.0) < _LATIN_SHARE:
        return True
    return is_foreign(words(accented(question).casefold()))


def calculation(question: str) -> bool:
    """Numbers to be worked with: another number is another answer, and a vector hardly sees it."""
    folded = plain(question).casefold()
    if _A_DIGIT.search(folded) and any(form.search(folded) for form in (_OPERATION, _FUNCTION, _SOLVE)):
        return True
    if folded.count(" ") < _WORD_PROBLEM_BLANKS or _HOW_MUCH.search(folded) is None:
        return False
    told = _TOLD_BEFORE.search(folded) and not (_TOLD.search(folded) and not _PERCENT.search(folded))
    return len(_FIGURE.findall(folded)) >= (_FIGURES_TOLD if told else _FIGURES_ALONE)
