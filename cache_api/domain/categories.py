"""Of what kind is a question: something to do, the asker's own data, a calculation?

A Policy may keep answers to a kind from being served by similarity, or from being kept at all. In doubt a question is
of no kind: words that nearly always mean it are here, and no others.
"""

import re
from collections.abc import Collection

from cache_api.domain.cacheable import calculation
from cache_api.domain.guard.spelling import plain

KINDS = ("actions", "personal", "maths")

_READ_CHARACTERS = 600  # a wish stands at the beginning
_OPENING = " \t\n¿¡\"'"

_POLITE = r"(?:(?:please|kindly|now|then|ok|okay|hey|hi|bitte|por favor|per favore|s'il (?:te|vous) plait)[, ]+)*"
_WANTED = (
    r"(?:(?:can|could|would|will) you(?: please)? |i(?:'d| would)? (?:want|need|like) (?:you )?to |let's |"
    r"(?:kannst|konntest) du |konnen sie |ich (?:mochte|will) |puedes |podrias |quiero |peux-tu |pouvez-vous |"
    r"je (?:veux|voudrais) |puoi |vorrei |pode |quero |kun je |ik wil )?"
)
_DEED = (
    r"(?:cancel|book|reserve|order|buy|pay|send|transfer|wire|delete|remove|close|open|create|activate|deactivate|"
    r"block|unblock|freeze|unfreeze|refund|return|subscribe|unsubscribe|schedule|reschedule|call|email|mail|"
    r"post|publish|deploy|restart|reboot|turn (?:on|off)|switch (?:on|off)|set (?:an?|the|my)|play|remind|"
    r"add|update|change|move|rename|submit|approve|reject|"
    r"storniere\w*|buche\w*|reserviere\w*|bestelle\w*|bezahle\w*|sende\w*|schicke?\w*|uberweise\w*|losche\w*|"
    r"sperre\w*|kundige\w*|cancela\w*|reserva\w*|compra\w*|envia\w*|elimina\w*|annule\w*|commande\w*|achete\w*|"
    r"envoie\w*|supprime\w*|prenota\w*|ordina\w*|annulla\w*|invia\w*|annuleer|bestel|stuur|verwijder)"
)
_ACTION = re.compile(rf"^{_POLITE}{_WANTED}{_POLITE}{_DEED}\b(?! (?:is|are|of|means?|meaning|costs?|values?|types?)\b)")

_MINE = r"(?:my|our|mein\w*|unser\w*|mi|mis|nuestr\w+|mon|ma|mes|notre|nos|mio|mia|miei|mie|meu|minha|mijn|onze)"
_OWN = (
    r"(?:account|balance|order|orders|invoice|invoices|bill|payment|payments|transaction|transactions|subscription|"
    r"plan|card|statement|salary|payslip|contract|booking|reservation|appointment|appointments|calendar|schedule|"
    r"meetings?|email|emails|inbox|messages|address|phone number|password|pin|points|miles|delivery|package|parcel|"
    r"shipment|refund|claim|ticket|tickets|test results|prescription|grades?|score|location|"
    r"konto|kontostand|bestellung\w*|rechnung\w*|zahlung\w*|vertrag|termin\w*|paket|cuenta|saldo|pedido\w*|factura\w*|"
    r"cita|compte|solde|commande\w*|facture\w*|rendez-vous|conto|ordine|fattura|appuntamento|conta|fatura|rekening|"
    r"bestelling|factuur|afspraak)"
)
_LOOKED_UP = (
    r"(?:what(?:'s| is| are| was| were)|whats|where(?:'s| is| are)|when(?:'s| is| are| will| does| did)|"
    r"how (?:much|many)|has|have|did|is|are|show(?: me)?|tell me|check|find|list|"
    r"was ist|wie (?:hoch|viel)|wo ist|wann|zeig\w*|ist|cual es|donde esta|cuando|cuanto|muestrame|"
    r"quel est|quelle est|ou est|quand|combien|montre\w*|qual e|dov'e|quanto|mostrami|onde esta|wat is|waar is|hoeveel)"
)
_PERSONAL = re.compile(rf"^{_POLITE}(?:\w+ ){{0,2}}?{_LOOKED_UP}\b[^.?!]{{0,40}}?\b{_MINE} (?:\w+ ){{0,2}}?{_OWN}\b")
_WHO_I_AM = re.compile(r"\b(?:who am i|what(?:'s| is) my name|wer bin ich|wie heisse ich|quien soy|qui suis-je)\b")


def is_one_of(question: str, kinds: Collection[str]) -> bool:
    """Whether it is of one of these kinds, named as a Policy names them."""
    if "maths" in kinds and calculation(question):
        return True
    start = plain(question[:_READ_CHARACTERS]).casefold().strip(_OPENING)
    if "actions" in kinds and _ACTION.search(start):
        return True
    return "personal" in kinds and bool(_PERSONAL.search(start) or _WHO_I_AM.search(start))
