"""Which programming language: named in a text, else seen in the code.

Named: words and synonyms with word borders, so that "Javascript" is not Java and "Google" not Go.
Seen: a parser's word where Python has one (ast, json), else guesslang's with its probability. Two-line snippets are
hard for every detector; `seen` says how sure it is, and the caller decides.
"""

import ast
import difflib
import json
import re
import warnings

from codetune.cli import UserError
from codetune.text import guesslang

_IN = r"(?i:in|using|use|with|into|to|from|for|of)"
_THING = (
    r"(?:programs?|programming|code|functions?|scripts?|languages?|class(?:es)?|structs?|routines?|snippets?|"
    r"applications?|app|methods?|compiler|syntax|librar(?:y|ies)|package|module|server|service|interface|macro|"
    r"goroutines?|pointers?|headers?|source|solution|implementation|expression|statement|equivalent|version)"
)


def _one_letter(letter):
    """ "in C", "C program", "C/C++", but not "vitamin C", "C major" or the C of "C#", "C++", "Objective-C"."""
    alone = rf"(?<![\w#+.'/-])(?-i:{letter})(?![\w#+'’-]|\.\w)"
    return (
        rf"\b(?:in|using|use|with|into) (?:the |a |plain |ANSI |pure )?{alone}(?! (?:major|minor|section))"
        rf"|\b(?:convert|translate|port|rewrite)\b.* (?:to|from|of) {alone}"
        rf"|{alone}(?: programming)? {_THING}\b"
        rf"|{alone}(?=[,/] ?(?:C\+\+|Java|Python))"
        rf"|(?:C\+\+|Java|Python)(?:,|/| or| and) ?{alone}"
    )


