"""What a command says of its progress where stderr is no terminal."""

import pytest

from surrogate3d.cli.console import Counter, PlainSteps, counting, duration, steps
from surrogate3d.direct.campaign import CostedProgress


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_line_says_how_far_after_a_second_and_then_every_ten_with_rate_and_remaining_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    report = PlainSteps(clock)
    for second in range(31):
        clock.now = 1000.0 + second
        report("converting", 2 * second, 100)
    assert told(capsys) == [
        "converting: 2 of 100",
        "converting: 22 of 100, 7,200 an hour, 39 s left",
        "converting: 42 of 100, 7,200 an hour, 29 s left",
    ]


def test_what_was_in_the_ledger_counts_as_done_but_not_for_rate_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    plain = PlainSteps(clock)
    counter = Counter(lambda *told: plain("simulating", *told))
    counter.cost(0.0, 900)
    clock.now += 36.0
    counter.cost(72.0, 900)  # 10 voxels in 36 s of two cores
    counter(910, 1000)
    assert told(capsys) == ["simulating: 910 of 1000, 1,000 an hour, 5 min left, 0.02 of about 0.2 core-hours spent"]


def test_lines_become_seldomer_in_hours(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    report = PlainSteps(clock)
    for second in range(36_000):
        clock.now = 1000.0 + second
        report("simulating", 1 + second, 10**6)
    assert len(told(capsys)) < 600  # 3600 at one every ten seconds


def test_each_step_has_its_own_rate_and_a_finished_one_no_remaining_time(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    report = PlainSteps(clock)
    clock.now += 100
    report("first", 5, 5)
    report("second", 0, 10)
    clock.now += 20
    report("second", 2, 10)
    assert told(capsys) == ["first: 5 of 5", "second: 2 of 10, 360 an hour, 80 s left"]


def test_what_is_quick_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with counting("converting") as progress, steps() as report:
        progress(1, 1)
        report("training", 1, 1)
    assert told(capsys) == []


def test_a_campaign_can_tell_the_console_what_it_costs() -> None:
    with counting("simulating") as progress:
        assert isinstance(progress, CostedProgress)


def test_a_terminal_shows_cost_and_remaining_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with counting("simulating voxels") as progress:
        progress.cost(3600.0, 2)
        progress(4, 10)
    shown = capsys.readouterr().err
    assert "4/10" in shown
    assert "1 of about 4 core-hours spent" in shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5400, "90 min"), (7260, "2 h 1 min"), (360_000, "4 d 4 h")],
)
def test_times_are_given_in_their_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words
