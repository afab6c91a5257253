"""Where settings come from, and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.llm_settings import server_name
from service.settings import Settings, SettingsFileError, inherited_link, load_settings

LLM = '[llm.main]\nurl = "http://127.0.0.1:8000"\nmodel = "tiny"\n'


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No QUARRY_ variable, and a working directory whose files must not be found."""
    import os  # noqa: PLC0415  only here is the environment looked at

    for name in [name for name in os.environ if name.startswith("QUARRY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quarry.toml").write_text("[server]\nport = 1\n")
    (tmp_path / ".env").write_text("QUARRY_SERVER__PORT=2\n")
    yield


def toml(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_defaults() -> None:
    settings = load_settings()
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.data_dir == Path("quarry-data")
    assert settings.default_llm == "extractive"


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = toml(tmp_path, "[server]\nport = 9001\nlog_level = 'debug'\nhost = '127.0.0.2'\n[index]\nnprobe = 7\n")
    monkeypatch.setenv("QUARRY_SERVER__PORT", "9002")
    monkeypatch.setenv("QUARRY_SERVER__HOST", "127.0.0.3")
    settings = load_settings(config, {"server": {"port": 9003}})
    assert settings.server.port == 9003
    assert settings.server.host == "127.0.0.3"
    assert settings.server.log_level == "debug"
    assert settings.index.nprobe == 7
    assert settings.index.seal_rows is None


def test_every_level_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(toml(tmp_path, "[server]\nport = 9001\n")).server.port == 9001
    monkeypatch.setenv("QUARRY_SERVER__PORT", "9002")
    assert load_settings().server.port == 9002
    assert load_settings(flags={"server": {"port": 9003}}).server.port == 9003


def test_top_level_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_DATA_DIR", "/srv/quarry")
    assert load_settings(toml(tmp_path, 'data_dir = "/elsewhere"\n')).data_dir == Path("/srv/quarry")


@pytest.mark.parametrize(
    ("variable", "where"),
    [
        ("QUARRY_BOGUS", "bogus"),
        ("QUARRY_BOGUS__PORT", "bogus"),
        ("QUARRY_SERVER_PORT", "server_port"),
        ("QUARRY_SERVER__PROT", "server.prot"),
        ("QUARRY_SERVER__PORT__DEEP", "server.port"),
        ("QUARRY_LLM__MAIN__MODLE", "llm.main"),
    ],
)
def test_unknown_variables(monkeypatch: pytest.MonkeyPatch, variable: str, where: str) -> None:
    monkeypatch.setenv(variable, "7")
    with pytest.raises(ValidationError) as raised:
        load_settings()
    assert any(".".join(map(str, error["loc"])).startswith(where) for error in raised.value.errors())


@pytest.mark.parametrize("text", ["bogus = 1", "[bogus]\na = 1", "[server]\nprot = 1", LLM + "modle = 'x'"])
def test_unknown_names_in_the_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        load_settings(toml(tmp_path, text))


@pytest.mark.parametrize("flags", [{"bogus": 1}, {"server": {"prot": 1}}])
def test_unknown_flags(flags: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        load_settings(flags=flags)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"server": {"port": 65_536}}, "less than or equal to 65535"),
        ({"server": {"max_body_bytes": 10}}, "greater than or equal to 1024"),
        ({"index": {"seal_rows": 255}}, "greater than or equal to 256"),
        ({"chunking": {"size": 20, "overlap": 20}}, "overlap 20 must be smaller than size 20"),
        ({"answer": {"llm": "main"}}, "answer.llm is 'main', but no llm.main is configured"),
        ({"answer": {"min_score": float("nan")}}, "finite number"),
        ({"llm": {"extractive": {"url": "http://x", "model": "m"}}}, "belongs to the built-in generator"),
        ({"llm": {"main": {"url": "ftp://x", "model": "m"}}}, "should match pattern"),
        ({"llm": {"main": {"url": "http://x"}}}, "Field required"),
        ({"llm": {"main": {"model": "m"}}}, "url is missing"),
        ({"llm": {"main": {"urls": [], "model": "m"}}}, "at least 1 item"),
        ({"llm": {"main": {"urls": ["http://x", "x:8000"], "model": "m"}}}, "should match pattern"),
        ({"llm": {"main": {"urls": [f"http://x:{n}" for n in range(1, 66)], "model": "m"}}}, "at most 64 items"),
        ({"llm": {"main": {"url": "http://x", "urls": ["http://y"], "model": "m"}}}, "url and urls are both set"),
        ({"llm": {"main": {"urls": ["unix:///a"], "model": "m", "managed": {"weights": "/w"}}}}, "a single one"),
        ({"llm": {"main": {"urls": ["http://x", "http://X:80/"], "model": "m"}}}, "urls names 'http://x' twice"),
        ({"llm": {"main": {"urls": ["unix:///a", "http://y", "unix:///a"], "model": "m"}}}, "'unix:///a' twice"),
        ({"embedding": {"dtype": "int4"}}, "'float32'"),
    ],
)
def test_values_out_of_range(flags: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace(".", r"\.")):
        load_settings(flags=flags)


