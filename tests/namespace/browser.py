"""A person at a browser: Chromium, told what to do over WebDriver (https://www.w3.org/TR/webdriver2/).

    browser.py DRIVER SITE FOLDER [PICTURES]

Logs in at SITE as alice, reads a message, keeps its file in FOLDER, logs out, and looks whether the way back is shut.
With PICTURES, what was seen is kept there. Prints `done` at the end.
"""

import base64
import json
import os
import sys
import time
import urllib.request

driver, site, folder = sys.argv[1:4]
pictures = sys.argv[4] if len(sys.argv) > 4 else None


def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(driver + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{method} {path}: {error.read().decode()}")


def wait(what, test):
    for _ in range(200):
        if value := test():
            return value
        time.sleep(0.05)
    raise SystemExit(f"it does not come: {what}\n{source()}")


wait_for_driver = time.monotonic() + 15
while True:
    try:
        if json.load(urllib.request.urlopen(driver + "/status", timeout=5))["value"]["ready"]:
            break
    except OSError:
        if time.monotonic() > wait_for_driver:
            raise
    time.sleep(0.05)

arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--force-color-profile=srgb", f"--user-data-dir={folder}/profile"]
options = {"args": arguments}
capabilities = {"browserName": "chrome", "acceptInsecureCerts": True, "goog:chromeOptions": options}
session = "/session/" + ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]


def go(path):
    ask("POST", session + "/url", {"url": site + path})


def place():
    return ask("GET", session + "/url").removeprefix(site)


def source():
    return ask("GET", session + "/source")


def find(using, value):
    return next(iter(ask("POST", session + "/element", {"using": using, "value": value}).values()))


def type_into(selector, text):
    ask("POST", f"{session}/element/{find('css selector', selector)}/value", {"text": text})


def click(using, value):
    ask("POST", f"{session}/element/{find(using, value)}/click", {})


def run(script):
    return ask("POST", session + "/execute/sync", {"script": script, "args": []})


def text():
    # In one step: between two the page can become another.
    return run("return document.body ? document.body.innerText : ''")


def tell(command, **parameters):
    ask("POST", session + "/goog/cdp/execute", {"cmd": command, "params": parameters})


def look(width, height, is_dark=False):
    tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
    scheme = "dark" if is_dark else "light"
    tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])


def picture(name):
    if pictures:
        with open(f"{pictures}/{name}.png", "wb") as file:
            file.write(base64.b64decode(ask("GET", session + "/screenshot")))


try:
    tell("Browser.setDownloadBehavior", behavior="allow", downloadPath=folder)
    look(900, 460)
    # Where one wants to go leads to the form, and back.
    go("/private/")
    wait("the form", lambda: place() == "/-/account/login?next=%2Fprivate%2F")
    assert run("return getComputedStyle(document.body).maxWidth") is not None
    assert run("return getComputedStyle(document.querySelector('.sheet')).borderTopWidth") == "1px", "no stylesheet"
    assert run("return document.activeElement.id") == "name"
    picture("login")
    type_into("#name", "alice")
    type_into("#password", "wrong")
    click("css selector", "button")
    wait("the refusal", lambda: "don't belong together" in text())
    assert run("return document.activeElement.id") == "password"
    type_into("#password", "wonderland\ue007")
    wait("the way back", lambda: place() == "/private/")
    assert text() == "for alice", text()
    assert run("return document.cookie") == "", "a script sees the cookie"
    cookies = {cookie["name"]: cookie for cookie in ask("GET", session + "/cookie")}
    assert list(cookies) == ["__Host-tapstack"], cookies
    cookie = cookies["__Host-tapstack"]
    assert cookie["secure"] and cookie["httpOnly"] and cookie["sameSite"] == "Lax" and "expiry" not in cookie, cookie

    go("/-/account/mail/")
    assert run("return document.querySelectorAll('.letters tbody tr').length") == 4, source()
    picture("mail")
    click("link text", "Lunch on Friday?")
    wait("the message", lambda: place().startswith("/-/account/mail/") and "Grüße" in text())
    look(900, 640)
    picture("message")
    look(390, 820, is_dark=True)
    picture("message-dark")
    overflow = run("return document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not overflow, "the page is wider than a phone"
    look(900, 520)
    # What a message says is text: nothing of it became an element, and nothing ran.
    assert run("return document.querySelectorAll('article img, article script, article b').length") == 0
    assert "<img src=x onerror=" in text()
    click("link text", "menü.txt")
    kept = f"{folder}/menü.txt"
    wait("the file", lambda: os.path.exists(kept) and os.path.getsize(kept))
    with open(kept, encoding="utf-8") as file:
        assert file.read() == "Soup, then dumplings.\n" * 3
    assert place().startswith("/-/account/mail/"), "the file was shown"

    click("partial link text", "Delete")
    wait("the question", lambda: "Delete this message?" in text())
    click("xpath", "//button[text()='Delete it']")
    wait("the list", lambda: "The message is deleted." in text())
    assert run("return document.querySelectorAll('.letters tbody tr').length") == 3

    click("link text", "Account")
    wait("the account", lambda: "Where you are logged in" in text())
    assert "(this one)" in text()
    picture("account")
    click("xpath", "//button[text()='Log out']")
    wait("the form", lambda: place() == "/-/account/login")
    ask("POST", session + "/back", {})
    wait("the form again", lambda: "Where you are logged in" not in text())
    go("/-/account/mail/")
    wait("the form", lambda: place().startswith("/-/account/login?next="))
    print("done")
finally:
    ask("DELETE", session)
