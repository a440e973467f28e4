import numpy as np
import pytest
from PIL import Image

from pi0_sim.aloha_environment import AlohaEnvironment
from pi0_sim.panda_environment import PandaEnvironment
from pi0_sim.recording import RecordedStep, Recording
from pi0_tools.demo.film import FILM_LIMIT_BYTES, FRAME_RATE_HZ, FilmStrip, draw_frames, write_contact_sheet, write_film

STEP_SECONDS = 0.02
EPISODES = 2
EPISODE_SECONDS = 1.0


@pytest.fixture(scope="module")
def frames():
    environment = AlohaEnvironment("transfer_cube")
    environment.reset(seed=0)
    state = environment.physics.get_state()
    strips = []
    for episode in range(EPISODES):
        recording = Recording("transfer_cube")
        for step in range(1, round(EPISODE_SECONDS / STEP_SECONDS) + 1):
            # The left arm turns, so that no frame equals the one before.
            turned = state.copy()
            turned[0] = episode + 0.01 * step
            recording.steps.append(RecordedStep(0, step * STEP_SECONDS, 0.0, 0.0, turned))
        strips.append(FilmStrip("wave", recording))
    return draw_frames(strips)


def test_frames_are_drawn_at_the_frame_rate_in_each_episode(frames):
    for episode in range(EPISODES):
        times_s = [frame.episode_s for frame in frames if frame.episode == episode]
        assert len(times_s) == pytest.approx(EPISODE_SECONDS * FRAME_RATE_HZ, abs=1)


def test_a_film_shows_every_frame_and_fits_in_its_limit(frames, tmp_path):
    write_film(frames, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == len(frames)
        assert film.size == frames[0].picture.size
    assert (tmp_path / "film.gif").stat().st_size <= FILM_LIMIT_BYTES


def test_a_film_keeps_the_colour_of_a_small_object(tmp_path):
    strips = []
    for task in ("stack", "pick_place_can"):
        environment = PandaEnvironment(task)
        environment.reset(seed=1)
        recording = Recording(task)
        recording.steps.append(RecordedStep(0, 0.02, 0.0, 0.0, environment.physics_state()))
        strips.append(FilmStrip("stack the red cube on the green cube", recording))
    frames = draw_frames(strips)
    drawn = np.asarray(frames[0].picture).astype(int)
    green = drawn[..., 1] > drawn[..., [0, 2]].max(axis=2) + 25
    assert green.sum() > 100
    write_film(frames, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        shown = np.asarray(film.convert("RGB")).astype(int)[green]
    assert np.median(shown[:, 1] - shown[:, [0, 2]].max(axis=1)) > 25


def test_a_contact_sheet_has_a_row_for_each_episode(frames, tmp_path):
    write_contact_sheet(frames, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height == EPISODES * frames[0].picture.height
        assert sheet.width % frames[0].picture.width == 0


def test_the_panda_is_filmed_from_the_front_with_what_its_wrist_sees():
    environment = PandaEnvironment("lift")
    recording = Recording("lift")
    recording.steps.append(RecordedStep(0, 0.02, 0.0, 0.0, environment.physics_state()))
    (frame,) = draw_frames([FilmStrip("lift the red cube", recording)])
    pixels = np.asarray(frame.picture)
    red = (pixels[..., 0] > 120) & (pixels[..., 1] < 90)
    corner = red[:112, -112:]
    assert corner.any() and red[112:300].any()
