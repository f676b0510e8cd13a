"""In which unit is something measured, and what is that in its base unit?"""

# ruff: noqa: SIM905  (word lists read better as words)

from fractions import Fraction

_KINDS: dict[str, dict[str, str]] = {
    "metre": {
        "1/1000000": "micrometer micrometers micrometre micron microns",
        "1/1000": "mm millimeter millimeters millimetre millimetres",
        "1/100": "cm centimeter centimeters centimetre centimetres zentimeter",
        "1": "m meter meters metre metres metro metros metri",
        "1000": "km kms kilometer kilometers kilometre kilometres kilometro kilometros chilometri",
        "0.0254": "inch inches zoll",
        "0.3048": "ft foot feet",
        "0.9144": "yd yard yards",
        "1609.344": "mi mile miles meilen",
    },
    "gram": {
        "1/1000000": "mcg microgram micrograms",
        "1/1000": "mg milligram milligrams",
        "1": "g gram grams gramm gramme grammes gramos",
        "1000": "kg kgs kilo kilos kilogram kilograms kilogramm",
        "28.349523125": "oz ounce ounces",
        "1000000": "tonne tonnes ton tons tonnen",
        "6350.29318": "stone stones",
    },
    "litre": {
        "1/1000": "ml milliliter milliliters millilitre millilitres cc",
        "1": "l liter liters litre litres litro litros",
        "3.785411784": "gallon gallons",
        "0.473176473": "pint pints",
        "0.946352946": "quart quarts",
        "0.2365882365": "cup cups",
        "0.0147867648": "tbsp tablespoon tablespoons",
        "0.0049289216": "tsp teaspoon teaspoons",
    },
    "second": {
        "1/1000": "ms millisecond milliseconds",
        "1": "sec secs second seconds sekunde sekunden segundo segundos seconde secondes secondi seconden",
        "60": "min mins minute minutes minuten minuto minutos minuti minuut",
        "3600": "h hr hrs hour hours stunde stunden hora horas heure heures ora ore uur",
        "86400": "day days tag tage tagen dia dias jour jours giorno giorni dagen dag",
        "604800": "week weeks woche wochen semana semanas semaine semaines settimana settimane weken",
    },
    "month": {
        "1": "month months monat monate monaten mes meses mois mese mesi maand maanden",
        "12": "year years yr yrs jahr jahre jahren ano anos ans annees anni jaar jaren",
        "120": "decade decades",
        "1200": "century centuries",
    },
    "byte": {
        "1": "byte bytes",
        "1000": "kb kilobyte kilobytes",
        "1000000": "mb megabyte megabytes",
        "1000000000": "gb gigabyte gigabytes gigs",
        "1000000000000": "tb terabyte terabytes",
    },
    "bit per second": {"1000": "kbps", "1000000": "mbps", "1000000000": "gbps"},
    "byte, binary": {"1024": "kib", "1048576": "mib", "1073741824": "gib"},
    "watt": {"1": "w watt watts", "1000": "kw kilowatt kilowatts", "1000000": "mw megawatt megawatts"},
    "watt hour": {"1": "wh", "1000": "kwh"},
    "volt": {"1": "v volt volts"},
    "ampere": {"1/1000": "ma mah", "1": "amp amps ampere amperes"},
    "hertz": {"1": "hz hertz", "1000": "khz", "1000000": "mhz", "1000000000": "ghz"},
    "calorie": {"1": "calorie calories cal kcal"},
    "joule": {"1": "joule joules", "1000": "kj"},
    "metre per second": {"1000/3600": "kmh kph", "0.44704": "mph", "1": "mps"},
    "square metre": {"1": "sqm", "0.09290304": "sqft", "4046.8564224": "acre acres", "10000": "hectare hectares ha"},
    "celsius": {"1": "celsius centigrade"},
    "fahrenheit": {"1": "fahrenheit"},
    "kelvin": {"1": "kelvin"},
    "percent": {"1": "% percent percentage prozent pct"},
    "degree": {"1": "° degree degrees grad grados"},
    "pixel": {"1": "px pixel pixels"},
    "usd": {"1": "$ usd dollar dollars bucks", "1/100": "cent cents"},
    "eur": {"1": "€ eur euro euros"},
    "pound": {"1": "£ gbp quid pound pounds lb lbs pfund libras"},  # money and weight share the word
    "yen": {"1": "¥ jpy yen"},
    "inr": {"1": "₹ inr rs rupee rupees rupie rupien"},
    "cny": {"1": "cny rmb yuan"},
    "chf": {"1": "chf francs franken"},
    "cad": {"1": "cad"},
    "aud": {"1": "aud"},
    "sek": {"1": "sek"},
    "pln": {"1": "pln zloty"},
    "brl": {"1": "brl"},
    "mxn": {"1": "mxn pesos peso"},
    "btc": {"1": "btc bitcoin bitcoins"},
    "eth": {"1": "eth ethereum"},
}
UNITS = {
    name: (base, Fraction(numerator) / Fraction(denominator or "1"))
    for base, sizes in _KINDS.items()
    for size, names in sizes.items()
    for numerator, _, denominator in [size.partition("/")]
    for name in names.split()
}
CURRENCIES = frozenset(
    name
    for base in "usd eur pound yen inr cny chf cad aud sek pln brl mxn btc eth".split()
    for names in _KINDS[base].values()
    for name in names.split()
)

# Without a number these are other words at least as often.
_ONLY_BESIDE_A_NUMBER = frozenset(
    "stone stones m g l h w v ma mi min mins sec secs second segundo segundos seconde secondes foot feet "
    "yard yards amp amps cc ha "
    "ton tons cal ms mb mw minute hora ora ore ans dia mes ano rs mi metro metri gb tb kb % ° grad degree degrees "
    "cup cups cent cents pound quid cad percentage percent pixel pixels bucks cup libras day days tag tage dag hour "
    "hours week weeks month months year years minutes jahr jahre monat woche wochen stunde stunden minuten minuto "
    "minutos dias semana semanas meses anos jour jours heure heures semaine mois giorno giorni mese mesi anni uur "
    "weken maand jaar decade decades century centuries".split()
)
UNITS_ALONE = {name: unit for name, unit in UNITS.items() if name not in _ONLY_BESIDE_A_NUMBER}

# "How much per month" and "how much per year" ask for two numbers.
RATED = frozenset("per pro par each every a an".split())
_TIMES = frozenset({"second", "month"})
_OFTEN = {
    "hourly": "hour",
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "yearly": "year",
    "annual": "year",
    "annually": "year",
}
RATES = {name: unit for name, unit in UNITS.items() if unit[0] in _TIMES and len(name) > 1}
OFTEN = {word: UNITS[name] for word, name in _OFTEN.items()}
# "How tall in metres" and "how tall in feet" do, too.
MEASURED_IN = {name: unit for name, unit in UNITS.items() if len(name) > 2 and name not in ("mes", "ano", "ans", "ore")}