# Language -> (lower-case words one of which a text must hold for the pattern to be tried, what names the language).
# `(?-i:...)` is case-sensitive; the rest is not.
NAMES = {
    "JavaScript": (
        ("java", "js", "node", "react", "vue", "es6", "ecmascript", "jquery"),
        r"\bjava[ -]?script\b|\becmascript\b|\bES6\b|\bjquery\b|\b(?:node|react|vue)(?:\.| )?js\b|\bjs\b"
        r"|\b(?-i:React|JSX|Vue)\b|\b(?:in|using) (?-i:Node)\b|\b(?-i:Node) (?:server|script|app)\b",
    ),
    "TypeScript": (
        ("type", "angular"),
        r"\btype ?script\b|\b(?-i:Angular)\b(?! (?:velocity|acceleration|momentum|distance))",
    ),
    "Java": (
        ("java",),
        r"(?<!island of )\b(?-i:Java|JAVA)\b(?! ?-?script| sea\b| island\b| sparrow\b)"
        r"|\b(?:in|using) java\b(?! ?-?script)|\bjava (?:program|class|method|code|function)\b",
    ),
    "Python": (
        ("python", "numpy", "pandas", "django", "flask", "pytorch", "matplotlib"),
        r"\bpython ?[23]?(?:\.\d+)?\b(?! snake)|\b(?:numpy|pandas|django|flask|pytorch|matplotlib)\b",
    ),
    "shell": (
        ("sh", "awk", "command"),
        r"\b(?:bash|zsh|ksh|(?<!power )shell(?! ?sort)|awk)\b|\b(?:unix|linux|terminal) commands?\b"
        r"|\bcommand[- ]line command\b",
    ),
    "PowerShell": (("power",), r"\bpower ?shell\b"),
    "C++": (("c++", "cpp"), r"\bc\+\+|\bcpp\b"),
    "C#": (("c#", "c #", "sharp", "asp"), r"\bc ?#|\bc[ -]sharp\b|\bASP\.NET\b"),
    "C": ((" c", "c ", "c,", "c/"), _one_letter("C")),
    "Objective-C": (("objective",), r"\bobjective[- ]c\b"),
    "HTML": (("html",), r"\bx?html ?5?\b"),
    "CSS": (("css", "sass", "style"), r"\bs?css ?3?\b|\bsass\b|\bstylesheet\b"),
    "SQL": (("sql", "postgres"), r"\b(?:my|t-|pl/)?sql\b|\bpostgres(?:ql)?\b|\bsqlite\b"),
    "JSON": (("json",), r"\bjson\b"),
    "XML": (("xml",), r"\bxml\b"),
    "YAML": (("yaml",), r"\byaml\b"),
    "Swift": (("swift",), r"\b(?-i:Swift)\b|\b(?:in|using) swift\b"),
    "Ruby": (
        ("ruby",),
        r"\b(?-i:Ruby)\b|\bin ruby\b|\bruby (?:on rails|program|code|script|function|method|class)\b",
    ),
    "PHP": (("php", "laravel"), r"\bphp ?[578]?\b|\blaravel\b"),
    "Go": (
        ("go",),
        rf"\bgo ?lang\b|(?-i:\b{_IN} (?:the )?Go\b(?! (?:to|back|on|ahead|through)\b)|\bGo {_THING}\b)",
    ),
    "Kotlin": (("kotlin",), r"\bkotlin\b"),
    "R": ((" r", "r "), _one_letter("R")),
    "Matlab": (("matlab",), r"\bmatlab\b"),
    "Scala": (("scala",), r"\bscala\b"),
    "Haskell": (("haskell",), r"\bhaskell\b"),
    "Perl": (("perl",), r"\bperl\b"),
    "Rust": (("rust",), rf"\b(?-i:Rust)\b|\b(?:in|using) rust\b|\brust {_THING}\b"),
    "Julia": (("julia",), rf"(?-i:\b{_IN} Julia\b|\bJulia {_THING}\b)"),
    "Lua": (("lua",), r"\blua\b"),
    "Dart": (("dart", "flutter"), rf"(?-i:\b{_IN} Dart\b|\bDart {_THING}\b)|\bflutter\b"),
    "Elixir": (("elixir",), rf"(?-i:\b{_IN} Elixir\b|\bElixir {_THING}\b)"),
    "Erlang": (("erlang",), r"\berlang\b"),
    "Clojure": (("clojure",), r"\bclojure\b"),
    "Lisp": (("lisp", "scheme"), r"\b(?:common )?lisp\b|\bscheme (?:program|function|code)\b"),
    "Prolog": (("prolog",), r"\bprolog\b"),
    "Fortran": (("fortran",), r"\bfortran\b"),
    "COBOL": (("cobol",), r"\bcobol\b"),
    "Pascal": (("pascal", "delphi"), rf"(?-i:\b{_IN} Pascal\b(?!['’]s))|\bPascal {_THING}\b|\bdelphi\b"),
    "Groovy": (("groovy",), rf"(?-i:\b{_IN} Groovy\b|\bGroovy {_THING}\b)"),
    "Visual Basic": (("visual", "vb"), r"\bvisual basic\b|\bvb(?:\.net|a)\b"),
    "Assembly": (
        ("assembly",),
        r"\bassembly (?:language|code|program|instructions?)\b|\b(?:x86|arm|mips) assembly\b|\bin assembly\b",
    ),
    "Dockerfile": (("dockerfile",), r"\bdockerfile\b"),
    "Makefile": (("makefile",), r"\bmakefile\b"),
    "TeX": (("tex",), r"\b(?-i:LaTeX|TeX)\b"),
    "Markdown": (("markdown",), r"\bmarkdown\b"),
}
_NAMES = {language: (cues, re.compile(pattern, re.IGNORECASE)) for language, (cues, pattern) in NAMES.items()}

# Formats and databases that code in another language reads and writes: "parse JSON in Python" asks for Python.
FORMATS = ("SQL", "JSON", "XML", "YAML", "HTML", "CSS", "Markdown")

SPELLINGS = {
    "js": "JavaScript", "node": "JavaScript", "jsx": "JavaScript", "ts": "TypeScript", "py": "Python", "bash": "shell",
    "sh": "shell", "zsh": "shell", "golang": "Go", "cpp": "C++", "csharp": "C#", "objectivec": "Objective-C",
    "postgres": "SQL", "mysql": "SQL", "rs": "Rust", "rb": "Ruby", "latex": "TeX", "vb": "Visual Basic",
}  # fmt: skip

# guesslang's own names where they differ from ours
GUESSLANG_NAMES = {"Shell": "shell", "Batchfile": "shell", "Powershell": "PowerShell"}

TOLD = 0.7  # what a telltale counts as
SURE = 0.3  # guesslang's probability from which its word is taken, see bench/languages.py
FENCE = re.compile(r"^```([\w+#-]*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTHON_STATEMENTS = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.For, ast.While, ast.With,
    ast.Try, ast.If,
)  # fmt: skip


