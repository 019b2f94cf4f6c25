"""Ask a fine-tuned model once in the terminal, or open its page."""

import sys
import time
from typing import Literal

from codetune import cli

ALIASES = {
    "model_path": "base_model",
    "model_name_or_path": "base_model",
    "prompt_template_name": "prompt_template",
    "share": "share_gradio",
    "load_8bit": {True: ("bits", "8"), False: ("bits", "16")},
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def generate(
    base_model: str | None = None,
    lora_weights: str | None = None,
    instruction: str | None = None,
    input: str = "",
    prompt_template: str | None = None,
    bits: Literal[16, 8] = 16,
    temperature: float = 0.1,
    top_p: float = 0.75,
    top_k: int = 40,
    num_beams: int | None = None,
    max_new_tokens: int = 512,
    repetition_penalty: float = 1.0,
    seed: int | None = None,
    stream_output: bool = True,
    other_base: bool = False,
    server_name: str = "127.0.0.1",
    server_port: int = 7860,
    share_gradio: bool = False,
    auth: str | None = None,
):
    """Answer an instruction with a model, or open a page to ask many.

    With --instruction the answer streams into the terminal (- reads the instruction from standard input). Without it a
    Gradio page opens on this machine alone. Base model and template are those of training where --lora_weights says so.

    Example:
        python generate.py --lora_weights out/adapter --instruction "Write a Python function that reverses a string."

    Args:
        base_model: a folder, a hub name, tiny-llama or tiny-starcoder; by default what the adapter was trained on.
        lora_weights: the folder of an adapter; without it the base model answers alone.
        instruction: what to answer in the terminal; without it the page opens.
        input: what the instruction is about, for templates that have a place for it.
        prompt_template: a name in templates/ or a file; by default what the model was trained with.
        bits: of the base weights; 8 needs bitsandbytes.
        temperature: 0 is greedy and always gives the same answer; higher is more varied.
        top_p: of the likeliest tokens, those that together have this probability.
        top_k: at most this many of the likeliest tokens; 0 for all.
        num_beams: more than 1 searches that many answers at once and prints the best whole. Default 1; 4 on the page,
            where it counts while streaming is off.
        max_new_tokens: how long an answer may get.
        repetition_penalty: above 1 makes repeating less likely.
        seed: of the sampling, to get the same answer again.
        stream_output: print text as it comes; false: whole.
        other_base: use an adapter with other base weights than it was trained on.
        server_name: the address that the page listens on; anything but this machine's own needs --auth.
        server_port: the port of the page; a taken one gives the next free.
        share_gradio: a public address through Gradio's servers; needs --auth.
        auth: NAME:PASSWORD that the page asks for; open lets anybody in.
    """
    from codetune.serving.generation import Sampling

    sampling = Sampling(temperature, top_p, top_k, num_beams or 1, max_new_tokens, repetition_penalty, seed)
    sampling.check()
    if not 1 <= server_port <= 65535:
        raise cli.UserError(f"--server_port {server_port} must be from 1 to 65535")
    credentials = checked_auth(server_name, share_gradio, auth) if instruction is None else None
    instruction = sys.stdin.read() if instruction == "-" else instruction
    sys.stdout.reconfigure(errors="replace")
    if instruction is not None and not instruction.strip():
        raise cli.UserError("--instruction is empty; write what the model is to do, or leave it out to open the page")

    from codetune.serving import assistant

    loaded = assistant.load(base_model, lora_weights, prompt_template, bits, other_base)
    if instruction is not None:
        print_answer(loaded.answer(instruction, input, sampling), stream_output)
        return

    from codetune.serving import page

    page.launch(loaded, sampling, num_beams or page.BEAMS, server_name, server_port, share_gradio, credentials)


def checked_auth(server_name, share_gradio, auth):
    """(name, password) or None. Raises UserError where the page would be open to others without a word about it."""
    if auth is None and (share_gradio or server_name not in LOOPBACK):
        how = "--share_gradio" if share_gradio else f"--server_name {server_name}"
        raise cli.UserError(
            f"{how} opens the page to other machines; add --auth NAME:PASSWORD, or --auth open to let anybody in"
        )
    if auth in (None, "open"):
        return None
    name, colon, password = auth.partition(":")
    if not (name and colon and password):
        raise cli.UserError("--auth must be NAME:PASSWORD, or open")
    return name, password


def print_answer(pieces, streaming):
    """The answer on standard output, its speed on standard error."""
    started, shown, piece = time.perf_counter(), [], None
    try:
        for piece in pieces:
            shown.append(piece.text)
            if streaming:
                print(piece.text, end="", flush=True)
    finally:
        pieces.close()
    print("" if streaming else "".join(shown))
    seconds = time.perf_counter() - started
    how = {"end": "ended", "stop": "stopped at the next instruction", "length": "cut at --max_new_tokens"}[piece.finish]
    print(f"[{piece.tokens} tokens, {piece.tokens / seconds:.1f} tokens/s, {how}]", file=sys.stderr)


if __name__ == "__main__":
    cli.run(generate, ALIASES)
