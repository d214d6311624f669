"""Values of Slider's appConfig.json: `site.*`, and the variables that Slider replaces in them."""

from __future__ import annotations

import re

from knit_core.convert.draft import Draft
from knit_core.convert.fields import Fields
from knit_core.convert.shell import LOG_DIR, placeholders, template

_REFERENCE = re.compile(r"\{\$conf:@//site/([^/}]+)/([^}]+)\}")
_SITE = re.compile(r"\$\{site\.([^.}]+)\.([^}]+)\}")
_PORT = re.compile(r"\$\{([A-Za-z0-9_-]+)\.ALLOCATED_PORT\}(\{PER_CONTAINER\})?")
_FREE_PORT = 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
_MOST_DEPTH = 10
_MOST_REPLACED = 20_000  # values, for a component
_MOST_TEXT = 1 << 20
_OF_THE_CLUSTER = {"ZK_HOST", "NN_URI", "NN_HOST", "DEFAULT_ZK_PATH", "DEFAULT_DATA_DIR"}
_UNKNOWN = "has no equivalent: write its value"


class _CannotResolve(Exception):
    """A value has no end."""


class _PortOfAnother(_CannotResolve):
    """A value needs a port that another component chooses when it runs."""


class Values:
    """The application's configuration.

    Args:
        draft: for problems.
        application: its name.
        top: appConfig.json; None if there is none.
    """

    def __init__(self, draft: Draft, application: str, top: Fields | None) -> None:
        self.draft = draft
        self.application = application
        self.common = top.fields("global") if top else Fields(draft, None, draft.file)
        self.components = top.fields("components") if top else Fields(draft, None, draft.file)
        self.used: set[str] = set()

    def of(self, component: str) -> ComponentValues:
        """The values for one component."""
        return ComponentValues(self, component, self.components.fields(component))

    def rest(self) -> None:
        """What no command and no file uses is lost."""
        master = self.components.fields("slider-appmaster")
        master.rest("the ApplicationMaster takes what it needs")
        for key in self.common:
            if key not in self.used:
                self.common.lose(key, "nothing in the specification uses it")


class ComponentValues:
    """The values for one component: its own replace the application's."""

    def __init__(self, values: Values, component: str, own: Fields) -> None:
        self.values, self.component, self.own = values, component, own
        self.ports: dict[str, str] = {}
        self.replaced = 0
        self.dynamic: dict[str, str] = {
            "USER_NAME": "$USER",
            "USER": "$USER",
            "CONTAINER_ID": "$CONTAINER_ID",
            "AGENT_WORK_ROOT": "$PWD",
            "AGENT_LOG_ROOT": LOG_DIR,
            "THIS_HOST": "$(uname -n)",
        }

    def _value(self, group: str, key: str, fields: Fields, place: str, depth: int) -> str:
        name = f"site.{group}.{key}"
        holder = self.own if name in self.own else self.values.common
        if name not in holder:
            fields.wrong(place, f"appConfig.json has no value {name[:80]!r}")
            return ""
        self.values.used.add(name)
        return self._resolved(holder.text(name), holder, name, depth + 1)

    def _resolved(self, text: str, fields: Fields, place: str, depth: int = 0) -> str:
        """`text` with everything replaced but the names of `dynamic`."""
        self.replaced += 1
        if depth > _MOST_DEPTH or len(text) > _MOST_TEXT or self.replaced > _MOST_REPLACED:
            raise _CannotResolve("its values refer to one another without end, or are too long")
        text = _PORT.sub(lambda found: self._port(found, fields, place), text)
        for pattern in (_REFERENCE, _SITE):
            text = pattern.sub(lambda found: self._value(found[1], found[2], fields, place, depth), text)
        text = text.replace("${COMPONENT_NAME}", self.component).replace("${CLUSTER_NAME}", self.values.application)
        return text

    def _port(self, found: re.Match[str], fields: Fields, place: str) -> str:
        if found[1] != self.component:
            raise _PortOfAnother(f"the port of {found[1]} is only known there: let it put it into the key-value store")
        name = self.ports.setdefault(place if found[2] else found[1], f"SLIDER_PORT_{len(self.ports) + 1}")
        self.dynamic[name] = f"${name}"
        return f"${{{name}}}"

    def _checked(self, text: str, fields: Fields, place: str) -> str:
        for name in placeholders(text):
            if name not in self.dynamic and ("." in name or name in _OF_THE_CLUSTER):
                fields.wrong(place, f"${{{name[:80]}}} {_UNKNOWN}")
        return text

    def in_command(self, command: str, fields: Fields, place: str) -> str:
        """A command for bash."""
        try:
            text = self._checked(self._resolved(command, fields, place), fields, place)
        except _CannotResolve as error:
            fields.wrong(place, str(error))
            return command
        for name in ("USER_NAME", "AGENT_WORK_ROOT", "AGENT_LOG_ROOT", "THIS_HOST"):
            text = text.replace(f"${{{name}}}", self.dynamic[name])
        return text

    def dictionary(self, group: str, fields: Fields) -> dict[str, str]:
        """The values of `site.<group>.*`."""
        found = {}
        for holder in (self.values.common, self.own):
            for name in list(holder):
                if name.startswith(f"site.{group}."):
                    self.values.used.add(name)
                    try:
                        text = self._checked(self._resolved(holder.text(name), holder, name), holder, name)
                    except _PortOfAnother as error:
                        holder.lose(name, f"not in the file of {self.component}: {error}")
                        continue
                    except _CannotResolve as error:
                        holder.wrong(name, str(error))
                        continue
                    found[name.removeprefix(f"site.{group}.")] = text
        return found

    def shell_word(self, text: str) -> str:
        """A text of an export as a word of bash."""
        try:
            return template(self._resolved(text, self.values.common, ""), self.dynamic)
        except _CannotResolve as error:
            self.values.common.wrong("", str(error))
            return "0"

    def setup(self) -> list[str]:
        """Lines that find free ports."""
        return [f"{name}=\"$(python3 -c '{_FREE_PORT}')\" && export {name}" for name in self.ports.values()]


__all__ = ["ComponentValues", "Values"]
