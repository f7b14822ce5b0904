"""Answers what the query string says, as JSON: status, headers, items, times, read, fail …."""

import json
from urllib.parse import unquote

calls = []


def application(environ, start_response):
    calls.append(environ["PATH_INFO"])
    query = environ["QUERY_STRING"] or environ.get("REDIRECT_QUERY_STRING", "")
    told = json.loads(unquote(query) or "{}") if query.startswith(("{", "%7B")) else {}
    items = [item.encode("latin-1") for item in told.get("items", [])] * told.get("times", 1)
    headers = [tuple(header) for header in told.get("headers", [["Content-Type", "text/plain"]])]
    if told.get("many"):
        headers += [(f"X-Many-{n}", str(n)) for n in range(told["many"])]
    if told.get("long"):
        headers.append(("X-Long", "y" * told["long"]))
    if told.get("environ"):
        items = [json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()]
    if told.get("calls"):
        items = [str(len(calls)).encode()]
    if told.get("paths"):
        items = [json.dumps(calls).encode()]
    if told.get("read"):
        items = [environ["wsgi.input"].read()]
    if told.get("method"):
        items = [environ["REQUEST_METHOD"].encode()]
    write = start_response(told.get("status", "200 OK"), headers)
    for item in told.get("write", []):
        write(item.encode())
    if told.get("fail"):

        def failing():
            yield from items
            raise ValueError("told to fail")

        return failing()
    return items if told.get("list") else iter(items)
