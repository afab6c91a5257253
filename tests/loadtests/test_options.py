import pytest

from loadtests.peers.options import parse


def test_without_options_every_scenario_runs() -> None:
    options = parse([])
    assert options.scenario is None
    assert options.encoding == "base64"


@pytest.mark.parametrize(
    "arguments", [["--rounds", "0"], ["--seconds", "nan"], ["--seconds", "inf"], ["--scenario", "none"], ["--quick"]]
)
def test_wrong_options_end_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
