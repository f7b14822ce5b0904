"""What is asked of every contender. Each scenario is one row of the table."""

from __future__ import annotations

from dataclasses import dataclass

KB, MB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    path: str
    what: str
    answer: int = 12  # bytes of the response's body
    connections: int = 16
    headers: int = 0  # further request headers
    host: str = ""  # name of a virtual host
    alternate: str = ""  # another path, for every other request
    post: int = -1  # bytes of the request's body; -1: GET
    quick: bool = False  # part of --quick
    traced: bool = False  # system calls are counted

    @property
    def mount(self) -> str:
        return self.path.rstrip("/")

    @property
    def script(self) -> str:
        """The file in bench/apps."""
        name = self.mount[1:].partition("-")[0]
        return f"{name}_hello.py" if name in ("flask", "django") else f"{name}.py"

    def request_headers(self) -> dict[str, str]:
        named = {"Host": self.host} if self.host else {}
        return named | {
            f"X-Request-{number}": "the value of a header" for number in range(self.headers)
        }


SCENARIOS = (
    Scenario("hello", "/hello", "12 bytes", quick=True, traced=True),
    Scenario("hello-128", "/hello", "12 bytes, 128 connections", connections=128),
    Scenario("headers", "/headers", "20 request and 10 response headers", headers=20, traced=True),
    Scenario(
        "post-1k", "/post", "POST of 1 KB, read fully", answer=4, post=KB, quick=True, traced=True
    ),
    Scenario("post-1m", "/post", "POST of 1 MB, read fully", answer=7, post=MB),
    Scenario(
        "post-20m", "/post", "POST of 20 MB, read fully", answer=8, post=20 * MB, connections=4
    ),
    Scenario(
        "body-100k", "/body-100k", "100 KB in one piece", answer=100 * KB, quick=True, traced=True
    ),
    Scenario("body-10m", "/body-10m", "10 MB in one piece", answer=10 * MB, connections=4),
    Scenario("stream", "/stream", "generator of 1000 x 1 KB", answer=1000 * KB),
    Scenario("file-1m", "/file-1m", "wsgi.file_wrapper, 1 MB", answer=MB, quick=True, traced=True),
    Scenario("file-50m", "/file-50m", "wsgi.file_wrapper, 50 MB", answer=50 * MB, connections=4),
    Scenario("flask", "/flask/", "Flask, 12 bytes", traced=True),
    Scenario("django", "/django/", "Django, 12 bytes", traced=True),
)


def named(names: list[str]) -> list[Scenario]:
    """The scenarios of these names in the order of the table."""
    known = {scenario.name for scenario in SCENARIOS}
    if unknown := set(names) - known:
        raise SystemExit(
            f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(s.name for s in SCENARIOS)}"
        )
    return [scenario for scenario in SCENARIOS if scenario.name in names]
