"""Ctrl-C while a compiled kernel runs ends the campaign; numba hands it on as a SystemError."""

import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from surrogate3d.direct.campaign import conduct, run
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.ledger import Ledger

FAST = Gsm2MonteCarlo(max_nuclei=512)


class Interrupted:
    """A back end whose first voxel is interrupted inside the kernel: what numba makes of it, or a fault of its own."""

    name, version = FAST.name, FAST.version

    def __init__(self, cause):
        self.cause, self.calls = cause, 0

    def settings(self):
        return FAST.settings()

    def parameters(self, line):
        return FAST.parameters(line)

    def simulate(self, tasks, seed, target_se=0.01):
        self.calls += 1
        try:
            try:
                raise self.cause
            except BaseException as inner:
                raise SystemError("_numba_unpickle returned a result with an exception set") from inner
        except SystemError as middle:
            raise SystemError("CPUDispatcher returned a result with an exception set") from middle


@pytest.fixture
def tasks(mixed):
    return [replace(mixed(0.2 * n), voxel=(n, 0, 0), field_id="F") for n in range(3)]


@pytest.fixture
def alarm() -> Iterator[None]:
    """Ctrl-C a fifth of a second from now, as the terminal sends it."""
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    own = signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    signal.signal(signal.SIGINT, own)


def test_an_interrupt_that_numba_wraps_ends_the_campaign(tmp_path, tasks):
    backend = Interrupted(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(tasks, backend, Ledger(tmp_path), seed=1)
    assert backend.calls == 1


def test_another_system_error_is_the_failure_of_its_voxel(tmp_path, tasks):
    done = conduct(tasks, Interrupted(ValueError("of the kernel")), Ledger(tmp_path), seed=1)
    assert len(done.failures) == len(tasks)
    assert all("SystemError" in failure.reason for failure in done.failures)


def test_ctrl_c_inside_the_kernel_ends_the_campaign_and_keeps_what_was_finished(tmp_path, tasks, request):
    ledger = Ledger(tmp_path)
    first = run(tasks[:1], FAST, ledger, seed=1)
    long = Gsm2MonteCarlo(max_nuclei=10**7)
    request.getfixturevalue("alarm")
    with pytest.raises(KeyboardInterrupt):
        run(tasks, long, ledger, seed=1, target_se=1e-5)
    assert run(tasks[:1], FAST, Ledger(tmp_path), seed=1) == first
