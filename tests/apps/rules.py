"""One rule of PEP 3333 per path."""

import gzip
import io
import json
import logging
import os
import sys
import tempfile
import threading
import warnings

kept = {}
seen = []


def say(start_response, text):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]


def input_ops(environ, start_response):
    """Runs the operations given in the query and shows what each returned."""
    stream, results = environ["wsgi.input"], []
    for name, *args in json.loads(environ["HTTP_X_OPS"]):
        value = (
            [next(stream, b"") for _ in range(args[0])]
            if name == "iterate"
            else getattr(stream, name)(*args)
        )
        results.append(
            value.decode("latin-1")
            if isinstance(value, bytes)
            else [v.decode("latin-1") for v in value]
        )
    return say(start_response, json.dumps(results))


def input_errors(environ, start_response):
    found = []
    for call in ("read(None)", "read('1')", "read(1, 2)", "readline(1.5)", "seek(0)", "fileno()"):
        try:
            eval(f"stream.{call}", {"stream": environ["wsgi.input"]})
            found.append("nothing")
        except Exception as exc:
            found.append(type(exc).__name__)
    return say(start_response, " ".join(found))


def huge_read(environ, start_response):
    return say(start_response, str(len(environ["wsgi.input"].read(2**45))))


def keep(environ, start_response):
    write = start_response("200 OK", [])
    kept.update(
        environ, start_response=start_response, write=write, hints=environ["wsgi.early_hints"]
    )
    return [b"kept"]


def use_kept(environ, start_response):
    calls = {
        "start": lambda: kept["start_response"]("200 OK", []),
        "write": lambda: kept["write"](b"x"),
        "hints": lambda: kept["hints"]([("Link", "x")]),
        "read": lambda: kept["wsgi.input"].read(),
        "next": lambda: next(iter(kept["wsgi.input"])),
        "close": lambda: kept["wsgi.input"].close(),
        "log": lambda: kept["wsgi.errors"].write("x"),
        "flush": lambda: kept["wsgi.errors"].flush(),
        "tls": lambda: kept["start_response"].__self__.ssl_is_https(),
    }
    found = {}
    for name, call in calls.items():
        try:
            call()
            found[name] = "alive"
        except RuntimeError:
            found[name] = "dead"
        except (AssertionError, OSError):  # of a request that is not over yet
            found[name] = "alive"
    return say(start_response, " ".join(sorted(set(found.values()))))


class Reader:
    def __init__(self, stream):
        self.stream = stream

    def read(self, size=-1):
        return self.stream.read(size)


class Vanishing:
    """Its file is gone, and was told so, when it is closed."""

    def __init__(self, source):
        self.file = tempfile.NamedTemporaryFile()  # noqa: SIM115 (the wrapper closes it)
        self.file.write(source.read())
        self.file.flush()
        self.file.seek(0)
        self.fileno, self.tell, self.seek, self.read = (
            self.file.fileno,
            self.file.tell,
            self.file.seek,
            self.file.read,
        )

    @property
    def closed(self):
        return self.file.closed

    def close(self):
        self.file.close()
        print("vanished")


class Upper(io.FileIO):
    def read(self, size=-1):
        return super().read(size).upper()


# The wrapper closes what they open.
FILES = {
    None: lambda path: open(path, "rb"),  # noqa: SIM115
    "reader": lambda path: open(path, "rb"),  # noqa: SIM115
    "gzip": gzip.open,
    "buffered gzip": lambda path: io.BufferedReader(gzip.open(path)),  # noqa: SIM115
    "raw": lambda path: open(path, "rb", buffering=0),  # noqa: SIM115
    "text": lambda path: open(path, encoding="latin-1"),  # noqa: SIM115
    "upper": Upper,
}


def wrapper(environ, start_response):
    told = json.loads(environ["HTTP_X_TOLD"])
    if told.get("kind") == "bytesio":
        stream = io.BytesIO(b"0123456789" * 1000)
    elif told.get("kind") == "pipe":
        out, into = os.pipe()
        os.write(into, b"0123456789" * 1000)
        os.close(into)
        stream = os.fdopen(out, "rb")
    elif told.get("kind") == "vanishing":
        stream = Vanishing(io.BytesIO(b"0123456789" * 1000))
    else:
        stream = FILES[told.get("kind")](told["file"])
        if told.get("kind") == "reader":
            stream = Reader(stream)
    if told.get("seek"):
        stream.seek(told["seek"])
    headers = [("Content-Length", str(told["length"]))] if "length" in told else []
    write = start_response("200 OK", headers)
    if told.get("write"):
        write(told["write"].encode())
    base = environ["wsgi.file_wrapper"]
    own = {"__next__": lambda self: base.__next__(self).upper()} if told.get("shouts") else {}
    kind = type("Sub", (base,), own) if told.get("subclass") else base
    seen.append(stream)
    return kind(stream, told["block"]) if told.get("block") else kind(stream)


def wrapper_closed(environ, start_response):
    return say(start_response, str(all(getattr(stream, "closed", True) for stream in seen)))


def print_all(environ, start_response):
    word = environ["QUERY_STRING"]
    print(f"{word} stdout")
    print(f"{word} stderr", file=sys.stderr)
    warnings.warn(f"{word} warning", stacklevel=1)
    logging.getLogger("none").error("%s lastResort", word)
    environ["wsgi.errors"].write(f"{word} control \x1b[31m\0 end\n")
    environ["wsgi.errors"].write(f"{word} part")
    sys.stdout.write("ial\n")
    sys.stdout.write(f"{word} unfinished")
    return say(start_response, "")


def print_long(environ, start_response):
    print("x" * 100_000)
    print("a\nb\n\nc")
    print(
        f"{sys.stdout.name} {sys.stderr.encoding} {sys.stderr.isatty()} {environ['wsgi.errors'].name}"
    )
    sys.stdout.reconfigure(line_buffering=True)
    io.TextIOWrapper(sys.stderr.buffer, encoding="utf-8", write_through=True).write("wrapped\n")
    return say(start_response, str(isinstance(sys.stdout, io.TextIOBase)))


def threads_write(environ, start_response):
    """Helper threads of a request may use its objects while it lasts."""
    write = start_response("200 OK", [])
    threads = [
        threading.Thread(target=lambda: [write(b"x" * 100) for _ in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [b"done"]


def gone(environ, start_response):
    write = start_response("200 OK", [])
    try:
        while True:
            write(b"x" * 10_000)
    except OSError as exc:
        seen.append(type(exc).__name__)
        raise


def gone_seen(environ, start_response):
    return say(start_response, " ".join(name for name in seen if isinstance(name, str)))


def stream_for_ever(environ, start_response):
    start_response("200 OK", [("X-Pid", str(os.getpid()))])
    while True:
        yield b"x" * 1000


def group(environ, start_response):
    import __main__

    __main__.__dict__.setdefault("own_group", environ["mod_wsgi.application_group"])
    return say(start_response, f"{__main__.own_group} {environ['mod_wsgi.application_group']}")


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)
