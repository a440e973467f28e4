from pi0_sim.episodes import Episodes


def running_episodes(count=2):
    episodes = Episodes(count=count, seconds=0.1, step_seconds=0.02)
    episodes.trajectory_received()
    return episodes


def test_time_does_not_run_before_the_first_trajectory():
    episodes = Episodes(count=1, seconds=0.1, step_seconds=0.02)
    assert not any(episodes.stepped(0.0, solved=False) for _ in range(100))
    assert episodes.seconds == 0.0


def test_an_episode_ends_when_its_time_is_over():
    episodes = running_episodes()
    assert [episodes.stepped(0.0, solved=False) for _ in range(5)] == [False, False, False, False, True]


def test_an_episode_ends_when_the_task_is_solved():
    assert running_episodes().stepped(4.0, solved=True)


def test_the_best_reward_of_each_episode_is_kept():
    episodes = running_episodes()
    for reward in (0.0, 2.0, 1.0):
        episodes.stepped(reward, solved=False)
    episodes.start_next()
    episodes.trajectory_received()
    episodes.stepped(1.0, solved=False)
    assert episodes.reward_max == [2.0, 1.0]


def test_rewards_before_the_first_trajectory_do_not_count():
    episodes = Episodes(count=1, seconds=0.1, step_seconds=0.02)
    episodes.stepped(4.0, solved=True)
    assert episodes.reward_max == [0.0]


def test_the_next_episode_waits_for_a_trajectory_of_its_own():
    episodes = running_episodes()
    episodes.start_next()
    assert not any(episodes.stepped(0.0, solved=False) for _ in range(100))


def test_all_is_done_after_the_last_episode_and_never_when_the_count_is_zero():
    episodes = running_episodes(count=2)
    assert not episodes.all_done()
    episodes.start_next()
    assert episodes.all_done()
    assert not running_episodes(count=0).all_done()
