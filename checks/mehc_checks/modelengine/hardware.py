"""``recommendedHardware``: the tables from which the platform takes an LLM endpoint's hardware when a request has none.

The chart writes both tables as text into one ConfigMap, and the gateway parses that text for each request. So a value
counts as YAML reads it there: "24" in quotes is the number 24, and "foo #x" is "foo". Held against the platform's own
answers by ``tests/platform``. Sources: the chart's recommended_hardware template; the creation of LLM endpoints and its
limits of resources by GPU type in model engine.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import yaml

from mehc_checks.core import yamltext
from mehc_checks.modelengine.configuration import displayed, printed
from mehc_checks.modelengine.modelsize import parameters
from mehc_checks.modelengine.names import CHART, fullname
from mehc_checks.modelengine.tier import BY_MEMORY, FIELDS, Fault, Harm, Tier, read_tier
from mehc_checks.modelengine.values import Values

ROOT: Final = "recommendedHardware"
CONFIG_MAP: Final = "model-engine-recommended-hardware-config"
"""Looked for by this name, whatever the chart's fullname is."""
BY_NAME: Final = "byModelName"
KEYS: Final = {BY_MEMORY: "gpu_memory_le", BY_NAME: "name"}


class Refused(Exception):  # noqa: N818 - the platform's answer
    """The platform creates no endpoint; ``str()`` is the fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """Both tables as the platform reads them: by name, and in the order of memory.

    ``broken`` is why it reads neither, ``unordered`` why it cannot choose by memory.
    """

    by_name: Mapping[Any, Tier | Fault]
    by_memory: tuple[tuple[Any, Tier | Fault], ...]
    faults: tuple[Fault, ...]
    broken: Fault | None = None
    unordered: Fault | None = None

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """Those that a request can get, as soon as the tables can be read."""
        found = (*(entry for _, entry in self.by_memory), *self.by_name.values())
        hidden = {fault.path.rpartition(".")[0] for fault in self.faults if fault.harm is Harm.HIDDEN}
        return tuple(entry for entry in found if isinstance(entry, Tier) and entry.path not in hidden)

    def choose(self, model: str, gigabytes: int) -> Tier:
        """What an endpoint of ``model`` gets, which needs ``gigabytes`` of GPU memory. Raises Refused."""
        if self.broken:
            raise Refused(self.broken)
        entry = self.by_name.get(model)
        if entry is None:
            if self.unordered:
                raise Refused(self.unordered)
            entry = next((each for most, each in self.by_memory if gigabytes <= most), None)
        if entry is None:
            entry = Fault(path=f"{ROOT}.{BY_MEMORY}", message=f"has no tier of {gigabytes} GB or more")
        if isinstance(entry, Fault):
            raise Refused(entry)
        return entry


MOST_ENTRIES: Final = 500
"""Entries of a table that are read; the platform's own tables have a dozen."""


def read(values: Values) -> Hardware:
    """The tables of ``values``, with all that is wrong with them."""
    whole = list(_of_config_map(values))
    given = values.get(ROOT)
    tables = given if isinstance(given, Mapping) else {}
    named, sized = (list(_entries(tables, table, whole)) for table in (BY_NAME, BY_MEMORY))
    by_name = {seen["name"]: read_tier(path, seen["name"], seen) for path, seen in named}
    by_memory = [
        (seen["gpu_memory_le"], read_tier(path, seen["gpu_memory_le"], seen)) for path, seen in sized
    ]
    unordered = next(_unordered(tables, sized), None)
    if not unordered:
        by_memory.sort(key=lambda entry: entry[0])
    if not whole and not named:
        whole.append(_empty(tables, BY_NAME))
    entries = (*(entry for _, entry in by_memory), *by_name.values())
    return Hardware(
        by_name=by_name,
        by_memory=tuple(by_memory),
        faults=(
            *whole,
            *([unordered] if unordered and unordered not in whole else ()),
            *(entry for entry in entries if isinstance(entry, Fault)),
            *_hidden_names(named),
            *(() if unordered else _hidden_sizes(sized)),
        ),
        broken=whole[0] if whole else None,
        unordered=unordered,
    )


def _of_config_map(values: Values) -> Iterator[Fault]:
    """Why the gateway finds no ConfigMap."""
    given = values.get(ROOT)
    if not given:  # the chart makes none
        yield Fault(path=ROOT, message="is not set", harm=Harm.ALL)
    elif not isinstance(given, Mapping):
        yield Fault(path=ROOT, message="must be a map", harm=Harm.ALL)
    elif (name := fullname(values)) != CHART:
        path = "fullnameOverride" if values.text("fullnameOverride") else "serviceIdentifier"
        message = f"names the ConfigMap {name}-recommended-hardware-config; the gateway reads {CONFIG_MAP}"
        yield Fault(path=path, message=message, harm=Harm.ALL)


