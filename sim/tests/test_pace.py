import pytest

from pi0_sim.pace import Pace


class WallClock:
    def __init__(self):
        self.time_s = 100.0

    def __call__(self):
        return self.time_s


@pytest.fixture
def wall_clock():
    return WallClock()


def test_twice_real_time_halves_the_wall_clock_time_of_a_step(wall_clock):
    assert Pace(0.02, 2.0, wall_clock).remaining_s() == pytest.approx(0.01)


def test_a_short_delay_is_caught_up(wall_clock):
    pace = Pace(0.02, 1.0, wall_clock)
    wall_clock.time_s += 0.03
    assert pace.next_step()
    assert pace.remaining_s() == pytest.approx(0.01)


def test_a_long_delay_slows_simulated_time_down_instead_of_being_caught_up(wall_clock):
    pace = Pace(0.02, 1.0, wall_clock)
    wall_clock.time_s += 5.0
    assert not pace.next_step()
    assert pace.remaining_s() == pytest.approx(0.02)
