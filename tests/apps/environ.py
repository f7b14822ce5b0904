"""Shows the strings of environ."""

import json


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [
        json.dumps(
            {key: value for key, value in environ.items() if isinstance(value, str)}
        ).encode()
    ]
