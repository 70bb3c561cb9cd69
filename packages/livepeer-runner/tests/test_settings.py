"""Options from arguments and the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from livepeer.runner.errors import SettingsError
from livepeer.runner.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ORCH_URL", "ORCH_TOKEN", "ORCH_SECRET", "LIVEPEER_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_serve_a_container():
    settings = Settings()
    assert (settings.host, settings.port, settings.orch_url) == ("0.0.0.0", 5000, None)
    assert settings.keep_alive_s > 60  # the orchestrator's idle connections live for 60 s


@pytest.mark.parametrize("name", ["ORCH_TOKEN", "ORCH_SECRET", "LIVEPEER_ORCH_TOKEN"])
def test_the_secret_has_three_names_and_shows_in_none(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, "hush-hush")
    settings = Settings()
    assert settings.orch_token is not None
    assert settings.orch_token.get_secret_value() == "hush-hush"
    assert "hush" not in repr(settings)


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORCH_URL", "http://env")
    monkeypatch.setenv("LIVEPEER_PORT", "7001")
    assert Settings().orch_url == "http://env"
    settings = load_settings(orch_url="http://argument", port=None)
    assert (settings.orch_url, settings.port) == ("http://argument", 7001)


def test_empty_variables_are_absent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORCH_URL", "")
    assert Settings().orch_url is None


def test_a_wrong_value_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIVEPEER_PORT", "seven")
    with pytest.raises(SettingsError, match="port") as caught:
        load_settings()
    assert "seven" not in str(caught.value)


def test_settings_do_not_change():
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]
