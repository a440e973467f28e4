import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from pi0_sim.aloha_scene import DEFAULT_HEIGHT, DEFAULT_WIDTH, AlohaScene
from pi0_sim.camera import Cameras
from pi0_tools import CHECKOUT
from pi0_tools.train import make_demonstrations
from pi0_tools.train.make_demonstrations import TooManyFailures, demonstrate, parse_arguments
from pi0_tools.train.recorded_episode import RecordedEpisode, record_episode
from pi0_tools.train.robot import ROBOTS, Picture, cropped, robot_named, shrunk

SEED = 1000
# The shortest of each robot.
SKILL = {"aloha": "right_pick", "panda": "lift", "metaworld": "drawer-close-v3"}
ALOHA = robot_named("aloha")


def arguments(folder, *words):
    return parse_arguments([str(folder), "--episodes", "2", "--image-every", "50", *words])


def saved(name, folder):
    skill = SKILL[name]
    made = demonstrate(robot_named(name), skill, arguments(folder, "--robot", name), report=lambda _: None)
    made.save(folder / f"{skill}.npz")
    with np.load(folder / f"{skill}.npz") as file:
        return dict(file)


def some_episode(steps):
    rows = np.zeros((steps, 14), np.float32)
    return RecordedEpisode(rows, rows, [], np.zeros((steps, 0), np.float32), 2.0, None)


@pytest.mark.parametrize(
    ("checkpoint", "robot"),
    [
        ("aloha_sim", "aloha"),
        ("aloha_sim_pi05", "aloha"),
        ("panda_sim_pi05", "panda"),
        ("metaworld_sim", "metaworld"),
    ],
)
def test_the_shipped_checkpoints_have_the_facts_of_the_demonstrations(checkpoint, robot):
    shipped = CHECKOUT / "checkpoints" / checkpoint / "dataset_info.json"
    assert json.loads(shipped.read_text(encoding="utf-8")) == robot_named(robot).dataset_info()


@pytest.mark.parametrize(("name", "played"), [("panda", 8), ("aloha", 25)])
def test_as_many_actions_of_a_chunk_are_played_as_the_node_plays(name, played):
    assert robot_named(name).execution_horizon == played


@pytest.mark.parametrize("name", ROBOTS)
def test_a_file_holds_what_the_readme_says(name, tmp_path):
    robot, file = robot_named(name), saved(name, tmp_path)
    steps, pictures = len(file["state"]), len(file["image_step"])
    assert str(file["prompt"]) == robot.skills[SKILL[name]].prompt
    for camera, picture in robot.cameras.items():
        assert file[f"images.{camera}"].shape == (pictures, picture.size, picture.size, 3)
        assert file[f"images.{camera}"].dtype == np.uint8
    for values, names in (("state", robot.state_names), ("target", robot.target_names)):
        assert file[values].shape == (steps, len(names)) and file[values].dtype == np.float32
    environment = robot.environment(SKILL[name], SEED)
    assert file["object_places"].shape == (pictures, len(robot.object_places(environment)))
    assert file["episode"].shape == (steps,)
    assert file["seed"].tolist() == list(range(SEED, SEED + len(file["seed"])))
    assert file["success"].sum() == 2
    # Each episode starts with a picture, and then has one every 50 steps.
    starts = np.flatnonzero(np.diff(file["episode"], prepend=-1))
    lengths = np.diff(starts, append=steps)
    expected = [start + step for start, length in zip(starts, lengths, strict=True) for step in range(0, length, 50)]
    assert file["image_step"].tolist() == expected


@pytest.mark.parametrize("name", ROBOTS)
def test_the_same_seeds_give_the_same_file(name, tmp_path):
    first, second = saved(name, tmp_path), saved(name, tmp_path)
    assert first.keys() == second.keys()
    for key, values in first.items():
        np.testing.assert_array_equal(values, second[key])


@pytest.mark.parametrize("name", ROBOTS)
def test_drawing_what_a_camera_saw_earlier_leaves_the_simulation_as_it_is(name):
    robot, skill = robot_named(name), SKILL[name]
    environment = robot.environment(skill, SEED)
    expert = robot.expert(skill, robot.scene_of(environment))
    earlier = environment.physics_state()
    for _ in range(10):
        robot.execute(environment, expert.act(robot.scene_of(environment)), None)
    now = environment.physics_state()
    assert np.abs(now - earlier).max() > 1e-3
    robot.frames(environment, earlier)
    np.testing.assert_array_equal(environment.physics_state(), now)


