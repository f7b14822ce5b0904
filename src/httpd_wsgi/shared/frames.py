"""The stacks that faulthandler writes, made readable: of a worker that was asked, or that crashed.
Text only.
"""

from __future__ import annotations

import linecache
import re
import threading

THREAD = re.compile(r"(?:Current thread|Thread) 0x([0-9a-f]+).*")
OWN = re.compile("wsgi-(?!request)")  # names of the worker's own threads
FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')


def application_frames(lines: list[str], package: str) -> list[re.Match[str]]:
    """From the outermost call to the innermost, without what leads to the application: threading
    and this package.
    """
    frames = [match for line in reversed(lines) if (match := FRAME.match(line))]
    while frames and (frames[0][1].startswith(package) or frames[0][1] == threading.__file__):
        del frames[0]
    return frames


def describe(head: str, frames: list[re.Match[str]]) -> list[str]:
    lines = [head]
    for path, line, function in (match.groups() for match in frames):
        lines.append(f'  File "{path}", line {line}, in {function}')
        if source := linecache.getline(path, int(line)).strip():
            lines.append(f"    {source}")
    return lines


def readable(text: str, names: dict[int, str], package: str) -> str:
    """What faulthandler wrote, as tracebacks usually look; threads that run no code of the
    application are only counted.
    """
    lines: list[str] = []
    interpreter = ""
    idle: set[int] = set()
    busy: set[int] = set()
    for block in re.split(r"\n(?=Interpreter |Thread 0x|Current thread 0x)", text):
        head, *rest = block.strip("\n").split("\n")
        if head.startswith("Interpreter "):
            interpreter = head.removeprefix("Interpreter").strip()
        if thread := THREAD.match(head):
            ident = int(thread[1], 16)
            frames = [] if OWN.match(names.get(ident, "")) else application_frames(rest, package)
            (busy if frames else idle).add(ident)
            where = f" in interpreter {interpreter}" if interpreter else ""
            lines += (
                describe(f"Thread {names.get(ident, hex(ident))}{where}:", frames) if frames else []
            )
    lines.append(idle_line(len(idle - busy)))
    return "\n".join(lines)


def idle_line(number: int, kind: str = "") -> str:
    return f"{number} {kind}{'thread runs' if number == 1 else 'threads run'} no code of the application"


def of_crash(text: str, package: str) -> list[str]:
    """What faulthandler wrote when its process crashed: first the thread that did, then others in
    the application's code.
    """
    blocks: list[tuple[int, list[str]]] = []
    idle = 0
    for number, block in enumerate(text.split("\n\n")):
        lines = [line for line in block.splitlines() if line.strip()]
        if not lines:
            continue
        if not THREAD.match(lines[0]):
            blocks.append((0 if number == 0 else 3, lines))
            continue
        has_crashed = lines[0].startswith("Current")
        frames = [match[0] for match in reversed(application_frames(lines[1:], package))]
        if frames or has_crashed:
            blocks.append((1 if has_crashed else 2, [lines[0], *(frames or lines[1:])]))
        else:
            idle += 1
    if idle:
        blocks.append((2, [idle_line(idle, "other ")]))
    return [line for _, lines in sorted(blocks, key=lambda block: block[0]) for line in lines]
