"""The Gradio page: an instruction in, the answer as it is written, a stop button that stops the computation.

It listens on 127.0.0.1 unless told otherwise, and no request leaves the machine: analytics are off, fonts are local.
"""

import os
import socket
import threading
import time
from dataclasses import replace

from codetune.cli import UserError
from codetune.serving import generation
from codetune.serving.assistant import Assistant

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when a Blocks is made

BEAMS = 4  # the page's default, for whole answers
REFRESH = 0.05  # seconds: an update for every token would queue up in the browser and delay the stop
WAITING = 16  # requests that may wait for the model; more are told that it is busy
EXAMPLES = [
    ["Write a Python function that reverses a string.", ""],
    ["Write a SQL query for the three best-paid employees of each department.", ""],
    ["Explain what this code does.", "print(sum(int(d) for d in str(n)))"],
    ["Write a bash command that lists the ten largest files below this folder.", ""],
    ["Convert this Python code to JavaScript.", "squares = [x * x for x in range(10)]"],
]
CSS = """
.gradio-container { width: 100%; max-width: 1240px !important; margin: auto !important; }
#answer textarea { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 14px; }
footer { display: none !important; }
"""


def build(assistant: Assistant, sampling: generation.Sampling, beams: int):
    """The Blocks. One request at a time has the model; the others wait in order."""
    import gradio

    with gradio.Blocks(title=f"codetune: {assistant.name}", analytics_enabled=False, fill_width=True) as blocks:
        gradio.Markdown(f"## {assistant.name}\nAsk for code. Template `{assistant.template.name}`.")
        with gradio.Row():
            with gradio.Column():
                instruction = gradio.Textbox(
                    label="Instruction",
                    lines=3,
                    placeholder="What is the model to do? (Shift+Enter submits)",
                    autofocus=True,
                    elem_id="ask",
                )
                context = gradio.Textbox(label="Input", lines=3, placeholder="Code or data it is about; may stay empty")
                with gradio.Row():
                    submit = gradio.Button("Submit", variant="primary", elem_id="submit")
                    stop = gradio.Button("Stop", variant="stop", elem_id="stop")
                settings = controls(gradio, sampling, beams)
            with gradio.Column():
                answer = gradio.Textbox(label="Answer", lines=18, max_lines=40, buttons=["copy"], elem_id="answer")
                status = gradio.Markdown(elem_id="status")
        gradio.Examples(EXAMPLES, [instruction, context], label="Examples")
        asked = gradio.on(
            [submit.click, instruction.submit],
            answering(assistant, sampling),
            [instruction, context, *settings],
            [answer, status],
            concurrency_limit=1,
            show_progress="hidden",
            api_name="answer",
        )
        stopped = stop.click(None, cancels=[asked], api_visibility="private")
        # After the cancelling and not with it: an update that was still under way would write over the word.
        stopped.then(lambda: "stopped", None, status, queue=False, api_visibility="private")
    return blocks.queue(max_size=WAITING)


def controls(gradio, sampling, beams):
    """Temperature, top p, top k, beams, length, streaming: the inputs after instruction and input, in this order."""
    with gradio.Accordion("Settings", open=False):
        return [
            gradio.Slider(
                0,
                max(2, sampling.temperature),
                value=sampling.temperature,
                step=0.05,
                label="Temperature",
                info="0: always the same",
            ),
            gradio.Slider(min(0.05, sampling.top_p), 1, value=sampling.top_p, step=0.05, label="Top p"),
            gradio.Slider(0, max(100, sampling.top_k), value=sampling.top_k, step=1, label="Top k", info="0: all"),
            gradio.Slider(1, max(8, beams), value=beams, step=1, label="Beams", info="Counts while streaming is off"),
            gradio.Slider(
                1, max(4096, sampling.max_new_tokens), value=sampling.max_new_tokens, step=1, label="Max tokens"
            ),
            gradio.Checkbox(value=True, label="Stream output", elem_id="stream"),
        ]


def answering(assistant, sampling):
    """The page's function: a generator of (answer so far, status)."""
    import gradio

    def answer(instruction, context, temperature, top_p, top_k, beams, max_tokens, streaming):
        chosen = replace(
            sampling,
            temperature=temperature,
            top_p=top_p,
            top_k=int(top_k),
            num_beams=1 if streaming else int(beams),
            max_new_tokens=int(max_tokens),
        )
        started, text, shown = time.perf_counter(), "", 0.0
        try:
            pieces = assistant.answer(instruction, context, chosen, REFRESH)
            for piece in pieces:
                text += piece.text
                # Also without streaming: a turn in which Gradio can close this generator, which stops the computation.
                if time.perf_counter() - shown > REFRESH:
                    shown = time.perf_counter()
                    yield text if streaming else "", speed(piece, started)
        except UserError as error:
            raise gradio.Error(str(error), print_exception=False) from None
        yield text, speed(piece, started)

    return answer


def speed(piece, started):
    rate = piece.tokens / max(time.perf_counter() - started, 1e-9)
    return f"{piece.tokens} tokens, {rate:.1f} tokens/s" + (f" ({piece.finish})" if piece.finish else "")


def launch(assistant, sampling, beams, server_name, server_port, share, auth):
    """Serves until interrupted. Takes the next free port where the wanted one is taken."""
    import gradio

    theme = gradio.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    try:
        _, address, public = build(assistant, sampling, beams).launch(
            server_name=server_name,
            server_port=free_port(server_name, server_port),
            share=share,
            auth=auth,
            quiet=True,
            prevent_thread_lock=True,
            theme=theme,
            css=CSS,
            ssr_mode=False,
            footer_links=[],
            allowed_paths=[],
        )
    except OSError as error:
        raise UserError(f"the page cannot listen on {server_name}:{server_port}: {error}") from None
    print(f"{public or address}  (stop with Ctrl+C)", flush=True)
    wait()


def wait():
    threading.Event().wait()


def free_port(server_name, first, most=100):
    """`first`, or the next port that nobody listens on. Raises UserError."""
    family = socket.AF_INET6 if ":" in server_name else socket.AF_INET
    for port in range(first, min(first + most, 65536)):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((server_name, port))
                return port
            except OSError as error:
                problem = error
    raise UserError(f"no free port from {first} on {server_name}: {problem.strerror}; choose another --server_port")