PYTHON_CALLS = ("range", "enumerate", "sorted", "isinstance", "zip", "len", "str", "dict")
# Snippets too short for guesslang that no other language writes so; the first that fits wins.
TELLTALES = {
    "SQL": re.compile(
        r"\s*(?:SELECT\s.+\sFROM\s|INSERT INTO\s|UPDATE\s.+\sSET\s|DELETE FROM\s|CREATE TABLE\s)", re.I | re.S
    ),
    "JavaScript": re.compile(
        r"\bconsole\.log\(|^\s*(?:const|let|var) \w+ = |^\s*(?:async )?function \w*\([^)]*\) ?\{|\) => [{(\w]|\w === "
        r"|\bdocument\.get",
        re.MULTILINE,
    ),
    "Java": re.compile(r"\bSystem\.out\.print|\bpublic (?:static|class) "),
}
PYTHON_EXPRESSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda, ast.JoinedStr)


def canonical(name):
    """ "golang" -> "Go", "javascript" -> "JavaScript". Raises UserError with the nearest known name."""
    known = {language.lower(): language for language in NAMES}
    plain = name.strip().lower()
    found = known.get(plain) or SPELLINGS.get(plain.replace(".js", "").replace("-", ""))
    if found is None:
        near = difflib.get_close_matches(plain, [*known, *SPELLINGS], n=1)
        meant = known.get(near[0]) or SPELLINGS[near[0]] if near else None
        hint = f"did you mean {meant}?" if meant else f"known are {', '.join(NAMES)}"
        raise UserError(f"unknown language {name!r}; {hint}")
    return found


def named(text):
    """The languages that a text names, in the order of NAMES; formats only where no other language is named.

    "Convert this Python to golang" -> ["Python", "Go"];  "Connect to MySQL from PHP" -> ["PHP"]
    """
    lower = text.lower()
    found = [
        language
        for language, (cues, pattern) in _NAMES.items()
        if any(cue in lower for cue in cues) and pattern.search(text)
    ]
    return [language for language in found if language not in FORMATS] or found


def fenced(text):
    """ "Here:\\n```js\\nf()\\n```" -> ("JavaScript", "f()\\n"); without a fence (None, text)"""
    fence = FENCE.search(text)
    if fence is None:
        return None, text
    try:
        return canonical(fence[1]), fence[2]
    except UserError:
        return None, fence[2]


def holds_objects(value):
    """An object, or a list of them; a bare [3, 5, 7] is any language's."""
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def parsed(text):
    """The language whose parser in Python's standard library accepts the text and finds something telling, or None.

    Python needs something that other languages do not share: `x = 1` alone is also Ruby, Julia and shell.
    """
    if text.lstrip()[:1] in ("{", "["):
        try:
            if holds_objects(json.loads(text)):
                return "JSON"
        except (ValueError, RecursionError):
            pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's code
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    told = any(isinstance(node, PYTHON_STATEMENTS) for node in tree.body)
    return "Python" if told or any(map(is_python, ast.walk(tree))) else None


def is_python(node):
    """A comprehension, a lambda, an f-string, or a call of a built-in that few other languages have by that name."""
    called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
    return isinstance(node, PYTHON_EXPRESSIONS) or called in PYTHON_CALLS


def told(text):
    return next((language for language, pattern in TELLTALES.items() if pattern.search(text)), None)


def seen(texts):
    """[(language, probability)] for each text: a parser's or fence's word is 1.0, a blank text (None, 0.0)."""
    said, texts = zip(*map(fenced, texts), strict=True) if texts else ((), ())
    words = [word or parsed(text) for word, text in zip(said, texts, strict=True)]
    unsure = [index for index, word in enumerate(words) if word is None and texts[index].strip()]
    answers = [(word, 1.0 if word else 0.0) for word in words]
    if unsure:
        rows = guesslang.probabilities([texts[index] for index in unsure])
        best = rows.argmax(axis=1)
        for index, label, row in zip(unsure, best, rows, strict=True):
            name = guesslang.languages()[label]
            answers[index] = (GUESSLANG_NAMES.get(name, name), float(row[label]))
            if row[label] < SURE and told(texts[index]):
                answers[index] = (told(texts[index]), TOLD)
    return answers
