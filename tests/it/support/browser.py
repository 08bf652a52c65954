#!/usr/bin/env python3
"""Runs steps in a headless Chromium, over the pipe of its DevTools protocol.

Reads a JSON list of steps from the file that is named, and prints a JSON object: 'values', what
the steps with 'eval' and 'time' returned, and 'complaints', what the browser reported: errors and
warnings of the console, exceptions, violations of the content security policy, requests that left
the page's own file. Chromium ends with this program, also if that is killed: the pipe closes.

Steps:
  {"open": URL, "width": 1280, "height": 800, "scheme": "light"}
  {"eval": "an expression"}     {"type": "text"}     {"key": "/"}     {"media": "print"}
  {"shot": FILE, "whole": true} {"pdf": FILE}        {"time": URL}    {"scripts": false}
"""

import base64
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile

SECONDS = 90
FLAGS = [
    "--headless", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-dev-shm-usage", "--no-default-browser-check",
    "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND", "about:blank",
]
# Keys that are not a character.
CODES = {"Escape": 27, "Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
         "ArrowDown": 40}


class Browser:
    def __init__(self, home):
        to_read, self.write = os.pipe()
        self.read, to_write = os.pipe()
        # Away from 3 and 4, where Chromium expects the two.
        ours = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (to_read, to_write)]

        def before():
            os.dup2(ours[0], 3)
            os.dup2(ours[1], 4)

        self.process = subprocess.Popen(
            ["chromium", "--user-data-dir=" + home] + FLAGS, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(3, 4),
            preexec_fn=before, start_new_session=True, env={**os.environ, "HOME": home})
        for fd in (to_read, to_write, *ours):
            os.close(fd)
        self.buffer = b""
        self.number = 0
        self.session = None
        self.events = []
        self.complaints = []

    def message(self):
        while b"\0" not in self.buffer:
            more = os.read(self.read, 1 << 20)
            if not more:
                raise EOFError("chromium ended")
            self.buffer += more
        message, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(message)
        if "method" in message:
            self.events.append(message["method"])
            self.listen(message["method"], message["params"])
        return message

    def listen(self, method, params):
        if method == "Log.entryAdded":
            self.complaints.append("%(level)s: %(text)s" % params["entry"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append("exception: %s" % json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            said = [str(arg.get("value")) for arg in params["args"]]
            self.complaints.append("%s: %s" % (params["type"], " ".join(said)))
        elif method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith("file:") or params["type"] != "Document":
                self.complaints.append("request: " + url)

        elif method == "Network.loadingFailed" and params.get("blockedReason"):
            self.complaints.append("not sent: " + params["blockedReason"])

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError("%s: %s" % (method, answer["error"]))
                return answer["result"]

    def wait(self, event):
        while event not in self.events:
            self.message()

    def attach(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def open(self, url):
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait("Page.loadEventFired")

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError("%s: %s" % (expression, result["exceptionDetails"]))
        return result["result"].get("value")

    def key(self, key):
        press = {"key": key, "windowsVirtualKeyCode": CODES.get(key, 0)}
        if key not in CODES:
            press["text"] = key
        elif key == "Enter":
            press["text"] = "\r"
        self.call("Input.dispatchKeyEvent", type="keyDown", **press)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)

    def run(self, step):
        if "open" in step:
            self.size(step.get("width", 1280), step.get("height", 800))
            scheme = {"name": "prefers-color-scheme", "value": step.get("scheme", "light")}
            self.call("Emulation.setEmulatedMedia", media="", features=[scheme])
            self.open(step["open"])
        elif "scripts" in step:
            self.call("Emulation.setScriptExecutionDisabled", value=not step["scripts"])
        elif "eval" in step:
            return self.value(step["eval"])
        elif "type" in step:
            for character in step["type"]:
                self.key(character)
        elif "key" in step:
            self.key(step["key"])
        elif "media" in step:
            self.call("Emulation.setEmulatedMedia", media=step["media"])
        elif "shot" in step:
            if step.get("whole"):
                # What is out of sight is not drawn at all.
                width, height = self.value("[innerWidth, document.documentElement.scrollHeight]")
                self.size(width, height + 2000)
                height = self.value("document.documentElement.querySelector('body').scrollHeight")
                self.size(width, height)
            shot = self.call("Page.captureScreenshot")
            with open(step["shot"], "wb") as file:
                file.write(base64.b64decode(shot["data"]))
        elif "pdf" in step:
            pdf = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
            with open(step["pdf"], "wb") as file:
                file.write(base64.b64decode(pdf["data"]))
        elif "time" in step:
            self.open(step["time"])
            return self.value(
                "new Promise(done => requestAnimationFrame(() => setTimeout(() => {"
                " const t = performance.getEntriesByType('navigation')[0];"
                " done({interactive: t.domInteractive, load: t.loadEventEnd, painted: performance.now()}) })))")
        else:
            raise RuntimeError("no such step: %s" % step)
        return None


def late(_number, _frame):
    raise TimeoutError("the steps took more than %d seconds" % SECONDS)


def main():
    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    with open(sys.argv[1], encoding="utf-8") as file:
        steps = json.load(file)
    values = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        browser = Browser(home)
        try:
            browser.attach()
            for step in steps:
                value = browser.run(step)
                if "eval" in step or "time" in step:
                    values.append(value)
        finally:
            os.killpg(browser.process.pid, signal.SIGKILL)
            browser.process.wait()
    print(json.dumps({"values": values, "complaints": browser.complaints}))


main()
