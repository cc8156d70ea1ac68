"""`serve --sandbox` as a newcomer meets it: the printed lines work, and an event makes data new."""
import json
import os
import re
import shlex
import signal
import subprocess
import threading

import jwt
import pytest
import requests

from conftest import BINARY, wait_for


class Demo:
    def __init__(self, directory):
        path = directory / "gateway.json"
        path.write_text(json.dumps({"listen": {name: "127.0.0.1:0" for name in ("data", "webhooks", "admin")}, "workers": 2}))
        self.process = subprocess.Popen([BINARY, "serve", "--sandbox", "-c", str(path)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, "TMPDIR": str(directory), "http_proxy": "http://127.0.0.1:1"})
        self.printed, self.lines = [], []
        self.threads = [threading.Thread(target=lambda: self.printed.extend(self.process.stdout), daemon=True),
                        threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True)]
        for thread in self.threads:
            thread.start()
        wait_for(lambda: any("clear refusal" in line for line in self.printed), 30, "the greeting")
        wait_for(lambda: any('"ready"' in line for line in self.lines), 30, "the line that says so")
        told = json.loads(next(line for line in self.lines if '"ready"' in line))
        self.data, self.webhooks, self.admin = (f"http://{told[name]}" for name in ("data", "webhooks", "admin"))
        self.origin = re.search(r"runs at (http://\S+);", "".join(self.printed)).group(1)

    def commands(self):
        text = "".join(self.printed).replace("\\\n", " ")
        return [line.split("   #")[0].strip() for line in text.splitlines() if line.strip().startswith("curl ")]

    def get(self, path, tenant="acme"):
        return requests.get(self.data + path, headers={"X-Tenant-Id": tenant}, timeout=30)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, "".join(self.lines[-30:])


@pytest.fixture
def demo(directory):
    made = Demo(directory)
    yield made
    if made.process.poll() is None:
        made.stop()


def test_each_printed_line_works_when_pasted(demo):
    commands = demo.commands()
    assert len(commands) >= 5
    outputs = []
    for command in commands:
        done = subprocess.run(["bash", "-c", command.replace("curl ", "curl --noproxy '*' ", 1)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (command, done.stderr)
        outputs.append(done.stdout)
    assert " 200 OK" in outputs[0] and "fwd=uri-miss" in outputs[0]
    assert "rollout-gateway; hit" in outputs[1]
    assert json.loads(outputs[2])["_metadata"]["collection"] == "people"
    assert " 201 Created" in outputs[3]
    assert "credential-not-found" in outputs[4]


def test_a_change_in_the_crm_is_seen_by_the_next_read(demo):
    person = demo.get("/crm/people?limit=1").json()["people"][0]
    path = f"/crm/people/{person['id']}"
    assert demo.get(path).json()["firstName"] == person["firstName"]
    assert "hit" in demo.get(path).headers["Cache-Status"]
    account = requests.get(demo.origin + "/_sandbox/accounts", timeout=10).json()
    credential = next(a["credential_id"] for a in (account if isinstance(account, list) else account["accounts"])
                      if a["tenant"] == "acme" and "crm" in a["apis"])
    touched = requests.post(demo.origin + "/_sandbox/touch", timeout=10, json={
        "credential": credential, "api": "crm", "entity": "people", "id": person["id"], "set": {"firstName": "Renamed"}})
    assert touched.status_code == 200, touched.text
    wait_for(lambda: '"peopleUpdated"' in "".join(demo.lines), what="the webhook")
    assert demo.get(path).json()["firstName"] == "Renamed"


def test_every_demo_api_answers(demo):
    for tenant, path in (("acme", "/crm/people"), ("acme", "/email/email-threads"), ("acme", "/calendar/calendarEvents"),
                         ("initech", "/tms/transactions"), ("initech", "/los/loans"), ("hooli", "/mortgage-crm/people")):
        answer = demo.get(path, tenant)
        assert answer.status_code == 200 and "_metadata" in answer.json(), (path, answer.text)
    credentials = demo.get("/core/credentials?includeData=true").json()
    assert len(credentials) == 2 and all("data" not in one for one in credentials)


def test_pages_are_followed_through_the_gateway(demo):
    url, seen = demo.data + "/crm/people?limit=25", []
    for _ in range(10):
        page = requests.get(url, headers={"X-Tenant-Id": "acme"}, timeout=30).json()
        seen += [person["id"] for person in page["people"]]
        url = page["_metadata"]["nextLink"]
        if not url:
            break
        assert url.startswith(demo.data + "/crm/people?")
    assert len(seen) == len(set(seen)) == page["_metadata"]["total"] == 60


def test_the_data_directory_goes_with_the_process(demo, directory):
    made = list(directory.glob("rollout-gateway-sandbox.*"))
    assert len(made) == 1
    demo.stop()
    assert not made[0].exists()


def test_a_minted_token_checks_out_with_a_public_library(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url}})
    done = subprocess.run([BINARY, "token", "acme", "-c", str(gateway.path)], capture_output=True, text=True, timeout=60, env=gateway.env)
    assert done.returncode == 0, done.stderr
    claims = jwt.decode(done.stdout.strip(), "s" * 64, algorithms=["HS512"], issuer="test-client")
    assert claims["sub"] == "acme"


def test_the_page_connects_an_account_through_the_gateway(demo):
    """The same calls as the page's script makes them; `./dev browser` has the page itself in Chromium."""
    wait_for(lambda: any("/_sandbox/link?" in line for line in demo.printed), what="the page's address")
    address = next(line.strip() for line in demo.printed if "/_sandbox/link?" in line)
    assert address == f"{demo.origin}/_sandbox/link?gateway={demo.data}&tenant=umbrella"
    answer = requests.get(address, timeout=30)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8" and "script-src 'self'" in answer.headers["Content-Security-Policy"]
    script = requests.get(f"{demo.origin}/_sandbox/link.js", timeout=30)
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8" and "/credentials" in script.text

    page = {"Origin": demo.origin}
    ask = {**page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-tenant-id"}
    answer = requests.options(demo.data + "/link/credentials", headers=ask, timeout=30)
    assert answer.status_code == 204 and answer.headers["Access-Control-Allow-Origin"] == demo.origin

    page["X-Tenant-Id"] = "umbrella"
    assert demo.get("/crm/people", "umbrella").status_code == 404
    token = requests.post(demo.data + "/link/token", headers=page, timeout=30).json()["token"]
    made = requests.post(demo.origin + "/core/api/credentials", headers={"Authorization": f"Bearer {token}"}, json={"appKey": "lofty"}, timeout=30).json()
    answer = requests.post(demo.data + "/link/credentials", headers=page, json={"credential_id": made["id"], "app_key": "lofty"}, timeout=30)
    assert answer.status_code == 201 and answer.headers["Access-Control-Allow-Origin"] == demo.origin
    assert answer.json()["apis"] == ["crm"]
    wait_for(lambda: demo.get("/crm/people", "umbrella").status_code == 200, 30, "the end of the first synchronisation")
    assert requests.delete(f"{demo.data}/link/credentials/{made['id']}", headers=page, timeout=30).status_code == 204
    assert demo.get("/crm/people", "umbrella").status_code == 404
