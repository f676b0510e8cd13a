"""Which words are other words with an accent than without, or with another?

Of most words the bare spelling is a hasty one and means the same: `cafe` is `café`. Left out, too, are those that are
written without so often that nothing could be told: `esta` and `está`, `ou` and `où`, `een` and `één`.
"""

_TWINS = """
zahlen/zählen zahle/zähle zahlt/zählt zahlte/zählte gezahlt/gezählt zahlung/zählung zahlungen/zählungen
drucken/drücken drucke/drücke druckt/drückt druckte/drückte gedruckt/gedrückt fordern/fördern fordere/fördere
fordert/fördert forderte/förderte gefordert/gefördert forderung/förderung forderungen/förderungen schon/schön
mochte/möchte mochten/möchten hatte/hätte hatten/hätten hattest/hättest wurde/würde wurden/würden konnte/könnte
konnten/könnten musste/müsste mussten/müssten durfte/dürfte durften/dürften wusste/wüsste wussten/wüssten
waren/wären brachte/brächte brachten/brächten dachte/dächte gabe/gäbe losen/lösen lose/löse tauschen/täuschen
tauscht/täuscht getauscht/getäuscht tauschung/täuschung wahlen/wählen wahrung/währung fallen/fällen falle/fälle
kuchen/küchen rucken/rücken spulen/spülen spule/spüle stuck/stück hohle/höhle schalen/schälen schatzen/schätzen
schwarmen/schwärmen sagen/sägen sage/säge sagt/sägt gesagt/gesägt saugen/säugen saure/säure warme/wärme trage/träge
achten/ächten dampfen/dämpfen dampfer/dämpfer drohnen/dröhnen fugen/fügen grosse/grösse kurze/kürze naher/näher
blute/blüte bluten/blüten bar/bär baren/bären boten/böten furchte/fürchte schmucken/schmücken fuhren/führen
lohnen/löhnen
ano/año anos/años pena/peña penas/peñas cana/caña canas/cañas cuna/cuña sonar/soñar sueno/sueño mono/moño monos/moños
una/uña unas/uñas campana/campaña campanas/campañas ordenar/ordeñar
mama/mamá papa/papá papas/papás
peche/pêche/péché/pêché pecher/pêcher/pécher tache/tâche taches/tâches tacher/tâcher pate/pâte/pâté pates/pâtes/pâtés
cote/côte/côté cotes/côtes/côtés mais/maïs foret/forêt jeune/jeûne jeuner/jeûner roder/rôder marche/marché
marches/marchés
avo/avô/avó avos/avôs/avós coco/cocô sabia/sábia/sabiá pais/país secretaria/secretária
meta/metà casino/casinò pero/però papa/papà
"""
HAVE_TWINS = frozenset(word for words in _TWINS.split() for word in words.split("/"))
