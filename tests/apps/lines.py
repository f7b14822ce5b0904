"""Says who answers; holds, forks or kills on request. `?file` names what is waited for."""

import os
import signal
import threading
import time
from urllib.parse import unquote


def wait_for(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.01)


def application(environ, start_response):
    path, file = environ["PATH_INFO"], unquote(environ["QUERY_STRING"])
    text = f"{os.getpid()} {threading.get_ident()} {file}"
    if path == "/hold":
        open(f"{file}.held-{threading.get_ident()}-{os.getpid()}", "w").close()
        wait_for(file)
    elif path == "/fork":
        child = os.fork()
        if child == 0:
            wait_for(file)
            os._exit(0)
        text = str(child)
    elif path == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif path == "/some":
        text += environ["wsgi.input"].read(10).decode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
