"""llama.cpp in this process, through the xllamacpp wheel: a GGUF answers over HTTP on a port of 127.0.0.1."""

import importlib.util
import json
import os
import urllib.error
import urllib.request
from pathlib import Path

from codetune.cli import UserError


class LlamaCpp:
    """with LlamaCpp("model.gguf") as server: server.complete([1, 2, 3], 16)"""

    def __init__(self, path, context: int = 2048, exact: bool = False):
        """exact: keys and values in 32 bits and no flash attention, to compare numbers; llama.cpp's default is 16."""
        if importlib.util.find_spec("xllamacpp") is None:
            raise UserError("running a GGUF needs llama.cpp: pip install xllamacpp")
        if not Path(path).is_file():
            raise UserError(f"no GGUF file {path}")
        self.path, self.context, self.exact = str(path), context, exact

    def __enter__(self):
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = self.path
        parameters.n_ctx, parameters.n_parallel = self.context, 1
        parameters.cpuparams.n_threads = os.cpu_count() or 1
        parameters.hostnames, parameters.port = ["127.0.0.1"], 0
        parameters.warmup, parameters.verbosity = False, 0
        if self.exact:
            parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
            parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        try:
            self.server = xllamacpp.Server(parameters)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"llama.cpp does not load {self.path}: {error}") from None
        return self

    def __exit__(self, *_):
        del self.server

    def post(self, route: str, **fields):
        request = urllib.request.Request(
            self.server.listening_address + route,
            json.dumps(fields).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=600) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise UserError(f"llama.cpp refuses {route}: {error.read().decode(errors='replace')[:300]}") from None

    def tokenize(self, text: str) -> list[int]:
        """Ids of a text alone: no begin token, special tokens not read out of the text."""
        return self.post("/tokenize", content=text, add_special=False, parse_special=False)["tokens"]

    def complete(self, ids: list[int], n_predict: int, probabilities: int = 0) -> dict:
        """Greedy: {"tokens": [...], "content": ..., and, asked for, "completion_probabilities": [...]}"""
        return self.post(
            "/completion",
            prompt=ids,
            n_predict=n_predict,
            temperature=0.0,
            samplers=["temperature"],
            cache_prompt=False,
            return_tokens=True,
            n_probs=probabilities,
        )