def test_the_expert_s_targets_are_recorded_and_not_the_noise_on_them():
    episode = record_episode(ALOHA, "right_pick", SEED, perturbed=True)
    still = episode.target[-20:]
    assert (still == still[0]).all()
    assert np.ptp(episode.state[-20:], axis=0).max() > 1e-3


def test_a_demonstration_begins_where_what_moved_before_it_left_the_robot():
    moved = ALOHA.environment("right_pick", SEED)
    here = moved.physics_state()
    left_at = []

    def move_first(environment, skill, random):
        assert skill == "right_pick"
        np.testing.assert_array_equal(environment.physics_state(), here)
        expert = ALOHA.expert(skill, ALOHA.scene_of(environment))
        for _ in range(random.integers(30, 40)):
            ALOHA.execute(environment, expert.act(ALOHA.scene_of(environment)), None)
        left_at.append(environment.physics_state())

    episode = record_episode(ALOHA, "right_pick", SEED, perturbed=True, move_first=move_first)
    np.testing.assert_array_equal(episode.physics_states[0], left_at[0])


def test_pictures_are_what_the_node_s_configuration_cuts_out_of_the_simulation_s_camera():
    environment = ALOHA.environment("right_pick", SEED)
    state = environment.physics_state()
    drawn = ALOHA.draw(environment, state)["top"]
    published, arrived = [], threading.Event()

    def on_frame(camera, frame, _):
        published.append((camera, frame))
        arrived.set()

    cameras = Cameras(lambda: AlohaScene("transfer_cube", DEFAULT_WIDTH, DEFAULT_HEIGHT), ["top"], on_frame)
    cameras.request(state, stamp=None)
    assert arrived.wait(10)
    cameras.close()
    ((camera, frame),) = published
    assert camera == "top"
    np.testing.assert_array_equal(drawn, frame[60:180, 120:240])


def test_a_picture_is_cropped_and_its_blocks_of_pixels_are_averaged():
    frame = np.zeros((4, 6, 3), np.uint8)
    frame[:2, 2:4, 0] = [[10, 20], [30, 41]]
    seen = shrunk(cropped(frame, Picture((6, 4), (2, 0, 4, 4), 2)), 2)
    assert seen[:, :, 0].tolist() == [[25, 0], [0, 0]]


def test_a_picture_that_is_no_whole_number_of_blocks_is_refused():
    with pytest.raises(ValueError, match="a picture of 5x5 pixels cannot be shrunk to 2x2"):
        shrunk(np.zeros((5, 5, 3), np.uint8), 2)


def test_a_skill_that_the_robot_does_not_have_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        arguments(tmp_path, "--robot", "panda", "--skill", "hand_over")
    assert "panda has no skill hand_over; it has lift, stack, pick_place_can" in capsys.readouterr().err


def test_failures_are_counted_and_left_out(tmp_path, monkeypatch):
    outcomes = iter(
        [replace(some_episode(3), physics_states=[None]), None, replace(some_episode(5), physics_states=[None])]
    )
    monkeypatch.setattr(make_demonstrations, "record_episode", lambda *_: next(outcomes))
    monkeypatch.setattr(type(ALOHA), "draw", lambda *_: {"top": np.zeros((120, 120, 3), np.uint8)})
    made = demonstrate(ALOHA, "left_pick", arguments(tmp_path), report=lambda _: None)
    assert (made.kept, made.attempts, made.frames) == (2, 3, 2)


def test_an_expert_that_only_fails_ends_with_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(make_demonstrations, "record_episode", lambda *_: None)
    with pytest.raises(TooManyFailures, match="left_pick: 0 successes"):
        demonstrate(ALOHA, "left_pick", arguments(tmp_path), report=lambda _: None)


def test_seeds_for_evaluation_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        arguments(tmp_path, "--first-seed", "999")
    assert "seeds below 1000 are for evaluation" in capsys.readouterr().err
