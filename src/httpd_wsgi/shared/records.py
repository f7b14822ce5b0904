"""What supervisors and workers need of the module dataclasses, which would bring inspect, ast,
tokenize and re along and compile functions for each class. Type checkers are shown the real one.

Fields are slots, in the order of the class; frozen ones can be keys. That nobody sets a frozen one
is left to the type checker.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace
else:

    class Made:
        """A default that is made for each object."""

        def __init__(self, factory):
            self.factory = factory

    def field(*, default_factory):
        return Made(default_factory)

    def values(record):
        return tuple(getattr(record, name) for name in record.__slots__)

    def set_fields(record, *given, **named):
        names = record.__slots__
        if len(given) > len(names):
            raise TypeError(f"{type(record).__name__} has {len(names)} fields, not {len(given)}")
        for name, value in zip(names, given, strict=False):
            setattr(record, name, value)
        for name in names[len(given) :]:
            if name in named:
                setattr(record, name, named.pop(name))
            elif name in record.defaults:
                default = record.defaults[name]
                setattr(record, name, default.factory() if isinstance(default, Made) else default)
            else:
                raise TypeError(f"{type(record).__name__} needs {name}=")
        if named:
            raise TypeError(
                f"{type(record).__name__} has no field {next(iter(named))}, or has it twice"
            )

    def are_equal(record, other):
        return values(record) == values(other) if type(record) is type(other) else NotImplemented

    def hash_of(record):
        return hash(values(record))

    def describe(record):
        pairs = ", ".join(f"{name}={getattr(record, name)!r}" for name in record.__slots__)
        return f"{type(record).__qualname__}({pairs})"

    def replace(record, **changes):
        return type(record)(
            **{**{name: getattr(record, name) for name in record.__slots__}, **changes}
        )

    def dataclass(*, frozen=False, slots=True):
        def make(cls):
            body = dict(vars(cls))
            names = tuple(cls.__annotations__)
            body["defaults"] = {name: body.pop(name) for name in names if name in body}
            for name in ("__dict__", "__weakref__"):
                body.pop(name, None)
            functions = {"__init__": set_fields, "__eq__": are_equal, "__repr__": describe}
            functions["__hash__"] = hash_of if frozen else None
            return type(
                cls.__name__, (), {**functions, **body, "__slots__": names, "__match_args__": names}
            )

        return make


__all__ = ["dataclass", "field", "replace"]
