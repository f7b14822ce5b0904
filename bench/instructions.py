"""Instructions per request, counted by callgrind: the same for the same binaries whatever else the machine does.

Each contender runs as one Apache process (httpd -X) under valgrind, with few and with many requests over one connection;
the difference divided by the difference in requests is what one request costs. Of daemon mode only Apache's side is counted.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from run import HTTPD, Contender, contenders

FEW, MANY = 100, 600
HEADERS = {"User-Agent": "bench", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}


def total(report: Path) -> int:
    found = re.search(r"^(?:summary|totals): (\d+)", report.read_text(errors="replace"), re.MULTILINE)
    return int(found[1]) if found else 0


class Counted(Contender):
    """A contender under callgrind; `reports` has one file for each process when it has stopped."""

    def launch(self) -> subprocess.Popen[bytes]:
        self.root.chmod(0o777)
        # The report is written at the end, which must be by the same user as at the start.
        drop = ["setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups"] if os.geteuid() == 0 else []
        tool = [*drop, "valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={self.root}/out.%p"]
        return subprocess.Popen([*tool, HTTPD, "-f", str(self.root / "conf"), "-X"], start_new_session=True)

    def request(self, count: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for _ in range(count):
            connection.request("GET", "/", headers=HEADERS)
            response = connection.getresponse()
            if response.status != 200 or response.read() != b"Hello World!":
                raise SystemExit(f"{self.name} answers {response.status}")
        connection.close()

    def count(self, requests: int) -> int:
        try:
            self.wait()
            self.request(requests)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            return sum(total(report) for report in self.root.glob("out.*"))
        finally:
            self.process.kill()
            self.remove()


def per_request(name: str, conf: str) -> int:
    few, many = (Counted(name, conf).count(number) for number in (FEW, MANY))
    return round((many - few) / (MANY - FEW))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--peer", action="store_true", help="count mod_wsgi, too")
    options = parser.parse_args()
    os.environ["PYTHONHASHSEED"] = "0"
    print(f"{'':24}{'instructions':>14}")
    for name, conf in contenders(options.state).items():
        if "mod_wsgi" in name and not options.peer:
            continue
        print(f"{name:24}{per_request(name, conf):>14}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
