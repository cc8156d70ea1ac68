"""The sandbox's page in a real browser: `./dev browser`. Chromium is driven by WebDriver's own JSON (W3C), without a library."""
import base64
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

import pytest
import requests

BINARY = os.environ["GATEWAY"]
SHOTS = pathlib.Path(os.environ.get("SHOTS", tempfile.gettempdir()))
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--window-size=900,900"]


class Browser:
    def __init__(self, directory):
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                       env={**os.environ, "HOME": str(directory)})
        for line in self.driver.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                self.base = f"http://127.0.0.1:{found[1]}/session"
                break
        self.http = requests.Session()
        self.http.trust_env = False
        options = {"binary": "/usr/bin/chromium", "args": [*FLAGS, f"--user-data-dir={directory}/profile"]}
        self.base += "/" + self.send("POST", "", {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}})["sessionId"]

    def send(self, method, path, body=None):
        answer = self.http.request(method, self.base + path, json=body, timeout=120)
        value = answer.json()["value"]
        assert answer.ok, value
        return value

    def run(self, script, *arguments):
        return self.send("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def open(self, url):
        self.send("POST", "/url", {"url": url})

    def click(self, selector):
        element = self.send("POST", "/element", {"using": "css selector", "value": selector})
        self.send("POST", f"/element/{next(iter(element.values()))}/click", {})

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).innerText", selector)

    def wait_for(self, script, what):
        end = time.monotonic() + 60
        while not self.run("return " + script):
            assert time.monotonic() < end, f"{what} did not come: {self.text('body')}"
            time.sleep(0.05)

    def shoot(self, name):
        SHOTS.mkdir(parents=True, exist_ok=True)
        (SHOTS / f"{name}.png").write_bytes(base64.b64decode(self.send("GET", "/screenshot")))

    def close(self):
        try:
            self.send("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(60)


@pytest.fixture
def directory():
    with tempfile.TemporaryDirectory(prefix="rollout-gateway-browser.") as path:
        yield pathlib.Path(path)


@pytest.fixture
def browser(directory):
    made = Browser(directory)
    yield made
    made.close()


@pytest.fixture
def page(directory):
    """`serve --sandbox`: the address in its greeting."""
    config = directory / "gateway.json"
    config.write_text(json.dumps({"listen": {"data": "127.0.0.1:0", "webhooks": "127.0.0.1:0", "admin": "127.0.0.1:0"}, "workers": 1}))
    process = subprocess.Popen([BINARY, "serve", "--sandbox", "-c", str(config)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        if "/_sandbox/link?" in line:
            yield line.strip()
            break
    process.terminate()
    assert process.wait(60) == 0


def test_an_account_is_connected_and_disconnected_in_a_browser(browser, page):
    gateway = re.search(r"gateway=([^&]+)", page)[1]
    people = gateway + "/t/umbrella/crm/people?limit=1"
    assert requests.get(people, timeout=60).status_code == 404
    browser.open(page)
    browser.wait_for("document.querySelector('[data-app=lofty]') !== null", "the list of systems")
    browser.click("[data-app=lofty]")
    browser.wait_for("document.querySelectorAll('#accounts button').length === 1", "the account")
    assert "crm (active)" in browser.text("#accounts")
    browser.shoot("connected")
    assert browser.run("return document.querySelectorAll('.bad').length") == 0, browser.text("#log")
    end = time.monotonic() + 60
    while requests.get(people, timeout=60).status_code == 409:  # the first synchronisation
        assert time.monotonic() < end
        time.sleep(0.1)
    assert len(requests.get(people, timeout=60).json()["people"]) == 1
    browser.click("[data-app=gmail-otp]")
    browser.wait_for("document.querySelectorAll('.bad').length === 1", "the refusal")
    browser.click("#accounts button")
    browser.wait_for("document.querySelectorAll('#accounts button').length === 0", "the disconnection")
    assert requests.get(people, timeout=60).status_code == 404
    browser.shoot("disconnected")


def test_a_page_of_another_origin_is_not_let_in(browser, page):
    """The same page under a name that the configuration does not list: the browser asks, and does not get."""
    browser.open(page.replace("http://127.0.0.1", "http://localhost", 1))
    browser.wait_for("document.querySelectorAll('.bad').length === 1", "the refusal")
    assert "Failed to fetch" in browser.text("#log")
    assert browser.text("#connectors") == ""
