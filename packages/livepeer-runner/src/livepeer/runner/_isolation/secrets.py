"""What the model process is not told: it has no use for it, and runs code of others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, get_args

from pydantic import AliasChoices, SecretStr

from livepeer.runner.settings import Settings

if TYPE_CHECKING:
    from pydantic import JsonValue


def settings_without_secrets(settings: Settings) -> dict[str, JsonValue]:
    """All settings that are no secrets."""
    return settings.model_dump(mode="json", exclude=set(_secrets()))


def environment_without_secrets() -> dict[str, str]:
    """This process's environment without the variables that secret settings are read from."""
    hidden = {name.upper() for names in _secrets().values() for name in names}
    return {name: value for name, value in os.environ.items() if name.upper() not in hidden}


def _secrets() -> dict[str, list[str]]:
    """Secret settings, and the environment variables of each."""
    prefix = Settings.model_config.get("env_prefix", "")
    found: dict[str, list[str]] = {}
    for name, field in Settings.model_fields.items():
        if SecretStr in (field.annotation, *get_args(field.annotation)):
            alias = field.validation_alias
            choices = alias.choices if isinstance(alias, AliasChoices) else []
            found[name] = [f"{prefix}{name}", *map(str, choices)]
    return found
