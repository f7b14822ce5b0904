"""Facts about the interpreter, as JSON."""

import json
import os
import signal
import sys

imported = sorted(name for name in sys.modules if name.startswith("loaded_"))
try:
    stdin = type(sys.stdin.read()).__name__
except OSError as exc:
    stdin = str(exc)
try:
    stdout = type(sys.stdout.write).__name__
except OSError as exc:
    stdout = str(exc)
before = signal.getsignal(signal.SIGUSR2)
try:
    returned = signal.signal(signal.SIGUSR2, lambda *_: None)
    installed = signal.getsignal(signal.SIGUSR2) is not before
    signal_said = "installed" if installed else "ignored" if returned is before else "odd"
except ValueError:
    signal_said = "not the main thread"


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    facts = {
        "optimize": sys.flags.optimize,
        "bytecode": sys.dont_write_bytecode,
        "warnings": sys.warnoptions,
        "hash": hash("a string"),
        "hash_randomization": sys.flags.hash_randomization,
        "switch": sys.getswitchinterval(),
        "path": sys.path,
        "name": __name__,
        "stdin": stdin,
        "stdout": stdout,
        "signal": signal_said,
        "imported": sorted(name for name in sys.modules if name.startswith("loaded_")),
        "group": environ["mod_wsgi.application_group"],
        "capsule": type(environ.get("apache.request_rec")).__name__,
        "pid": os.getpid(),
    }
    return [json.dumps(facts).encode()]