def _empty(tables: Mapping[str, Any], table: str) -> Fault:
    message = "is not set" if tables.get(table) is None else "is empty"
    return Fault(path=f"{ROOT}.{table}", message=f"{message}: it needs at least one entry", harm=Harm.ALL)


def _unordered(tables: Mapping[str, Any], sized: list[tuple[str, Mapping[str, Any]]]) -> Iterator[Fault]:
    """Why no tier can be chosen by memory."""
    if not sized:
        yield _empty(tables, BY_MEMORY)
    for path, seen in sized:
        size = seen["gpu_memory_le"]
        if not isinstance(size, int | float):
            message = "is not set" if size is None else f"must be a number, not {size!r}"
            yield Fault(path=f"{path}.gpu_memory_le", message=message, harm=Harm.ALL)


def _entries(
    tables: Mapping[str, Any], table: str, faults: list[Fault]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The entries that Helm and the gateway can read, with their paths; for the others they read nothing at all."""
    path, found = f"{ROOT}.{table}", tables.get(table)
    if isinstance(found, Mapping):  # the chart takes its values, in the order of their keys
        entries = [(f"{path}.{key}", found[key]) for key in sorted(found, key=str)]
    elif isinstance(found, list):
        entries = [(f"{path}[{index}]", entry) for index, entry in enumerate(found)]
    else:
        entries = []
        if found is not None:
            faults.append(Fault(path=path, message="must be a list", harm=Harm.ALL))
    for where, entry in entries[:MOST_ENTRIES]:
        if not isinstance(entry, Mapping):
            faults.append(Fault(path=where, message="must be a map", harm=Harm.ALL))
            continue
        try:
            seen = {name: _seen(f"{where}.{name}", entry.get(name)) for name in (KEYS[table], *FIELDS)}
        except Refused as refused:
            faults.append(refused.fault)
            continue
        if _hashable(seen[KEYS[table]]):
            yield where, seen
        else:
            message = f"must be one value, not {seen[KEYS[table]]}"
            faults.append(Fault(path=f"{where}.{KEYS[table]}", message=message, harm=Harm.ALL))


def _hashable(key: Any) -> bool:
    return not isinstance(key, dict | list)


def _seen(path: str, value: Any) -> Any:
    """What the gateway reads where the chart has written ``value``. Raises Refused."""
    text = printed(value)
    read = _item(text)
    if not (isinstance(read, list) and len(read) == 1 and isinstance(read[0], dict) and len(read[0]) == 2):
        message = f"is {displayed(value)!r}, which breaks the YAML that the gateway reads"
        raise Refused(Fault(path=path, message=message, harm=Harm.ALL))
    return read[0]["key"]


@lru_cache(4096)
def _item(text: str) -> Any:
    """A list as the gateway reads it, with ``text`` as the first value of its item; None where it is no YAML."""
    try:
        return yamltext.load(f"- key: {text}\n  next: 1\n")
    except yaml.YAMLError:
        return None


def _hidden_names(named: list[tuple[str, Mapping[str, Any]]]) -> Iterator[Fault]:
    """Of entries with one name the last is taken; and no model without a size in its name gets that far."""
    last = {seen["name"]: path for path, seen in named}
    for path, seen in named:
        name, winner = seen["name"], last[seen["name"]]
        if path != winner:
            yield _hidden(f"{path}.name", name, winner)
        elif not isinstance(name, str) or parameters(name) is None:
            message = f"is {name!r}, in which the platform finds no number of parameters (such as 8b)"
            yield Fault(path=f"{path}.name", message=message, harm=Harm.HIDDEN)


def _hidden_sizes(sized: list[tuple[str, Mapping[str, Any]]]) -> Iterator[Fault]:
    """Of tiers with one size the first is taken."""
    first: dict[Any, str] = {}
    for path, seen in sized:
        size, where = seen["gpu_memory_le"], f"{path}.gpu_memory_le"
        winner = first.setdefault(size, path)
        if path != winner:
            yield _hidden(where, size, winner)
        elif size <= 0:
            yield Fault(path=where, message=f"is {size}: every model is larger", harm=Harm.HIDDEN)


def _hidden(path: str, key: Any, winner: str) -> Fault:
    message = f"is {key}, as in {winner}, which is used instead"
    return Fault(path=path, message=message, harm=Harm.HIDDEN, winner=winner)
