"""What does a question want done?

Words of one line want the same done, words of two lines want different things: `open an account` and `create an
account` are one wish, `use my account` is another. Only words that nearly always are the wish itself are here.
"""

from cache_api.domain.guard.spelling import stem

_ACTIONS = """
create open register establish creation opening registration erstellen anlegen eroffnen registrieren
use using utilize utilise usage benutzen nutzen verwenden
delete remove erase cancel terminate close cancellation deletion removal closure loschen entfernen stornieren kundigen
change modify edit update alter switch correct swap modification andern bearbeiten aktualisieren wechseln
check see view show find look locate track verify lookup display sehen anzeigen prufen finden zeigen
pay payment paying bezahlen zahlen zahlung
buy purchase buying kaufen kauf
sell selling verkaufen
recover restore retrieve reset recovery wiederherstellen zurucksetzen
contact speak talk kontaktieren sprechen
complain complaint complaints beschweren beschwerde
deliver ship delivery shipping shipment liefern lieferung versand
send transfer forward mail senden schicken uberweisen
install installation setup installieren
uninstall deinstallieren
download herunterladen
upload hochladen
fix solve repair resolve troubleshoot beheben reparieren losen
activate enable aktivieren
block freeze lock sperren
compare comparison difference vergleichen unterschied
explain describe define definition meaning erklaren beschreiben
translate translation ubersetzen ubersetzung
summarise summarize summary zusammenfassen zusammenfassung
learn study lernen
teach lehren
test testing testen
sort sorting sortieren
print drucken
reverse invert umkehren
count zahl
write schreiben
read lesen
refund reimbursement reimburse rebate erstattung erstatten
cook bake kochen backen
clean wash reinigen putzen
"""
ACTION_OF = {stem(word): line.split()[0] for line in _ACTIONS.split("\n") for word in line.split()}
