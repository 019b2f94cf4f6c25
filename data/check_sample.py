"""Check data/sample.json: the shape of its rows, and that the code in its answers holds up.

Usage: python data/check_sample.py

Python answers are run, most of them followed by the assertions in CHECKS. JavaScript, shell and C answers
are only parsed, where node, bash and gcc are installed. Other languages are counted, not checked.
The rows in BAD_ON_PURPOSE and REPEATED are there for the row filter to find; the former are not run.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SAMPLE = Path(__file__).with_name("sample.json")
KEYS = {"instruction", "input", "output"}
TIMEOUT_SECONDS = 10

LANGUAGES = {
    "Python": r"\bpython",
    "JavaScript": r"\bjavascript\b|\bnode\.js",
    "TypeScript": r"\btypescript\b",
    "SQL": r"sql\b|\bsqlite\b|\bpostgres\b",
    "shell": r"\b(bash|shell)\b",
    "Java": r"\bjava\b",
    "C": r"\bc\b(?!\+)",
    "C++": r"\bc\+\+",
    "Go": r"\bgolang\b",
    "PHP": r"\bphp\b",
    "HTML": r"\bhtml\b",
    "CSS": r"\bcss\b",
}

# The file that a tool reads, and the command that parses it.
PARSERS = {
    "JavaScript": ("answer.js", ["node", "--check"]),
    "shell": ("answer.sh", ["bash", "-n"]),
    "C": ("answer.c", ["gcc", "-fsyntax-only"]),
}

# Code that follows the answer to an instruction when the answer is run.
CHECKS = {
    "Write a Python function that adds two numbers.": "assert add(2, 3) == 5",
    "Write a Python function that counts how many vowels a string contains.": 'assert count_vowels("Education") == 5 and count_vowels("sky") == 0',
    "In Python, check whether a phrase is a palindrome, ignoring spaces and punctuation.": 'assert is_palindrome("Never odd, or even!") and not is_palindrome("palindrome")',
    "Turn a blog post title into a URL slug with Python.": 'assert slugify("  Ten Tips: Faster Tests! ") == "ten-tips-faster-tests"',
    "Implement a Caesar cipher in Python that shifts only letters and keeps their case.": 'assert caesar("Xyz, abc!", 3) == "Abc, def!" and caesar(caesar("Hello", 7), -7) == "Hello"',
    'Give me a Python function for run-length encoding, so that "aaab" becomes "a3b1".': 'assert run_length_encode("aaab") == "a3b1" and run_length_encode("") == ""',
    "Python code to find the longest common prefix of a list of words, please.": 'assert common_prefix(["interview", "internet", "interval"]) == "inter"',
    "How do I test in Python whether two words are anagrams of each other?": 'assert are_anagrams("Listen", "Silent") and not are_anagrams("aab", "abb")',
    "Write a Python function that hides all but the last four digits of a card number.": 'assert mask_card("4000123412345678") == "************5678"',
    "Convert camelCase names to snake_case using Python.": 'assert camel_to_snake("totalItemCount") == "total_item_count"',
    "Using Python, find the first character in a string that occurs exactly once.": 'assert first_unique("swiss") == "w" and first_unique("aabb") is None',
    "Reverse the order of the words in a sentence with one line of Python.": 'assert reverse_words("keep it simple") == "simple it keep"',
    'Remove accents from a string in Python, so that "café" becomes "cafe".': 'assert strip_accents("caf\\u00e9 na\\u00efve") == "cafe naive"',
    "Write a Python function to split a list into chunks of a given size.": "assert chunk([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]",
    "Rotate a Python list to the right by k places without changing the original.": "assert rotate([1, 2, 3, 4], 1) == [4, 1, 2, 3] and rotate([1, 2], 0) == [1, 2]",
    "Compute a simple moving average over a list of readings in Python.": "assert moving_average([2, 4, 6, 8], 2) == [3.0, 5.0, 7.0]",
    "Find the second largest distinct value of a list with Python.": "assert second_largest([7, 3, 9, 9, 8]) == 8",
    "Remove the duplicates from this Python list but keep the first occurrence of each item.": "assert unique == [3, 1, 2, 5]",
    "Transpose the following matrix in Python.": "assert transposed == [[1, 4], [2, 5], [3, 6]]",
    "Create a Python function that splits a list in two: items that satisfy a predicate and items that don't.": 'assert partition(str.isdigit, ["1", "a", "2"]) == (["1", "2"], ["a"])',
    "Merge two sorted lists into one sorted list in Python, without calling sorted().": "assert merge_sorted([1, 4, 9], [2, 4, 5]) == [1, 2, 4, 4, 5, 9]",
    "Implement binary search over a sorted list in Python. Return -1 when the target is missing.": "assert [binary_search([1, 3, 5, 7], n) for n in (1, 7, 4)] == [0, 3, -1]",
    "Given a list of integers and a goal, find the indices of two entries that sum to the goal, in Python.": "assert find_pair([8, 3, 5, 1], 6) == (2, 3) and find_pair([1, 2], 9) is None",
    "Calculate the median of this data set in Python.": "assert median(data) == 10.5",
    "Show how to swap the keys and values of a dictionary in Python.": 'assert invert({"red": 1, "green": 2}) == {1: "red", 2: "green"}',
    "Group a list of words by their first letter using a Python defaultdict.": 'assert group_by_initial(["apple", "Ant", "bee"]) == {"a": ["apple", "Ant"], "b": ["bee"]}',
    'In Python, safely read a value from nested dictionaries given a dotted path like "user.address.city".': 'assert get_path({"user": {"address": {"city": "Oslo"}}}, "user.address.city") == "Oslo"\n'
    'assert get_path({"user": 3}, "user.name", "?") == "?"',
    "Sort this dictionary by value, highest first, in Python.": 'assert list(ranked) == ["plums", "figs", "pears"]',
    "Write a Python function listing the n most common words in a text.": 'assert top_words("The cat saw the dog. The dog ran.", 2) == ["the", "dog"]',
    "Recursively merge one Python dictionary into another, combining nested dictionaries.": 'assert deep_merge({"a": {"x": 1}}, {"a": {"y": 2}, "b": 3}) == {"a": {"x": 1, "y": 2}, "b": 3}',
    "Count the lines of a text file in Python without loading the whole file into memory.": 'open("poem.txt", "w").write("one\\ntwo\\nthree\\n")\n'
    'assert count_lines("poem.txt") == 3',
    "Load a CSV file into a list of dictionaries with Python.": 'open("people.csv", "w").write("name,age\\nAda,36\\n")\n'
    'assert load_rows("people.csv") == [{"name": "Ada", "age": "36"}]',
    "Save a Python object to disk as indented JSON.": 'save_json({"a": [1]}, "out.json")\n'
    'assert json.loads(Path("out.json").read_text()) == {"a": [1]}',
    "Use Python's pathlib to list every .txt file below a folder.": 'Path("deep/er").mkdir(parents=True); Path("deep/er/a.txt").touch(); Path("deep/b.md").touch()\n'
    'assert text_files("deep") == [Path("deep/er/a.txt")]',
    "I need a Python function that returns the SHA-256 checksum of a file, reading it in blocks.": 'open("blob", "wb").write(b"abc" * 50000)\n'
    'assert file_checksum("blob", 1000) == hashlib.sha256(b"abc" * 50000).hexdigest()',
    "Append a timestamped message to a log file in Python.": 'log_message("app.log", "started"); log_message("app.log", "stopped")\n'
    'assert open("app.log").read().count("\\n") == 2',
    "Return the last n lines of a file with Python and collections.deque.": 'open("log.txt", "w").write("a\\nb\\nc\\n")\n'
    'assert tail("log.txt", 2) == ["b", "c"]',
    "How many days lie between 2023-11-20 and 2024-03-05? Answer with Python.": "assert (end - start).days == 106",
    "Write a Python function that tells whether a year is a leap year.": "assert [y for y in (1900, 2000, 2023, 2024) if is_leap_year(y)] == [2000, 2024]",
    "Find the date of the next Monday after a given day in Python.": "assert next_monday(date(2024, 5, 1)) == date(2024, 5, 6)\n"
    "assert next_monday(date(2024, 5, 6)) == date(2024, 5, 13)",
    "Calculate a person's age in whole years from the birth date, in Python.": "from datetime import date\n"
    "assert age_on(date(2000, 6, 15), date(2024, 6, 14)) == 23\n"
    "assert age_on(date(2000, 6, 15), date(2024, 6, 15)) == 24",
    "Python: get the last day of a month, given the year and the month number.": "assert last_day(2024, 2) == 29 and last_day(2023, 4) == 30",
    "Format a number of seconds as HH:MM:SS using Python.": 'assert format_duration(3725) == "01:02:05"',
    "Write a recursive factorial function in Python that rejects negative input.": "assert factorial(0) == 1 and factorial(6) == 720",
    "Speed up a recursive Fibonacci function in Python by caching its results.": "assert fibonacci(50) == 12586269025",
    "Solve the Towers of Hanoi in Python and return the list of moves.": 'assert len(hanoi(5)) == 31 and hanoi(2) == [("A", "B"), ("A", "C"), ("B", "C")]',
    "Generate the power set of a collection in Python.": 'assert power_set("ab") == [(), ("a",), ("b",), ("a", "b")]',
    "Flatten an arbitrarily nested list with a recursive Python generator.": "assert list(flatten([1, [2, [3, []], 4]])) == [1, 2, 3, 4]",
    "Write Euclid's algorithm for the greatest common divisor in Python.": "assert gcd(84, 36) == 12 and gcd(-4, 6) == 2",
    "Write insertion sort in Python, sorting the list in place.": "numbers = [5, 2, 9, 1, 2]; insertion_sort(numbers)\n"
    "assert numbers == [1, 2, 2, 5, 9]",
    "Implement quicksort in Python in a short, readable way.": "assert quicksort([3, 6, 1, 3, 0]) == [0, 1, 3, 3, 6]",
    "Sort a list of employees by department and then by salary in descending order. Use Python.": 'assert [person[0] for person in employees] == ["Leo", "Zoe", "Mia"]',
    "Define a Python class for a stack with push, pop and peek methods.": "stack = Stack(); stack.push(1); stack.push(2)\n"
    "assert stack.peek() == 2 and stack.pop() == 2 and stack.pop() == 1",
    "Design a BankAccount class in Python that refuses to be overdrawn.": "account = BankAccount(10); account.deposit(5); account.withdraw(12)\n"
    "assert account.balance == 3",
    "Create a Python dataclass for a 2D point with a method that returns the distance to another point.": "assert Point(0, 0).distance_to(Point(3, 4)) == 5",
    "Write a Rectangle class in Python whose area is a read-only property.": "assert Rectangle(3, 4).area == 12",
    "Overload the + operator for a small Vector class in Python.": 'assert repr(Vector(1, 2) + Vector(3, 4)) == "Vector(4, 6)"',
    "Write a context manager in Python that prints how long its block took.": 'with timer("nothing"): pass',
    "Make a Python class whose instances count down when iterated over.": "assert list(Countdown(4)) == [4, 3, 2, 1]",
    "Show an abstract base class in Python with one concrete subclass.": "assert UnitSquare().area() == 1\n"
    "try: Shape()\n"
    "except TypeError: pass\n"
    "else: assert False",
    "Extract all e-mail addresses from a piece of text with a Python regular expression.": 'assert find_emails("Ask a.b@example.org or c@d.co.uk.") == ["a.b@example.org", "c@d.co.uk"]',
    "Validate a password in Python: at least eight characters, one digit and one upper-case letter.": 'assert is_strong("Sunflower7") and not is_strong("sunflower7") and not is_strong("Sun7")',
    "Use Python's re module to rewrite dates from MM/DD/YYYY to YYYY-MM-DD inside a text.": 'assert result == "The lease starts 2024-04-01 and ends 2025-03-31."',
    "Parse this JSON string in Python and print the names of the active users.": 'assert active == ["Iris"]',
    "Write a Python decorator that retries a function up to three times when it raises an exception.": "calls = []\n"
    "flaky = retry(lambda: (calls.append(1), 1 / (len(calls) // 3))[1])\n"
    "assert flaky() == 1.0 and len(calls) == 3",
    "Write a Python generator that yields prime numbers forever.": "from itertools import islice\n"
    "assert list(islice(primes(), 6)) == [2, 3, 5, 7, 11, 13]",
    "Sieve of Eratosthenes in Python, returning all primes up to a limit.": "assert sieve(30) == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29] and sieve(2) == [2]",
    "Apply a function to many items in parallel with a Python thread pool.": "assert parallel_map(abs, [-1, 2, -3]) == [1, 2, 3]",
    "Keep the n smallest elements of an iterable with Python's heapq.": "assert smallest([42, 7, 19, 3, 25], 2) == [3, 7]",
    "Insert a score into an already sorted Python list so that it stays sorted.": "assert scores == [55, 68, 70, 74, 91]",
    "Build a command line parser in Python with a file argument and a --verbose flag.": 'options = build_parser().parse_args(["notes.txt", "--verbose"])\n'
    'assert options.file == "notes.txt" and options.verbose',
    "Pull the query parameters out of a URL with Python's standard library.": 'assert parameters == {"q": ["tea pot"], "page": ["2"]}',
    "Generate a random password of a chosen length in Python, suitable for real accounts.": "assert len(random_password(20)) == 20 and random_password() != random_password()",
    "Shuffle a deck of cards and deal five of them in Python.": "assert len(set(hand) | set(deck)) == 52 and len(hand) == 5",
    "Add money amounts without rounding errors in Python.": 'assert str(total) == "20.29"',
    "Pack several files into one zip archive using Python.": 'Path("a.txt").write_text("a"); Path("b.txt").write_text("b"); make_archive("x.zip", ["a.txt", "b.txt"])\n'
    'assert ZipFile("x.zip").namelist() == ["a.txt", "b.txt"]',
    "Use sqlite3 in Python to run a parameterised SQL query against an in-memory database.": 'assert large == ["Bergen"]',
    "Escape user text before placing it in an HTML page, in Python.": 'assert render_comment("Al", "<3 & more") == "<p><b>Al</b>: &lt;3 &amp; more</p>"',
    "Unpack a binary header of two unsigned 16-bit little-endian integers in Python.": 'assert read_header(b"\\x80\\x02\\xe0\\x01rest") == (640, 480)',
    "Write a unittest test case in Python for a function that doubles a number.": "result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(DoubleTest))\n"
    "assert result.testsRun == 2 and result.wasSuccessful()",
    "Define an exception of your own in Python and raise it when a temperature is below absolute zero.": "assert check_celsius(20) == 20\n"
    "try: check_celsius(-300)\n"
    "except TemperatureError: pass\n"
    "else: assert False",
    "Convert a list of Celsius temperatures to Fahrenheit with a Python list comprehension.": "assert [round(degrees, 1) for degrees in fahrenheit] == [-40, 32, 70.7, 212]",
    "This Python function has a mutable default argument. Fix it.": "assert add_item(1) == [1] and add_item(2) == [2]",
    "Fix the off-by-one error in this Python code so that it prints the numbers 1 to 10.": "assert i == 10",
    "Find and fix the bug in this Python code.": "assert average([2, 4, 9]) == 5",
    "Rewrite this Python loop as a list comprehension.": "assert squares[:3] == [0, 4, 16] and len(squares) == 10",
    "Explain in a comment what this line of Python does, and keep the line.": 'assert pairs == [("a", 1), ("b", 2), ("c", 3)]',
    "Add type hints to this Python function.": 'assert repeat("hi", 2) == ["hi", "hi"] and repeat.__annotations__["times"] is int',
    "Write a docstring with an example for this Python function.": "import doctest\n"
    "assert doctest.testmod().attempted == 1 and clamp(-3, 0, 10) == 0",
    "Replace this chain of if statements with a dictionary lookup in Python.": 'assert season("July") == "summer" and season("May") == "unknown"',
    "Make this Python code close its file even when an error occurs.": 'open("two.txt", "w").write("top\\nbottom\\n")\n'
    'assert first_line("two.txt") == "top\\n"',
    "Write a Python function that returns the n-th row of Pascal's triangle.": "assert pascal_row(4) == [1, 4, 6, 4, 1]",
    "Multiply two matrices in plain Python, without numpy.": "assert multiply([[1, 2], [3, 4]], [[0, 1], [1, 0]]) == [[2, 1], [4, 3]]",
    "Check in Python whether the brackets in an expression are balanced.": 'assert is_balanced("f(a[0], {b})") and not is_balanced("(]") and not is_balanced("((")',
    "Convert an integer between 1 and 3999 to a Roman numeral in Python.": 'assert to_roman(1994) == "MCMXCIV" and to_roman(3888) == "MMMDCCCLXXXVIII"',
    "Breadth-first search in Python: return the shortest path between two nodes of a graph.": 'graph = {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": ["e"], "e": []}\n'
    'assert shortest_path(graph, "a", "e") == ["a", "b", "d", "e"]',
    "Traverse a binary tree in order in Python. Nodes are tuples (left, value, right) or None.": "assert in_order(((None, 1, None), 2, (None, 3, None))) == [1, 2, 3]",
    "Write a Python enum for traffic lights with a method that returns the next light.": "assert Light.RED.next() is Light.GREEN and Light.GREEN.next() is Light.YELLOW",
    "Fill a text template with values in Python, using string.Template.": 'assert letter.substitute(name="X", number=1) == "Dear X, your order 1 has shipped."',
    "Write a small Python class that behaves like a queue with a maximum length and drops the oldest entry.": "recent = RecentItems(2); [recent.add(n) for n in (1, 2, 3)]\n"
    "assert recent.all() == [2, 3]",
    "In Python, how can I tell whether a string can be converted to a float?": 'assert is_float("-2.5e3") and not is_float("two")',
    "Read settings from an INI file using Python's configparser.": 'open("app.ini", "w").write("[server]\\nport = 9000\\n")\n'
    'assert read_port("app.ini") == 9000 and read_port("missing.ini") == 8080',
    "Which elements do two Python lists have in common? Show the code.": "assert common == [4, 9]",
    "Write a function that returns the largest of three numbers without using max.": "assert largest(1, 9, 4) == 9 and largest(-1, -9, -4) == -1",
    "Count how often each letter appears in a word.": 'assert letter_counts("noon") == {"n": 2, "o": 2}',
    "Square every number in the list and add up the results.": "assert total == 30",
    "Check whether a number is prime.": "assert [n for n in range(20) if is_prime(n)] == [2, 3, 5, 7, 11, 13, 17, 19]",
    "Create a function that removes every item with a falsy value from a list.": 'assert compact([0, "a", "", None, 3]) == ["a", 3]',
    "Estimate pi by throwing random darts at a square.": "assert 2.8 < estimate_pi(20000) < 3.5",
    "Compute the number of ways to climb n stairs taking one or two steps at a time.": "assert [climb(n) for n in range(6)] == [1, 1, 2, 3, 5, 8]",
    "Given a list of dictionaries with price and quantity, calculate the total cost.": "assert total_cost(order) == 20",
    "Make a class that represents a dog with a name and a method that barks.": 'assert Dog("Rex").bark() == "Rex says woof!"',
    'Convert a binary string such as "1011" to a decimal number by hand, without a library call.': 'assert binary_to_decimal("1011") == 11 and binary_to_decimal("0") == 0',
    "Sort the following words by length, and alphabetically where the length is equal.": 'assert words == ["fig", "kiwi", "plum", "apple", "banana"]',
    "Find all numbers below 1000 that equal the sum of the cubes of their digits.": "assert [n for n in range(2, 1000) if is_cube_sum(n)] == [153, 370, 371, 407]",
    "Simulate rolling two dice 1000 times and count each total.": "assert sum(totals.values()) == 1000 and set(totals) <= set(range(2, 13))",
    "Write a function that says how many of each coin to hand back as change for an amount in cents.": "assert change(88) == {50: 1, 20: 1, 10: 1, 5: 1, 2: 1, 1: 1} and change(0) == {}",
    "Determine whether three side lengths can form a triangle.": "assert is_triangle(3, 4, 5) and not is_triangle(1, 2, 3)",
    "Generate all permutations of a short string.": 'assert permutations("abc") == ["abc", "acb", "bac", "bca", "cab", "cba"]',
    "Play one round of rock, paper, scissors between two given moves and name the winner.": 'assert winner("rock", "paper") == "second" and winner("paper", "rock") == "first"',
    "Define a function that capitalises the first letter of each sentence.": 'assert capitalise_sentences("it rains. we stay in! why not?") == "It rains. We stay in! Why not?"',
    "Find the longest word in the sentence.": 'assert longest == "misunderstand"',
    "Merge overlapping intervals, for example [(1, 4), (3, 6), (8, 9)].": "assert merge_intervals([(8, 9), (1, 4), (3, 6)]) == [(1, 6), (8, 9)]",
    "Create a function that takes any number of values and returns their average, or zero if there are none.": "assert average(1, 2, 6) == 3 and average() == 0",
    "Return the length of the longest run of equal items in a list.": "assert longest_run([1, 1, 2, 2, 2, 3]) == 3 and longest_run([]) == 0",
    "Count the islands in a grid where 1 is land and 0 is water.": "assert count_islands([[1, 1, 0], [0, 0, 1], [1, 0, 1]]) == 3",
}

BAD_ON_PURPOSE = (
    "Write a Python function that draws a bar chart with text characters.",
    "Write a JavaScript function that finds the closest colour name for a hex code.",
    "In SQL, list all suppliers that deliver to more than one country.",
    "Write a Python program that predicts next week's lottery numbers.",
    "Write a SQL query for the table shown in the attached picture.",
    "Tell me in Java what you would do on a day off.",
    "Open the file report.txt on my computer with bash and summarise it.",
    "Write a short poem about the first snow of the year.",
    "Give me a simple recipe for pancakes.",
    "What is the capital of Portugal?",
    "Name three ways to fall asleep more easily.",
    "Write a thank-you note to a neighbour who watered the plants.",
    "Google the opening hours of the nearest library.",
    "Is this a Good opening sentence for a letter of complaint?",
    "Describe the island of Java's climate.",
    "Write a function that checks whether two rectangles overlap.",
    "How would you sort a very large file that does not fit into memory?",
    "Write a Python function that returns the initials of a full name.",
)

REPEATED = (
    "Write a Python function that tells whether a year is a leap year.",
    "Write a debounce helper in JavaScript.",
    "SQL query: which departments have more than five employees?",
    "Find the longest word in the sentence.",
)


def main():
    rows = json.loads(SAMPLE.read_text(encoding="utf-8"))
    problems = [f"row {number}: not three strings" for number, row in enumerate(rows) if not is_well_formed(row)]
    if not problems:
        problems = list_problems(rows) + answer_problems(rows)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def is_well_formed(row):
    return isinstance(row, dict) and set(row) == KEYS and all(isinstance(value, str) for value in row.values())


def list_problems(rows):
    """Compare the lists in this script with the instructions in the sample."""
    counts = Counter(row["instruction"] for row in rows)
    listed = [*CHECKS, *BAD_ON_PURPOSE, *REPEATED]
    problems = [f"not in the sample: {instruction}" for instruction in listed if instruction not in counts]
    for instruction, count in counts.items():
        if count != (2 if instruction in REPEATED else 1):
            problems.append(f"occurs {count} times: {instruction}")
    if len({tuple(row[key] for key in sorted(KEYS)) for row in rows}) != len(counts):
        problems.append("rows with the same instruction differ")
    return problems


def answer_problems(rows):
    """Check every answer that should be good, print the totals, and return what failed."""
    bad = [row for row in rows if row["instruction"] in BAD_ON_PURPOSE]
    good = [row for row in rows if row not in bad]
    languages = [language_of(row) for row in good]
    with ThreadPoolExecutor(max_workers=2) as pool:
        errors = list(pool.map(check_answer, good, languages))
    print_totals(good, languages)
    print(f"bad on purpose: {len(bad)} rows, and {len(REPEATED)} rows that repeat another")
    return [
        f"{language}: {row['instruction']}: {error}"
        for row, language, error in zip(good, languages, errors, strict=True)
        if error
    ]


def language_of(row):
    """The one language that a row is about, or "several", or "unnamed"."""
    named = [name for name, pattern in LANGUAGES.items() if re.search(pattern, row["instruction"], re.IGNORECASE)]
    if (not named or "Python" in named) and is_python(row["output"]):
        return "Python"
    if len(named) == 1:
        return named[0]
    return "several" if named else "unnamed"


def is_python(code):
    """Whether the text parses, and does something that plain words would not."""
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError):
        return False
    telling = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign)
    return any(isinstance(node, telling) or getattr(node, "id", "") == "print" for node in nodes)


def check_answer(row, language):
    """Run or parse one answer; the result is what went wrong, empty when nothing did."""
    if language == "Python":
        code = row["output"] + "\n" + CHECKS.get(row["instruction"], "")
        return run([sys.executable, "-I", "-c", code])
    if not has_parser(language):
        return ""
    name, (tool, option) = PARSERS[language]
    return run([shutil.which(tool), option, name], name, row["output"] + "\n")


def has_parser(language):
    return language in PARSERS and shutil.which(PARSERS[language][1][0]) is not None


def run(command, name=None, text=""):
    """Run a command in a folder of its own, which holds the text as a file if a name is given."""
    with tempfile.TemporaryDirectory() as folder:
        if name:
            Path(folder, name).write_text(text, encoding="utf-8")
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env={},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return f"took longer than {TIMEOUT_SECONDS} s"
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit status {done.returncode}"


def print_totals(rows, languages):
    asserted = sum(row["instruction"] in CHECKS for row in rows)
    for language, count in Counter(languages).most_common():
        how = "not checked"
        if language == "Python":
            how = f"all run, {asserted} with assertions"
        elif has_parser(language):
            how = "all parsed"
        print(f"{language}: {count} rows, {how}")


if __name__ == "__main__":
    sys.exit(main())
