"""Which two words are opposites?"""

# ruff: noqa: SIM905  (word lists read better as words)

from cache_api.domain.guard.spelling import stem

# "My account is locked" asks to unlock it: what has befallen is no opposite of what is wished.
STATES = frozenset("enabled disabled activated deactivated locked unlocked blocked unblocked".split()) | frozenset(
    "banned unbanned frozen unfrozen".split()
)

_OPPOSITES = """
enable/disable activate/deactivate on/off open/close open/shut opened/closed opened/shut opening/closing start/stop
begin/end increase/decrease increase/reduce raise/lower grow/shrink rise/fall buy/sell purchase/sell before/after
more/less much/little many/few max/min maximum/minimum maximize/minimize maximise/minimise lock/unlock
add/remove add/delete add/subtract insert/delete create/delete allow/forbid allow/deny allow/block
allow/prevent permit/prohibit allow/prohibit men/women man/woman boy/girl cheapest/expensive accept/reject
accept/decline accept/refuse approve/reject approve/deny legal/illegal win/lose gain/lose pass/fail
succeed/fail success/failure install/uninstall subscribe/unsubscribe follow/unfollow include/exclude
with/without import/export upload/download upgrade/downgrade input/output inbound/outbound incoming/outgoing
push/pull send/receive give/take lend/borrow arrive/depart arrival/departure enter/exit enter/leave
encrypt/decrypt encode/decode compress/decompress mute/unmute hide/show hide/unhide freeze/unfreeze
block/unblock ban/unban connect/disconnect attach/detach mount/unmount zip/unzip pack/unpack wrap/unwrap
load/unload positive/negative true/false right/wrong correct/incorrect good/bad good/evil best/worst
better/worse safe/dangerous safe/unsafe hot/cold warm/cool high/low higher/lower highest/lowest up/down
upper/lower large/small larger/smaller largest/smallest big/small big/little bigger/smaller biggest/smallest
long/short longer/shorter longest/shortest fast/slow faster/slower fastest/slowest early/late earlier/later
earliest/latest first/last easy/hard easy/difficult cheap/expensive cheaper/costlier rich/poor strong/weak
light/dark light/heavy lighter/heavier hard/soft wet/dry empty/full alive/dead awake/asleep happy/sad
happy/unhappy healthy/sick well/ill young/old younger/older youngest/oldest new/old newer/older newest/oldest
public/private inside/outside above/below over/under internal/external ascending/descending
horizontal/vertical same/different like/unlike love/hate agree/disagree advantage/disadvantage
advantage/drawback pro/con benefit/risk benefit/harm optimist/pessimist optimistic/pessimistic polite/rude
brave/cowardly active/passive guilty/innocent natural/artificial fair/unfair fair/foul useful/useless
careful/careless harmful/harmless male/female always/never everyone/nobody everybody/nobody everything/nothing
deposit/withdraw debit/credit profit/loss income/expense asset/liability login/logout signin/signout
online/offline left/right north/south east/west front/back top/bottom synchronous/asynchronous static/dynamic
mutable/immutable serialize/deserialize inhale/exhale expand/collapse expand/contract hire/fire attack/defend
offensive/defensive absent/present simple/complex simple/complicated start/end start/finish begin/finish
starts/ends grant/revoke join/leave archive/unarchive pin/unpin promote/demote melt/freeze melting/freezing
boiling/freezing sink/float prevent/cause birth/death born/die born/died sunrise/sunset entry/exit
entrance/exit source/destination source/target previous/next majority/minority major/minor domestic/foreign
domestic/international mandatory/optional required/optional temporary/permanent manual/automatic
manually/automatically wired/wireless weekday/weekend indoor/outdoor thick/thin thicken/thin wide/narrow
deep/shallow tall/short vacant/occupied single/married married/divorced odd/even prefix/suffix synonym/antonym
singular/plural buyer/seller lender/borrower landlord/tenant employer/employee winner/loser husband/wife
mother/father mom/dad son/daughter brother/sister king/queen uncle/aunt bullish/bearish summer/winter
raw/cooked sharp/blunt gross/net plus/minus former/current former/present former/future past/future past/present
current/previous current/past ancient/modern senior/junior partial/full partial/complete primary/secondary
sender/recipient sender/receiver driver/passenger teacher/student doctor/patient debtor/creditor supply/demand
lossy/lossless wholesale/retail urban/rural inner/outer in/out nearest/farthest closest/farthest closest/furthest
aktivieren/deaktivieren an/aus ein/aus einschalten/ausschalten offnen/schliessen kaufen/verkaufen vor/nach
vorher/nachher mehr/weniger erhohen/senken erhohen/verringern sperren/entsperren hinzufugen/entfernen mit/ohne
erlaubt/verboten richtig/falsch gut/schlecht beginnen/enden anfang/ende beginn/ende ankunft/abfahrt
activar/desactivar abrir/cerrar comprar/vender antes/despues mas/menos aumentar/reducir aumentar/disminuir
bloquear/desbloquear anadir/eliminar agregar/eliminar permitido/prohibido con/sin empezar/terminar
comenzar/terminar llegada/salida activer/desactiver ouvrir/fermer acheter/vendre avant/apres plus/moins
augmenter/reduire augmenter/diminuer verrouiller/deverrouiller ajouter/supprimer autorise/interdit avec/sans
commencer/finir debut/fin arrivee/depart attivare/disattivare aprire/chiudere comprare/vendere prima/dopo
piu/meno aumentare/ridurre aumentare/diminuire bloccare/sbloccare aggiungere/rimuovere permesso/vietato
ativar/desativar abrir/fechar antes/depois mais/menos adicionar/remover permitido/proibido com/sem
inschakelen/uitschakelen aan/uit openen/sluiten kopen/verkopen voor/na meer/minder verhogen/verlagen
toevoegen/verwijderen toegestaan/verboden met/zonder enabled/disabled activated/deactivated locked/unlocked
blocked/unblocked banned/unbanned frozen/unfrozen anmelden/abmelden einloggen/ausloggen anschalten/abschalten
einsteigen/aussteigen einzahlen/auszahlen eintragen/austragen einatmen/ausatmen zunehmen/abnehmen
steigen/sinken verschlusseln/entschlusseln verbinden/trennen hochladen/herunterladen mieten/vermieten
gewinnen/verlieren ankommen/abfahren aufsteigen/absteigen beladen/entladen abonnieren/abbestellen
anziehen/ausziehen importieren/exportieren installieren/deinstallieren links/rechts oben/unten innen/aussen
positiv/negativ hochste/niedrigste grosste/kleinste teuerste/billigste teuerste/gunstigste alteste/jungste
langste/kurzeste schnellste/langsamste beste/schlechteste erste/letzte vollzeit/teilzeit brutto/netto
warm/kalt iniciar/detener encender/apagar subir/bajar entrar/salir cargar/descargar cifrar/descifrar
conectar/desconectar instalar/desinstalar mayor/menor mejor/peor primero/ultimo izquierda/derecha
importar/exportar ganar/perder abre/cierra ingreso/gasto allumer/eteindre monter/descendre entrer/sortir
connecter/deconnecter installer/desinstaller importer/exporter gagner/perdre meilleur/pire premier/dernier
gauche/droite chiffrer/dechiffrer abonner/desabonner ouvre/ferme accendere/spegnere entrare/uscire
migliore/peggiore sinistra/destra installare/disinstallare importare/esportare apre/chiude ligar/desligar
entrar/sair melhor/pior esquerda/direita abre/fecha inloggen/uitloggen aanzetten/uitzetten aanmelden/afmelden
installeren/deinstalleren winnen/verliezen
"""

OPPOSITES_OF: dict[str, frozenset[str]] = {}
for _pair in _OPPOSITES.split():
    _one, _other = map(stem, _pair.split("/"))
    if _pair.split("/")[0] in STATES:
        _one, _other = _pair.split("/")
    OPPOSITES_OF[_one] = OPPOSITES_OF.get(_one, frozenset()) | {_other}
    OPPOSITES_OF[_other] = OPPOSITES_OF.get(_other, frozenset()) | {_one}
