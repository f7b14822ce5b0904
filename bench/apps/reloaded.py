"""Takes half a second to load, as larger applications do, and says when it was loaded."""

import time

time.sleep(0.5)
LOADED = str(time.time_ns()).encode()


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(LOADED)))])
    return [LOADED]
