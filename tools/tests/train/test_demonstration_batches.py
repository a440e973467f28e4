from types import SimpleNamespace

import numpy as np
import pytest

from pi0_tools.train.demonstration_batches import BatchSampler, Demonstrations

HORIZON = 6
PICTURE_EVERY = 4


def write_skill(folder, name, lengths, first_value):
    """Episodes whose states, actions and pictures are numbered, so that each says where it comes from."""
    steps = sum(lengths)
    values = np.arange(first_value, first_value + steps)
    episode = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.cumsum([0, *lengths[:-1]])
    image_step = np.concatenate(
        [np.arange(start, start + length, PICTURE_EVERY) for start, length in zip(starts, lengths, strict=True)]
    )
    np.savez(
        folder / f"{name}.npz",
        prompt=f"do {name}",
        **{"images.eye": np.repeat(values[image_step], 2 * 2 * 3).reshape(-1, 2, 2, 3).astype(np.uint8)},
        image_step=image_step,
        state=np.repeat(values[:, None], 14, 1).astype(np.float32),
        target=np.repeat(values[:, None] + 0.5, 14, 1).astype(np.float32),
        # Attempts that failed leave gaps in the numbers.
        episode=2 * episode,
    )


def robot(steps_an_action=1, actions=lambda state, targets: targets, oldest_picture_steps=3):
    """What batches ask of a robot."""
    return SimpleNamespace(
        cameras={"eye": None},
        horizon=HORIZON,
        steps_an_action=steps_an_action,
        actions=actions,
        oldest_picture_steps=oldest_picture_steps,
    )


@pytest.fixture
def demonstrations(tmp_path):
    write_skill(tmp_path, "one", [10, 7], 0)
    write_skill(tmp_path, "two", [5], 100)
    return Demonstrations([tmp_path], robot(), ["one", "two"])


def test_a_sample_is_the_state_and_the_actions_from_there_on(demonstrations):
    batch = demonstrations.batch([2, 18], 0)
    assert batch.state[:, 0].tolist() == [2, 101]
    assert batch.actions[0, :, 0].tolist() == [2.5, 3.5, 4.5, 5.5, 6.5, 7.5]
    assert batch.skill.tolist() == [0, 1]
    assert demonstrations.prompts == ["do one", "do two"]


def test_after_an_episode_s_end_its_last_action_goes_on(demonstrations):
    batch = demonstrations.batch([8, 21], 0)
    assert batch.actions[:, :, 0].tolist() == [[8.5] + [9.5] * 5, [104.5] * 6]


def test_actions_are_as_far_apart_and_relative_to_the_state_as_the_robot_has_them(tmp_path):
    write_skill(tmp_path, "one", [10], 0)
    panda = robot(steps_an_action=2, actions=lambda state, targets: targets - state[:, None])
    demonstrations = Demonstrations([tmp_path], panda, ["one"])
    assert demonstrations.batch([1], 0).actions[0, :, 0].tolist() == [0.5, 2.5, 4.5, 6.5, 8.5, 8.5]
    assert demonstrations.sampled_actions().shape == (10 * HORIZON, 14)


def test_a_picture_is_the_newest_that_is_old_enough_and_of_the_same_episode(demonstrations):
    batch = demonstrations.batch([9, 9, 9, 11], np.array([0, 2, 6, 5]))
    assert batch.images["eye"][:, 0, 0, 0].tolist() == [8, 4, 0, 10]


@pytest.mark.parametrize(("oldest_picture_steps", "oldest"), [(0, 3), (2, 5)])
def test_sampled_pictures_are_as_old_as_the_robot_s_may_be_when_due(tmp_path, oldest_picture_steps, oldest):
    write_skill(tmp_path, "one", [40], 0)
    late = robot(oldest_picture_steps=oldest_picture_steps)
    batch = BatchSampler(Demonstrations([tmp_path], late, ["one"]), [], batch_size=400, seed=0).next()
    ages = batch.state[:, 0] - batch.images["eye"][:, 0, 0, 0]
    assert set(ages.tolist()) == set(range(oldest + 1))


def test_the_last_episodes_of_each_skill_are_held_out_of_training(demonstrations):
    held_out = demonstrations.held_out_episodes(1)
    assert held_out.tolist() == [1, 2]
    sampler = BatchSampler(demonstrations, held_out, batch_size=200, seed=0)
    assert set(sampler.next().state[:, 0].tolist()) <= set(range(10))


def test_the_same_seed_draws_the_same_batches(demonstrations):
    first, second = (BatchSampler(demonstrations, [], batch_size=50, seed=3) for _ in range(2))
    for _ in range(2):
        a, b = first.next(), second.next()
        np.testing.assert_array_equal(a.state, b.state)
        np.testing.assert_array_equal(a.images["eye"], b.images["eye"])


def test_a_skill_s_samples_are_as_many_as_its_share_whatever_the_length_of_its_episodes(demonstrations):
    sampler = BatchSampler(demonstrations, [], batch_size=4000, seed=0, shares=[1, 3])
    of_skill = np.bincount(sampler.next().skill) / 4000
    np.testing.assert_allclose(of_skill, [0.25, 0.75], atol=0.03)


def test_a_skill_s_episodes_may_be_in_several_folders(tmp_path):
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    write_skill(folders[0], "one", [10, 7], 0)
    write_skill(folders[0], "two", [5], 100)
    write_skill(folders[1], "one", [6], 50)
    demonstrations = Demonstrations(folders, robot(), ["one", "two"])
    batch = demonstrations.batch([2, 16, 17, 22, 23], 0)
    assert batch.state[:, 0].tolist() == [2, 16, 50, 55, 100]
    assert batch.images["eye"][:, 0, 0, 0].tolist() == [0, 14, 50, 54, 100]
    assert batch.skill.tolist() == [0, 0, 0, 0, 1]
    assert demonstrations.prompts == ["do one", "do two"]
    assert demonstrations.held_out_episodes(1).tolist() == [2, 3]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"right_pick\.npz is missing; make_demonstrations makes it"):
        Demonstrations([tmp_path], robot(), ["right_pick"])
