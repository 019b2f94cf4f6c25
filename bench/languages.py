"""How many texts a second guesslang's model in NumPy tells apart, one by one and in batches, on one core.

python bench/languages.py          # real Code Alpaca outputs in $CODETUNE_DATA, else the sample's
"""

import json
import os
import platform
import sys
import time
from pathlib import Path

# One core; before NumPy is imported
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy  # noqa: E402

from codetune.text import guesslang, languages  # noqa: E402

REPEATS = 5


def texts():
    """-> (name of the set, its texts)"""
    data = Path(os.environ.get("CODETUNE_DATA") or ROOT.parent / "shared" / "data") / "code_alpaca_20k.json"
    path = data if data.is_file() else ROOT / "data" / "sample.json"
    return path.name, [row["output"] for row in json.loads(path.read_text(encoding="utf-8"))]


def rate(function, items):
    """The best of some runs, in items per second: other work on the machine only ever slows one down."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        function(items)
        seconds.append(time.perf_counter() - started)
    return len(items) / min(seconds)


def main():
    name, outputs = texts()
    guesslang.probabilities(outputs[:1])  # the weights are read once
    some = outputs[:2000]
    rates = {
        "one by one": rate(lambda items: [guesslang.probabilities([text]) for text in items], some),
        "batched": rate(guesslang.probabilities, outputs),
        "batched, with names": rate(guesslang.names, outputs),
        "parsers, then guesslang (strict)": rate(languages.seen, outputs),
    }
    mean = sum(map(len, outputs)) / len(outputs)
    print(f"{len(outputs):,} texts of {name}, {mean:.0f} characters on average, one core, best of {REPEATS}")
    for way, found in rates.items():
        print(f"  {way:<34} {found:>10,.0f} texts/s")
    versions = {"python": platform.python_version(), "numpy": numpy.__version__, "machine": platform.machine()}
    print(json.dumps({"bench": "languages", "texts": len(outputs), "texts_per_second": rates, **versions}))


if __name__ == "__main__":
    main()
