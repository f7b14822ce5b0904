"""Functions of scripts that Apache asks about a request, whoever serves it: access, passwords,
groups, dispatch.

The runtime (src/runtime/hook.c) calls `call()` and passes on what it returns: a verdict and some
bytes. Whatever goes wrong is logged to the request's log and becomes FAILED, which never lets
anybody in.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import loader
from httpd_wsgi.interpreter.tracebacks import format_exception
from httpd_wsgi.shared import wire
from httpd_wsgi.shared.records import dataclass

Answer = tuple[int, bytes]

YES, NO, UNKNOWN = wire.VERDICT_YES, wire.VERDICT_NO, wire.VERDICT_UNKNOWN
TEXT, FAILED = wire.VERDICT_TEXT, wire.VERDICT_FAILED
NAME_MAX = 1024  # the three names of a dispatch script must fit into WIRE_VERDICT_MAX

GROUPS = "an iterable of the user's groups, each str or bytes"

_PLAIN = {True: (YES, b""), False: (NO, b""), None: (UNKNOWN, b"")}


class Problem(Exception):
    """What is logged when there is no verdict; with the traceback of `cause` when a script raised
    it.
    """

    def __init__(self, text: str, cause: BaseException | None = None) -> None:
        super().__init__(text)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Question:
    script: str  # absolute path, or "module:callable"
    reloading: bool
    environ: dict[str, Any]
    user: bytes
    argument: bytes

    @property
    def user_name(self) -> str:
        return self.user.decode("latin-1")

    @property
    def argument_text(self) -> str:
        return self.argument.decode("latin-1")


def call(
    kind: str, script: str, reloading: bool, environ: dict[str, Any], user: bytes, argument: bytes
) -> Answer:
    """Scripts are loaded again here when they change, also in a daemon: they are no reason to
    replace an application.
    """
    try:
        return _KINDS[kind](Question(script, reloading, environ, user, argument))
    except Problem as problem:
        log(wire.ERR, str(problem), problem.cause)
        return FAILED, b""


def log(level: int, text: str, exc: BaseException | None = None) -> None:
    if exc is not None:
        text = "\n".join([f"{text}: {type(exc).__name__}", *format_exception(exc)])
    _runtime.log(level, text)


# ---- scripts ----


def module_of(question: Question) -> Any:
    """The script's module, executed again when the file has changed. The same file has one module,
    whatever it is used for.
    """
    name = loader.module_name(question.script)
    with loader.lock_of(name):
        module = sys.modules.get(name)
        if module is None or (question.reloading and loader.changed(module, question.script, 0)):
            module = loader.execute(name, question.script)
        return module


def loaded(question: Question, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except BaseException as exc:
        raise Problem(f"WSGI0810: {question.script} could not be loaded", exc) from None


def function_of(question: Question, name: str) -> Callable[..., Any]:
    if not question.script.startswith("/"):
        target = loaded(
            question, lambda: loader.load_target(question.script, 0, question.reloading, True)
        )
        return target[0]  # type: ignore[no-any-return]
    module = loaded(question, lambda: module_of(question))
    function = vars(module).get(name)
    if function is None:
        described = loader.describe_callables(module, name)
        raise Problem(
            f"WSGI0811: {question.script} has no function {name}(); {described}; the directive needs that name"
        )
    return function  # type: ignore[no-any-return]


def run(question: Question, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except BaseException as exc:  # SystemExit too: the process is not the script's
        raise Problem(f"WSGI0812: {name}() of {question.script} raised", exc) from None


def ask(question: Question, name: str, *arguments: Any) -> Any:
    return run(question, name, function_of(question, name), question.environ, *arguments)


# ---- results ----


def wrong(question: Question, name: str, value: object, expected: str) -> Problem:
    """Results may be secrets, so of most only the type is shown."""
    shown = (
        repr(value)
        if value is None or isinstance(value, bool | int | float)
        else f"a value of type {type(value).__name__}"
    )
    if isinstance(value, str | bytes) and not value:
        shown = "an empty " + type(value).__name__
    hint = ""
    if expected.startswith("True") and not isinstance(value, str | bytes):
        hint = "; what is true or false in a condition does not count: return bool(...) of it"
    return Problem(
        f"WSGI0813: {name}() of {question.script} failed, as it returned {shown}; expected {expected}{hint}"
    )


def plain(value: object) -> Answer | None:
    """For True, False and None themselves: 1 == True, and a match object is true, but neither was
    meant to decide this.
    """
    return _PLAIN[value] if value is True or value is False or value is None else None


def native_bytes(text: str) -> bytes:
    """Native strings are bytes seen as ISO-8859-1 (PEP 3333). Those that are UTF-8 as such stay
    what they were, so what a script was given and returns comes back unchanged. Anything else is
    text.
    """
    try:
        encoded = text.encode("latin-1")
        encoded.decode("utf-8")
    except UnicodeError:
        return text.encode("utf-8")
    return encoded


def is_sound(value: bytes) -> bool:
    """Can it be a name in Apache's environment and log?"""
    return 0 < len(value) <= NAME_MAX and not any(byte < 0x20 or byte == 0x7F for byte in value)


