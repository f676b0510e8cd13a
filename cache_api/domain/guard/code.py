"""Which programming languages does a text speak of, by name or by syntax?"""

# ruff: noqa: SIM905  (word lists read better as words)

import re
from collections.abc import Sequence

_NAMES = {
    "python": "python py django fastapi pandas numpy pytest tensorflow pytorch",
    "javascript": "javascript js ecmascript nodejs node jquery reactjs angularjs vue vuejs npm",
    "typescript": "typescript tsx",
    "java": "java jvm",
    "kotlin": "kotlin",
    "c++": "cpp",
    "c#": "csharp",
    "f#": "fsharp",
    ".net": "dotnet asp",
    "go": "golang",
    "ruby": "ruby",
    "php": "php laravel symfony wordpress",
    "perl": "perl",
    "scala": "scala",
    "haskell": "haskell",
    "elixir": "elixir",
    "erlang": "erlang",
    "clojure": "clojure",
    "lua": "lua",
    "matlab": "matlab",
    "fortran": "fortran",
    "cobol": "cobol",
    "dart": "flutter",
    "objective-c": "objc",
    "visual basic": "vba vb vbnet vbscript",
    "powershell": "powershell",
    "shell": "bash zsh",
    "sql": "sql mysql postgresql postgres sqlite tsql plsql mariadb",
    "html": "html",
    "css": "css scss sass",
    "xslt": "xslt",
    "verilog": "verilog vhdl",
    "solidity": "solidity",
    "ocaml": "ocaml",
    "graphql": "graphql",
}
_BY_NAME = {name: language for language, names in _NAMES.items() for name in names.split()}

# One tool stands for its language, but two tools of one language are two constraints.
_TOOLS = frozenset(
    "django flask fastapi pandas numpy pytest tensorflow pytorch jquery react angular vue express spring hibernate "
    "rails laravel symfony wordpress mysql postgresql sqlite flutter".split()
)
_SAME_TOOL = {"reactjs": "react", "angularjs": "angular", "vuejs": "vue", "postgres": "postgresql"}

# Words of everyday English: a language only where the text says so.
_EVERYDAY = {"c": "c", "r": "r", "go": "go", "rust": "rust", "swift": "swift", "julia": "julia", "dart": "dart"} | {
    "shell": "shell",
    "basic": "basic",
    "scheme": "scheme",
    "lisp": "lisp",
    "assembly": "assembly",
    "pascal": "pascal",
    "d": "d",
    "ada": "ada",
    "prolog": "prolog",
    "react": "javascript",
    "angular": "javascript",
    "express": "javascript",
    "flask": "python",
    "spring": "java",
    "rails": "ruby",
}
_SAYS_SO_BEFORE = frozenset({"in", "using", "into", "mit", "en", "em", "con", "com", "avec"})
_SAYS_SO_AFTER = frozenset(
    "component components hook hooks native js boot router middleware language lang "
    " programming program programs code script scripts function compiler struct library developer "
    "programmer crate macro array arrays pointer pointers string strings list lists loop slice slices map vector "
    "dataframe dataframes goroutine interface class classes method module package tutorial course api sdk app".split()
)
_NEVER_BY_PREPOSITION = frozenset({"spring", "express"})  # "in spring"
_NOT_AFTER_IN = frozenset("the a an my your case vitamin".split())

_SIGNED = re.compile(
    r"(?<![\w+#.])(?:c\+\+|c#|f#|objective-?c|asp\.net|\.net|node\.js|vue\.js|react\.js|next\.js)(?!\w)"
)
_SIGNED_NAMES = {
    "c++": "c++",
    "c#": "c#",
    "f#": "f#",
    "objective-c": "objective-c",
    "objectivec": "objective-c",
    "asp.net": ".net",
    ".net": ".net",
    "node.js": "javascript",
    "vue.js": "javascript",
    "react.js": "javascript",
    "next.js": "javascript",
}
_SYNTAX = (
    ("python", re.compile(r"\bdef \w{1,64}\(|\bself\.\w|\belif\b|\bprint\(f['\"]|__init__|\bimport numpy\b")),
    (
        "javascript",
        re.compile(r"\bconsole\.log\b|\bdocument\.getelement|\b(?:const|let|var) \w{1,64} ?= |\) ?=> ?[{(\w]"),
    ),
    ("java", re.compile(r"\bsystem\.out\.print|\bpublic static void\b")),
    ("c", re.compile(r"#include ?<\w{1,64}\.h>|\bprintf\(\"")),
    ("c++", re.compile(r"\bstd::\w|\bcout ?<<|#include ?<\w{1,64}>")),
    ("c#", re.compile(r"\bconsole\.writeline\b|\busing system;")),
    ("go", re.compile(r"\bfmt\.print|\bfunc \w{1,64}\(|:= range\b")),
    ("rust", re.compile(r"\bfn \w{1,64}\(|\blet mut \w|\bprintln!\(")),
    ("php", re.compile(r"<\?php|\$_(?:get|post|session)\b")),
    ("ruby", re.compile(r"\bputs ['\"]|\battr_accessor\b|\bdo \|\w{1,64}\|")),
    ("sql", re.compile(r"\bselect [^\n]{1,120}? from \w|\binsert into \w|\bgroup by \w|\bleft join \w")),
    ("shell", re.compile(r"#!/bin/(?:ba)?sh|\bsudo apt\b|\$\(\w")),
    ("html", re.compile(r"</(?:div|p|a|span|body|html|table|ul|li|h\d)>")),
)
_EVERYWHERE = frozenset({"sql", "html", "css"})
_MAY_BE_CODE = frozenset("(){}<>=;_:|#$!")


def code_languages(folded: str, words: Sequence[str]) -> frozenset[str]:
    found: set[str] = set()
    for word in words:
        if language := _BY_NAME.get(word):
            found.add(language)
            tool = _SAME_TOOL.get(word, word)
            if tool in _TOOLS:
                found.add(tool)
    for position, word in enumerate(words):
        if word in _EVERYDAY and _says_so(words, position):
            found.add(_EVERYDAY[word])
            if word in _TOOLS:
                found.add(word)
    if "+" in folded or "#" in folded or "." in folded or "objective" in folded:
        signed = [_SIGNED_NAMES[name] for name in _SIGNED.findall(folded)]
        found.update(signed)
        if any(name in ("c++", "c#", "objective-c") for name in signed):
            found.discard("c")
    if not found and not _MAY_BE_CODE.isdisjoint(folded):
        found.update(language for language, pattern in _SYNTAX if pattern.search(folded))
        if "c++" in found:
            found.discard("c")
    elif not found and "select " in folded and _SYNTAX[10][1].search(folded):
        found.add("sql")
    return frozenset(found)


def _says_so(words: Sequence[str], position: int) -> bool:
    before = words[position - 1] if position else ""
    after = words[position + 1] if position + 1 < len(words) else ""
    word = words[position]
    if after in _SAYS_SO_AFTER and word not in ("go", "d"):
        return True
    if word in _NEVER_BY_PREPOSITION or after in _NOT_AFTER_IN:
        return False
    return before in _SAYS_SO_BEFORE and (after == "" or word != "go")


def code_languages_differ(ours: frozenset[str], theirs: frozenset[str]) -> bool:
    """One-sided too, but for what is everywhere: a mention of SQL or HTML alone is no constraint."""
    our_extra, their_extra = ours - theirs, theirs - ours
    return bool((our_extra | their_extra) - _EVERYWHERE or (our_extra and their_extra))
