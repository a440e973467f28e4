import json
import threading

import numpy as np
import pytest

from pi0_sim.aloha_environment import AlohaEnvironment
from pi0_sim.camera import DEFAULT_HEIGHT, DEFAULT_WIDTH, Camera
from pi0_tools import CHECKOUT
from pi0_tools.train import make_demonstrations
from pi0_tools.train.make_demonstrations import (
    TooManyFailures,
    camera_crop,
    dataset_info,
    demonstrate,
    draw_frames,
    parse_arguments,
)
from pi0_tools.train.recorded_episode import RecordedEpisode, record_episode
from pi0_tools.train.scripted_expert import RIGHT_PICK

SEED = 1000


@pytest.fixture(scope="module")
def environment():
    return AlohaEnvironment("transfer_cube")


def arguments(folder, *words):
    return parse_arguments([str(folder), "--episodes", "2", "--image-every", "50", *words])


def saved(environment, folder):
    made = demonstrate(environment, "right_pick", arguments(folder), report=lambda _: None)
    made.save(folder / "right_pick.npz")
    with np.load(folder / "right_pick.npz") as file:
        return dict(file)


def some_episode(steps):
    return RecordedEpisode(np.zeros((steps, 14), np.float32), np.zeros((steps, 14), np.float32), [], 2.0)


@pytest.mark.parametrize("checkpoint", ["aloha_sim", "aloha_sim_pi05"])
def test_the_shipped_checkpoints_have_the_facts_of_the_demonstrations(checkpoint):
    shipped = CHECKOUT / "checkpoints" / checkpoint / "dataset_info.json"
    assert json.loads(shipped.read_text(encoding="utf-8")) == dataset_info()


def test_a_file_holds_what_the_readme_says(environment, tmp_path):
    file = saved(environment, tmp_path)
    steps, frames = len(file["state"]), len(file["images"])
    assert str(file["prompt"]) == RIGHT_PICK
    rows, columns = camera_crop()
    assert file["images"].shape == (frames, rows.stop - rows.start, columns.stop - columns.start, 3)
    assert file["images"].dtype == np.uint8
    assert file["image_step"].shape == (frames,)
    for name in ("state", "action"):
        assert file[name].shape == (steps, 14) and file[name].dtype == np.float32
    assert file["episode"].shape == (steps,)
    assert file["seed"].tolist() == [SEED, SEED + 1]
    assert file["success"].tolist() == [True, True]
    # Each episode starts with a picture, and then has one every 50 steps.
    starts = np.flatnonzero(np.diff(file["episode"], prepend=-1))
    lengths = np.diff(starts, append=steps)
    expected = [start + step for start, length in zip(starts, lengths, strict=True) for step in range(0, length, 50)]
    assert file["image_step"].tolist() == expected


def test_the_same_seeds_give_the_same_file(environment, tmp_path):
    first, second = saved(environment, tmp_path), saved(AlohaEnvironment("transfer_cube"), tmp_path)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


def test_the_expert_s_targets_are_recorded_and_not_the_noise_on_them(environment):
    episode = record_episode(environment, RIGHT_PICK, SEED, perturbed=True)
    still = episode.action[-20:]
    assert (still == still[0]).all()
    assert np.ptp(episode.state[-20:], axis=0).max() > 1e-3


def test_pictures_are_what_the_node_s_configuration_cuts_out_of_the_simulation_s_camera(environment):
    environment.reset(SEED)
    state = environment.physics.get_state()
    (drawn,) = draw_frames(environment.physics, [state], camera_crop())
    published, arrived = [], threading.Event()

    def on_frame(frame, _):
        published.append(frame)
        arrived.set()

    camera = Camera("transfer_cube", make_demonstrations.CAMERA, DEFAULT_WIDTH, DEFAULT_HEIGHT, on_frame)
    camera.request(state, stamp=None)
    assert arrived.wait(10)
    camera.close()
    np.testing.assert_array_equal(drawn, published[0][60:180, 120:240])


def test_failures_are_counted_and_left_out(environment, tmp_path, monkeypatch):
    outcomes = iter([some_episode(3), None, some_episode(5)])
    monkeypatch.setattr(make_demonstrations, "record_episode", lambda *_: next(outcomes))
    made = demonstrate(environment, "left_pick", arguments(tmp_path), report=lambda _: None)
    assert (made.kept, made.attempts, made.frames) == (2, 3, 2)


def test_an_expert_that_only_fails_ends_with_an_error(environment, tmp_path, monkeypatch):
    monkeypatch.setattr(make_demonstrations, "record_episode", lambda *_: None)
    with pytest.raises(TooManyFailures, match="left_pick: 0 successes"):
        demonstrate(environment, "left_pick", arguments(tmp_path), report=lambda _: None)


def test_seeds_for_evaluation_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        arguments(tmp_path, "--first-seed", "999")
    assert "seeds below 1000 are for evaluation" in capsys.readouterr().err
