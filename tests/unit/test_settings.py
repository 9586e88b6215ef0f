from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.errors import SettingsError
from tidegate.settings import Settings, get_settings, read_settings


def test_everything_has_a_default():
    settings = read_settings()
    assert (settings.database_url, settings.broker_url, settings.result_backend) == (None, None, None)
    assert settings.home == Path.cwd() / ".tidegate"


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch):
    Path(".env").write_text("TIDEGATE_HTTP_PORT=1001\nTIDEGATE_LEASE_SECONDS=7\n")
    monkeypatch.setenv("TIDEGATE_HTTP_PORT", "1002")
    assert (read_settings().http_port, read_settings().lease_seconds) == (1002, 7)


def test_database_url_of_another_program_is_never_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody-else/")
    assert read_settings().database_url is None


def test_a_blank_line_copied_from_the_example_means_not_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TIDEGATE_DATABASE_URL", "")
    assert read_settings().database_url is None


def test_home_stays_the_same_after_a_change_of_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    settings = read_settings(home="data")
    monkeypatch.chdir("/")
    assert settings.home == tmp_path / "data"


def test_settings_are_read_once(monkeypatch: pytest.MonkeyPatch):
    first = get_settings()
    monkeypatch.setenv("TIDEGATE_HTTP_PORT", "1")
    assert get_settings() is first


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIDEGATE_HTTP_PORT", "70000"),
        ("TIDEGATE_DEVICE", "tpu"),
        ("TIDEGATE_LEASE_SECONDS", "soon"),
        ("TIDEGATE_POSTGRES_SETTINGS", "{broken"),
    ],
)
def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        read_settings()


def test_server_settings_are_json(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TIDEGATE_POSTGRES_SETTINGS", '{"shared_buffers": "1GB"}')
    assert read_settings().postgres_settings == {"shared_buffers": "1GB"}


def test_addresses_with_passwords_are_not_shown():
    settings = read_settings(
        database_url="postgresql://me:secret@db/x",
        broker_url="amqp://me:secret@mq",
        result_backend="db+secret",
    )
    assert "secret" not in repr(settings)
    assert "secret" not in str(settings)


def test_the_example_lists_every_setting():
    example = (Path(__file__).parents[2] / ".env.example").read_text()
    missing = [name for name in Settings.model_fields if f"TIDEGATE_{name.upper()}=" not in example]
    assert missing == []
