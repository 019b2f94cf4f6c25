"""The page in a real browser: Debian's chromium, driven by Playwright."""

import re
import shutil
import threading
import time

import pytest

from codetune.cli import UserError
from codetune.serving import assistant, generation, page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium to test the page")


@pytest.fixture(scope="module")
def address():
    """The page of an untrained tiny-starcoder, whose answers go on until they are stopped."""
    import gradio

    loaded = assistant.load("tiny-starcoder")
    blocks = page.build(loaded, generation.Sampling(temperature=0, max_new_tokens=900), page.BEAMS)
    _, address, _ = blocks.launch(
        server_name="127.0.0.1",
        server_port=page.free_port("127.0.0.1", 7900),
        quiet=True,
        prevent_thread_lock=True,
        ssr_mode=False,
        css=page.CSS,
        theme=gradio.themes.Soft(font=["system-ui"], font_mono=["ui-monospace"]),
    )
    yield address
    blocks.close()


@pytest.fixture
def browser_page():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(viewport={"width": 1200, "height": 900})
        opened.set_default_timeout(20_000)
        yield opened
        browser.close()


def shown(opened):
    return opened.input_value("#answer textarea")


def wait_until(true, seconds=60):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def generating():
    return any(thread.name.endswith("(generate)") for thread in threading.enumerate())


@needs_browser
def test_an_answer_streams_and_the_stop_button_stops_the_computation(address, browser_page):
    requests = []
    browser_page.on("request", lambda request: requests.append(request.url))
    browser_page.goto(address)
    browser_page.fill("#ask textarea", "Write a Python function")
    browser_page.click("#submit")
    lengths = set()
    wait_until(lambda: lengths.add(len(shown(browser_page))) or len(lengths) > 3)  # it grows before our eyes
    assert generating()
    browser_page.click("#stop")
    wait_until(lambda: not generating(), seconds=20)
    wait_until(lambda: browser_page.inner_text("#status").strip() == "stopped", seconds=20)
    text = shown(browser_page)
    assert len(text) > 0
    outside = [url for url in requests if not re.match(r"(data|blob):|https?://127\.0\.0\.1[:/]", url)]
    assert outside == []


@needs_browser
def test_without_streaming_the_answer_comes_whole_and_can_be_copied(address, browser_page):
    browser_page.goto(address)
    browser_page.click("button:has-text('Settings'):visible")
    browser_page.uncheck("#stream input")
    browser_page.fill("input[aria-label='number input for Max tokens']", "6")
    browser_page.fill("#ask textarea", "Write a Python function")
    browser_page.click("#submit")
    wait_until(lambda: "6 tokens" in browser_page.inner_text("#status"))
    assert browser_page.locator("#answer button[aria-label*='opy']").count() == 1


@needs_browser
def test_an_example_fills_the_instruction_and_an_empty_one_is_told_so(address, browser_page):
    browser_page.goto(address)
    browser_page.click("#submit")
    browser_page.wait_for_selector("text=the instruction is empty")
    browser_page.click("text=Convert this Python code to JavaScript.")
    wait_until(lambda: browser_page.input_value("#ask textarea") == "Convert this Python code to JavaScript.")


def test_the_page_listens_on_this_machine_alone(run_python):
    ran = run_python("generate.py", "--base_model", "tiny-llama", "--server_name", "0.0.0.0")
    assert ran.returncode == 1 and "add --auth NAME:PASSWORD" in ran.stderr and "Traceback" not in ran.stderr


def test_a_taken_port_gives_the_next():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert page.free_port("127.0.0.1", port) > port


def test_an_address_that_is_not_ours_is_one_sentence():
    with pytest.raises(UserError, match=r"no free port from 7860 on 192\.0\.2\.1"):
        page.free_port("192.0.2.1", 7860)
