"""Options from arguments and the environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from livepeer.runner._isolation.secrets import settings_without_secrets
from livepeer.runner.errors import SettingsError
from livepeer.runner.settings import Settings, load_settings, misspelt_variables

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ORCH_URL", "ORCH_TOKEN", "ORCH_SECRET", "LIVEPEER_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_others_reach_a_container_and_no_other_machine_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    marker = tmp_path / ".dockerenv"
    monkeypatch.setattr("livepeer.runner.settings._CONTAINER_FILES", (marker,))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert Settings().host == "127.0.0.1"
    marker.touch()
    assert Settings().host == "0.0.0.0"
    marker.unlink()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert Settings().host == "0.0.0.0"


def test_defaults():
    settings = Settings()
    assert (settings.port, settings.orch_url, settings.log_format) == (5000, None, "auto")
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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("prot", "prot is no setting; did you mean port?"),
        ("auth_tokn", "auth_tokn is no setting; did you mean auth_token?"),
        ("LIVEPEER_PORT", "LIVEPEER_PORT is no setting"),
        ("zzzzz", "zzzzz is no setting"),
    ],
)
def test_an_argument_that_is_no_setting_is_refused(name: str, said: str):
    options: dict[str, object] = {name: "hush-hush"}
    with pytest.raises(ValidationError, match=re.escape(said)) as caught:
        Settings.model_validate(options)
    assert "hush" not in str(caught.value)
    with pytest.raises(SettingsError, match=f"^settings are not valid: {re.escape(said)}") as told:
        load_settings(**options)
    assert "hush" not in str(told.value)


def test_settings_come_again_in_another_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORCH_URL", "http://env")
    monkeypatch.setenv("VERSION", "1.2.3")
    settings = Settings(orch_url="http://argument", workers=2)
    again = Settings.model_validate(settings_without_secrets(settings))
    assert again.model_dump() == settings.model_dump()


@pytest.mark.parametrize(
    ("name", "meant"), [("PROT", "PORT"), ("AUTH_TOKN", "AUTH_TOKEN"), ("worker", "WORKERS")]
)
def test_a_variable_that_is_close_to_a_setting_is_told(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
):
    assert misspelt_variables() == []
    monkeypatch.setenv(f"LIVEPEER_{name}", "1")
    assert misspelt_variables() == [
        f"LIVEPEER_{name} is no setting; did you mean LIVEPEER_{meant}?"
    ]


def test_no_variable_of_ours_is_taken_for_a_mistake(monkeypatch: pytest.MonkeyPatch):
    files = [
        path
        for folder in ("packages", "examples", "tests", "docs")
        for kind in ("*.py", "*.md", "*.yaml")
        for path in (ROOT / folder).rglob(kind)
        if path != Path(__file__)
    ]
    named = {
        name
        for path in files
        for name in re.findall(r"\bLIVEPEER_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))
    }
    assert {"LIVEPEER_ADAPTER_CACHE", "LIVEPEER_PORT", "LIVEPEER_ORCH_TOKEN"} <= named
    named.discard("LIVEPEER_PROT")  # the mistake of a test
    for name in (*named, "LIVEPEER_PLAYBACK_URL", "LIVEPEER_SERVICE_HOST", "LIVEPEER_API_KEY"):
        monkeypatch.setenv(name, "1")
    assert misspelt_variables() == []
