"""Values of TOPAS parameters: numbers with units, references, the arithmetic that TOPAS knows, and step time features.

The forms are those listed in OpenTOPAS parameter/TsParameterFile.cc (ProcessTempParameters): at most two operands,
with + or - or *, and always a unit behind a dimensioned result. Everything else is refused, as TOPAS refuses it.
References go to the final value of a parameter, after all overrides; `inheritedValue` goes to the overridden one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from surrogate3d.errors import FormatError, QuantityError, UnsupportedError
from surrogate3d.io.topas_assignments import Parameter
from surrogate3d.io.topas_terms import (
    INTEGER,
    OPERATORS,
    Dimensioned,
    counted,
    is_name,
    is_number,
    joined,
    literal,
    refused,
    rounded,
    scaled,
    spread,
    tokens,
    truth,
)
from surrogate3d.io.topas_units import unit_of


class Moment:
    """The parameters of a run at one time of its sequence.

    Attributes:
        features: names of the time features that values followed so far.
    """

    def __init__(self, by_name: Mapping[str, Parameter], time_ns: float) -> None:
        """Evaluate at `time_ns` of the timeline."""
        self.features: set[str] = set()
        self._by_name = by_name
        self._time_ns = time_ns
        self._following: list[Parameter] = []

    def double(self, found: Parameter) -> Dimensioned:
        """A dimensioned number (type d).

        Raises:
            FormatError: a reference to nothing, or to itself.
            QuantityError: units that do not agree.
            UnsupportedError: not of the forms of TOPAS, or a time feature that is not a step.
        """
        with self._follow(found):
            value = self._double(found)
        if len(value.values) != 1:
            raise refused(found)
        return value

    def unitless(self, found: Parameter) -> float:
        """A number without unit (type u). Raises: as `double`."""
        with self._follow(found):
            match tokens(found):
                case [word]:
                    return self._scalar(found, word)
                case [a, "+" | "-" | "*" as sign, b] if not (is_number(a) and is_number(b)):
                    return OPERATORS[sign](self._scalar(found, a), self._scalar(found, b))
            raise refused(found)

    def integer(self, found: Parameter) -> int:
        """An integer (type i); what a unitless parameter brings in is rounded. Raises: as `double`."""
        with self._follow(found):
            match tokens(found):
                case [word] if INTEGER.fullmatch(word):
                    return int(word)
                case [name] if is_name(name):
                    return rounded(self._scalar(found, name))
                case [a, "*", b] if not (is_number(a) and is_number(b)):
                    return rounded(self._whole(found, a) * self._scalar(found, b))
                case [a, "+" | "-" as sign, b] if not (is_number(a) and is_number(b)):
                    return rounded(OPERATORS[sign](self._whole(found, a), self._whole(found, b)))
            raise refused(found)

    def boolean(self, found: Parameter) -> bool:
        """A boolean (type b): "True" or its like, a reference, or the product of two. Raises: as `double`."""
        with self._follow(found):
            match tokens(found):
                case [word] if word.startswith('"'):
                    return truth(found, word[1:-1].strip())
                case [name] if is_name(name):
                    return self.boolean(self._target(found, name))
                case [name, "*", other] if is_name(name) and is_name(other):
                    values = [self.boolean(self._target(found, word)) for word in (name, other)]
                    return all(values)
            raise refused(found)

    def string(self, found: Parameter) -> str:
        """A string (type s), or two put together, of which one may be an integer. Raises: as `double`."""
        with self._follow(found):
            match tokens(found):
                case [word]:
                    return self._text(found, word)
                case [a, "+", b] if is_name(a) or is_name(b):
                    return self._text(found, a) + self._text(found, b)
            raise refused(found)

    def double_vector(self, found: Parameter) -> Dimensioned:
        """Dimensioned numbers (type dv); a value may be the name of a parameter of type d. Raises: as `double`."""
        with self._follow(found):
            words = tokens(found)
            match words:
                case [n, "*", name, unit] if is_number(n):
                    return scaled(found, self._referred(found, name, unit), float(n))
                case [name, "*", vector, unit] if is_name(name):
                    return scaled(found, self._referred(found, vector, unit), *self._factors(found, name))
                case [name, unit] if is_name(name):
                    return self._referred(found, name, unit)
            values, rest = counted(found, words)
            match rest:
                case ["*", name, unit]:
                    factors = tuple(self._scalar(found, value) for value in values)
                    return scaled(found, self._referred(found, name, unit), *factors)
                case [unit] if unit not in OPERATORS:
                    return self._components(found, values, unit)
                case [unit, "+" | "-" as sign, name]:
                    return joined(found, sign, self._components(found, values, unit), self._referred(found, name, unit))
                case [unit, "*", name]:
                    return scaled(found, self._components(found, values, unit), *self._factors(found, name))
            raise refused(found)

    def number_vector(self, found: Parameter) -> tuple[float, ...]:
        """Numbers without unit (types uv and iv). Raises: as `double`."""
        with self._follow(found):
            words = tokens(found)
            match words:
                case [a, "*", vector] if is_number(a) or is_name(a):
                    return tuple(spread(found, "*", self._factors(found, a), self._factors(found, vector)))
                case [name] if is_name(name):
                    return self._factors(found, name)
            values, rest = counted(found, words)
            own = tuple(self._scalar(found, value) for value in values)
            match rest:
                case []:
                    return own
                case ["+" | "-" | "*" as sign, name]:
                    return tuple(spread(found, sign, own, self._factors(found, name)))
            raise refused(found)

    def string_vector(self, found: Parameter) -> tuple[str, ...]:
        """Strings (type sv); what "+" names is put behind, element by element. Raises: as `double`."""
        with self._follow(found):
            words = tokens(found)
            if len(words) == 1 and is_name(words[0]):
                return self.string_vector(self._target(found, words[0]))
            values, rest = counted(found, words)
            own = tuple(self._text(found, value) for value in values)
            match rest:
                case []:
                    return own
                case ["+", name] if is_name(name):
                    ends = self._texts(found, name)
                    if len(ends) not in (1, len(own)):
                        raise FormatError(f"{found.where}: {found.name} combines {len(own)} and {len(ends)} strings")
                    return tuple(a + b for a, b in zip(own, ends if len(ends) > 1 else ends * len(own), strict=True))
            raise refused(found)

    def _double(self, found: Parameter) -> Dimensioned:
        match tokens(found):
            case [n, "*", name, unit] if is_number(n):
                return scaled(found, self._referred(found, name, unit), float(n))
            case [n, unit] if is_number(n) and unit not in OPERATORS:
                return literal((n,), unit)
            case [n, unit, "+" | "-" as sign, name] if is_number(n):
                return joined(found, sign, literal((n,), unit), self._referred(found, name, unit))
            case [n, unit, "*", name] if is_number(n):
                return scaled(found, literal((n,), unit), self._scalar(found, name))
            case [name, "+" | "-" as sign, n, unit] if is_number(n):
                return joined(found, sign, self._referred(found, name, unit), literal((n,), unit))
            case [name, "+" | "-" as sign, other, unit]:
                return joined(found, sign, self._referred(found, name, unit), self._referred(found, other, unit))
            case [name, "*", n, unit] if is_number(n):
                return scaled(found, literal((n,), unit), self._scalar(found, name))
            case [name, unit] if is_name(name) and unit not in OPERATORS:
                return self._referred(found, name, unit)
            case [name, unit, "*", factor] if is_name(name):
                return scaled(found, self._referred(found, name, unit), self._scalar(found, factor))
        raise refused(found)

    @contextmanager
    def _follow(self, found: Parameter) -> Iterator[None]:
        if found in self._following:
            raise FormatError(f"{found.where}: {found.name} refers to itself through {self._following[-1].name}")
        self._following.append(found)
        try:
            yield
        finally:
            self._following.pop()

    def _target(self, found: Parameter, name: str) -> Parameter:
        """The parameter that a word names; the overridden one for `inheritedValue` and for its own name."""
        key = name.lower()
        if key in ("inheritedvalue", found.name.lower()):
            if found.inherited is None:
                raise FormatError(f"{found.where}: {found.name} refers to itself, and no included file sets it")
            return found.inherited
        if key in self._by_name:
            return self._by_name[key]
        if key.startswith("tf/") and key.endswith("/value"):
            return self._step(found, name)
        if key.startswith("ge/") and key[:-1].endswith("/dicomorigin"):
            raise UnsupportedError(
                f"{found.where}: {found.name} refers to {name}, which TOPAS takes from the CT when it runs; score in "
                "the patient, or in a box whose Parent is the patient"
            )
        raise FormatError(f"{found.where}: {found.name} refers to {name}, which is not set")

    def _step(self, found: Parameter, name: str) -> Parameter:
        """The value of a step time feature now, as if it were written out (TsDoubleFromTimeFeatureStep.cc)."""
        feature = name[: -len("/value")]
        values, function = (self._by_name.get(f"{feature}/{part}".lower()) for part in ("Values", "Function"))
        kind = self.string(function) if function else "Step"
        if kind.strip().lower() != "step" or values is None:
            raise UnsupportedError(
                f"{found.where}: {found.name} follows time feature {feature} with function {kind!r}, and only Step "
                "with Values is evaluated; write the value out"
            )
        self.features.add(feature)
        times = self._by_name.get(f"{feature}/times".lower())
        if times is None:
            raise FormatError(f"{values.where}: {feature} has Values and no Times")
        words, rest = counted(values, tokens(values))
        text = " ".join([words[self._step_index(times, len(words))], *rest])
        return Parameter(name, values.type.removesuffix("v"), text, values.where)

    def _step_index(self, times: Parameter, n_values: int) -> int:
        ends = self.double_vector(times)
        if ends.kind != "time" or len(ends.values) != n_values or min(ends.values) <= 0:
            raise FormatError(
                f"{times.where}: expected {n_values} times above 0 with a unit, found {times.text[:80]!r}"
            )
        now = math.fmod(self._time_ns, ends.values[-1])
        if any(a >= b for a, b in zip(ends.values, ends.values[1:], strict=False)):
            raise FormatError(f"{times.where}: times of steps must ascend, found {times.text[:80]!r}")
        return next(index for index, end in enumerate(ends.values) if now < end)

    def _referred(self, found: Parameter, name: str, unit: str) -> Dimensioned:
        """A named dimensioned number or vector; the unit states what kind it must be, not a scale."""
        if not is_name(name) or unit in OPERATORS:
            raise refused(found)
        target = self._target(found, name)
        value = self.double_vector(target) if target.type == "dv" else self.double(target)
        if value.kind != unit_of(unit)[0]:
            raise QuantityError(
                f"{found.where}: {found.name} = {found.text[:80]!r} needs {name} in a unit like {unit!r}, found "
                f"{value.unit!r} at {target.where}"
            )
        return value

    def _components(self, found: Parameter, words: list[str], unit: str) -> Dimensioned:
        kind = unit_of(unit)[0]
        parts = [literal((w,), unit) if is_number(w) else self._referred(found, w, unit) for w in words]
        return Dimensioned(tuple(part.values[0] for part in parts), kind, unit)

    def _factors(self, found: Parameter, word: str) -> tuple[float, ...]:
        """A number as written, or what a parameter without unit holds: one value, or those of a vector."""
        if not is_number(word) and not is_name(word):
            raise refused(found)
        if not is_number(word) and (target := self._target(found, word)).type in ("uv", "iv"):
            return self.number_vector(target)
        return (self._scalar(found, word),)

    def _scalar(self, found: Parameter, word: str) -> float:
        """A number as written, or the value of a parameter of type u or i."""
        if is_number(word):
            return float(word)
        if not is_name(word):
            raise refused(found)
        target = self._target(found, word)
        return float(self.integer(target)) if target.type == "i" else self.unitless(target)

    def _whole(self, found: Parameter, word: str) -> int:
        if INTEGER.fullmatch(word):
            return int(word)
        if not is_name(word):
            raise refused(found)
        return self.integer(self._target(found, word))

    def _text(self, found: Parameter, word: str) -> str:
        if word.startswith('"'):
            return word[1:-1]
        target = self._target(found, word)
        return str(self.integer(target)) if target.type == "i" else self.string(target)

    def _texts(self, found: Parameter, name: str) -> tuple[str, ...]:
        target = self._target(found, name)
        if target.type == "iv":
            return tuple(str(int(value)) for value in self.number_vector(target))
        return self.string_vector(target) if target.type == "sv" else (self._text(found, name),)