def test_a_value_from_the_environment_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_SERVER__PORT", "eighty")
    with pytest.raises(ValidationError, match=r"server\.port"):
        load_settings()


def test_a_language_model_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_LLM__MAIN__URL", "unix:///run/vllm.sock")
    monkeypatch.setenv("QUARRY_LLM__MAIN__MODEL", "tiny")
    settings = load_settings()
    assert settings.llm["main"].url == "unix:///run/vllm.sock"
    assert settings.default_llm == "main"


def test_several_servers_of_a_language_model_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_LLM__MAIN__URLS", '["http://10.0.0.7:8000", "unix:///run/vllm.sock"]')
    monkeypatch.setenv("QUARRY_LLM__MAIN__MODEL", "tiny")
    settings = load_settings()
    assert settings.llm_urls("main") == ("http://10.0.0.7:8000", "unix:///run/vllm.sock")
    assert settings.llm["main"].has_several


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://Host:8000/", "http://host:8000"),
        ("https://host:443", "https://host"),
        ("http://user:secret@host:8000/gateway/", "http://host:8000/gateway"),
        ("http://host?key=secret#x", "http://host"),
        ("unix:///run/vllm.sock", "unix:///run/vllm.sock"),
    ],
)
def test_a_server_is_called_by_its_url_without_secrets(url: str, name: str) -> None:
    assert server_name(url) == name


def test_the_default_of_several_models_is_extractive_unless_one_is_named(tmp_path: Path) -> None:
    two = LLM + LLM.replace("main", "other")
    assert load_settings(toml(tmp_path, two)).default_llm == "extractive"
    assert load_settings(toml(tmp_path, two + "[answer]\nllm = 'other'\n")).default_llm == "other"


def test_a_secret_from_a_file_and_never_in_sight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "key"
    secret.write_text("sk-hidden\n")
    monkeypatch.setenv("QUARRY_LLM__MAIN__KEY_FILE", str(secret))
    settings = load_settings(toml(tmp_path, LLM))
    key = settings.llm["main"].key
    assert key is not None
    assert key.get_secret_value() == "sk-hidden"
    for shown in (repr(settings), str(settings), repr(settings.llm), str(settings.model_dump())):
        assert "sk-hidden" not in shown


def test_a_secret_from_the_environment_is_as_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_LLM__MAIN__KEY", "sk-hidden")
    settings = load_settings(toml(tmp_path, LLM))
    assert "sk-hidden" not in repr(settings)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_secret_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("QUARRY_LLM__MAIN__KEY_FILE", str(path))
    with pytest.raises(SettingsFileError, match=r"QUARRY_LLM__MAIN__KEY_FILE names .* cannot be read"):
        load_settings()


def test_a_config_file_that_is_not_there_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(SettingsFileError, match="no such file"):
        load_settings(tmp_path / "absent.toml")
    with pytest.raises(SettingsFileError, match=r"config\.toml: "):
        load_settings(toml(tmp_path, "[server\n"))


def test_settings_do_not_change() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.server.port = 1


def test_the_link_to_the_parent_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert inherited_link() is None
    monkeypatch.setenv("QUARRY_UP_LINK", "7")
    assert inherited_link() == 7
    assert load_settings() == Settings()
    monkeypatch.setenv("QUARRY_UP_LINK", "seven")
    with pytest.raises(SettingsFileError, match="QUARRY_UP_LINK is 'seven'"):
        inherited_link()
    monkeypatch.setenv("QUARRY_UP_LINKS", "7")
    with pytest.raises(ValidationError, match="up_links"):
        load_settings()