def readable(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace").replace("\n", ", ")


# ---- the kinds of questions ----


def access(question: Question) -> Answer:
    name = "allow_access"
    host = question.environ.get("REMOTE_HOST") or question.environ["REMOTE_ADDR"]
    result = ask(question, name, host)
    answer = plain(result)
    if answer is None:
        raise wrong(
            question,
            name,
            result,
            "True (allowed, as far as this script goes), False (refused) or None (no opinion)",
        )
    return answer


def password(question: Question) -> Answer:
    name = "check_password"
    result = ask(question, name, question.user_name, question.argument_text)
    answer = plain(result)
    if answer is not None:
        return answer
    if isinstance(result, str):
        user = question.user if result == question.user_name else native_bytes(result)
        if is_sound(user):
            return TEXT, user
    raise wrong(
        question,
        name,
        result,
        "True (right), False (wrong), None (user unknown) or a str, the user's name from now on",
    )


def digest(question: Question) -> Answer:
    name = "get_realm_hash"
    result = ask(question, name, question.user_name, question.argument_text)
    if result is None:
        return UNKNOWN, b""
    value = result.encode("utf-8") if isinstance(result, str) and result.isascii() else result
    if not isinstance(value, bytes) or not is_sound(value):
        raise wrong(
            question,
            name,
            result,
            "None (user unknown) or the MD5 of user:realm:password in hexadecimal digits",
        )
    if len(value) != 32 or value.strip(b"0123456789abcdef"):
        log(
            wire.WARNING,
            f"WSGI0816: {name}() of {question.script} returned what is no MD5 in lower case; no password can match it",
        )
    return TEXT, value


def forms_of(question: Question, item: object) -> set[bytes]:
    """A group's name as it may be written in the configuration; case does not count."""
    if isinstance(item, bytes):
        return {item.lower()}
    if isinstance(item, str):
        as_text = item.encode("utf-8", "backslashreplace").lower()
        return (
            {as_text, item.encode("latin-1").lower()}
            if all(char <= "\xff" for char in item)
            else {as_text}
        )
    raise wrong(question, "groups_for_user", item, GROUPS)


def groups(question: Question) -> Answer:
    name = "groups_for_user"
    result = ask(question, name, question.user_name)
    try:
        items: Iterator[object] = iter(result)
    except TypeError:
        raise wrong(question, name, result, GROUPS) from None
    # An expression may be empty, and so may "".split(",")
    required = set(question.argument.lower().split(b"\n")) - {b""}
    found: set[bytes] = set()
    failure: BaseException | None = None
    try:
        for item in items:
            found |= forms_of(question, item)
    except Problem:
        raise
    except BaseException as exc:
        failure = exc
    if failure is not None:
        log(
            wire.ERR,
            f"WSGI0814: {name}() of {question.script} raised; the groups it had named count ({len(found)})",
            failure,
        )
    if required & found:
        return YES, b""
    if failure is not None:
        return FAILED, b""
    said = readable(b"\n".join(sorted(found)))[:1000] or "no group"
    hint = (
        '; a str counts as its characters: return ["name"] for one group'
        if isinstance(result, str)
        else ""
    )
    log(
        wire.INFO,
        f"WSGI0815: {readable(question.user)} is in none of the groups {readable(question.argument)}: "
        f"{name}() of {question.script} returned {said}{hint}",
    )
    return NO, b""


def dispatch(question: Question) -> Answer:
    """Three lines for process group, application group and callable: "-" for one that stays as it
    is, else "=" and the name.
    """
    module = loaded(question, lambda: module_of(question))
    lines = []
    for name in ("process_group", "application_group", "callable_object"):
        function = vars(module).get(name)
        result = None if function is None else run(question, name, function, question.environ)
        if result is None:
            lines.append(b"-")
            continue
        value = native_bytes(result) if isinstance(result, str) else result
        if not isinstance(value, bytes) or (value and not is_sound(value)):
            raise wrong(
                question,
                name,
                result,
                "None (leave it as it is) or a name, str or bytes without control characters",
            )
        lines.append(b"=" + value)
    return TEXT, b"\n".join(lines)


_KINDS: dict[str, Callable[[Question], Answer]] = {
    "access": access,
    "password": password,
    "digest": digest,
    "groups": groups,
    "dispatch": dispatch,
}
