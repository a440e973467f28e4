"""Draws what the robot did, from a recording of the simulation: a contact sheet (PNG) and a film (GIF)."""

from dataclasses import dataclass, replace
from io import BytesIO
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from pi0_sim.aloha_scene import AlohaScene
from pi0_sim.panda_environment import TASK_NAMES as PANDA_TASKS
from pi0_sim.panda_environment import PandaEnvironment
from pi0_sim.panda_scene import PandaScene
from pi0_sim.recording import Recording

FILM_LIMIT_BYTES = 3_000_000
FRAME_RATE_HZ = 8
# More would neither fit in the limit nor be drawn in a minute.
MOST_FRAMES = 240
VIEW_WIDTH, VIEW_HEIGHT = 480, 300
CAPTION_HEIGHT = 26
SHEET_COLUMNS = 4
SHEET_ROWS = 8


@dataclass(frozen=True)
class Views:
    """camera: what the film shows. The policy's: what is shown small in its corner, in pixels."""

    camera: str
    policy_camera: str
    policy_width: int
    policy_height: int


ALOHA_VIEWS = Views("angle", "top", 128, 96)
# Its other camera is the film's.
PANDA_VIEWS = Views("front", "wrist", 112, 112)


@dataclass(frozen=True)
class FilmStrip:
    """A recording, and the prompt under which it was made."""

    prompt: str
    recording: Recording


@dataclass(frozen=True)
class FilmFrame:
    """episode: counts from 0 over all strips of a film."""

    episode: int
    episode_s: float
    picture: Image.Image


def draw_frames(strips):
    """Pictures of all recordings, in order: the robot, what the policy's camera saw, and a caption."""
    most_frames = MOST_FRAMES // len(strips)
    frames = []
    for strip in strips:
        first_episode = frames[-1].episode + 1 if frames else 0
        for frame in _draw_strip(strip, most_frames):
            frames.append(replace(frame, episode=first_episode + frame.episode))
    return frames


def _draw_strip(strip, most_frames):
    views, open_scene = _scene_of(strip.recording.task)
    view = open_scene(VIEW_WIDTH, VIEW_HEIGHT)
    policy_view = open_scene(views.policy_width, views.policy_height)
    frames = []
    try:
        for step in _steps_of_film(strip.recording.steps, most_frames):
            picture = Image.new("RGB", (VIEW_WIDTH, VIEW_HEIGHT + CAPTION_HEIGHT), "black")
            picture.paste(Image.fromarray(view.draw(step.physics_state, views.camera)))
            corner = VIEW_WIDTH - views.policy_width
            picture.paste(Image.fromarray(policy_view.draw(step.physics_state, views.policy_camera)), (corner, 0))
            ImageDraw.Draw(picture).rectangle((corner, 0, VIEW_WIDTH - 1, views.policy_height - 1), outline="gray")
            _write_caption(picture, step, strip.prompt)
            frames.append(FilmFrame(step.episode, step.episode_s, picture))
    finally:
        view.close()
        policy_view.close()
    return frames


def _scene_of(task):
    """The views of a task's robot, and a function that opens its scene for pictures of a width and a height."""
    if task in PANDA_TASKS:
        model = PandaEnvironment(task).model
        return PANDA_VIEWS, lambda width, height: PandaScene(model, width, height)
    return ALOHA_VIEWS, lambda width, height: AlohaScene(task, width, height)


def write_contact_sheet(frames, path):
    """One row an episode, from its first frame to its last."""
    width, height = frames[0].picture.size
    episodes = sorted({frame.episode for frame in frames})[:SHEET_ROWS]
    sheet = Image.new("RGB", (width * SHEET_COLUMNS, height * len(episodes)))
    for row, episode in enumerate(episodes):
        of_episode = [frame for frame in frames if frame.episode == episode]
        for column, index in enumerate(_spread(len(of_episode), SHEET_COLUMNS)):
            sheet.paste(of_episode[index].picture, (column * width, row * height))
    sheet.save(path, optimize=True)


def write_film(frames, path):
    """A GIF at the speed of simulated time, of the best quality that keeps it within FILM_LIMIT_BYTES."""
    durations_ms = [
        round(1000 * (after.episode_s - before.episode_s)) if after.episode == before.episode else 1000
        for before, after in pairwise(frames)
    ]
    # A pause on the last frame shows where the film starts over.
    durations_ms.append(1000)
    pictures = [frame.picture for frame in frames]
    for colours in (128, 64, 32, 16):
        film = _encoded(pictures, durations_ms, colours)
        if len(film) <= FILM_LIMIT_BYTES:
            path.write_bytes(film)
            return
    raise ValueError(f"{len(frames)} frames make a film larger than {FILM_LIMIT_BYTES} bytes")


def _steps_of_film(steps, most_frames):
    """The recorded steps to draw: FRAME_RATE_HZ a simulated second, fewer where that exceeds most_frames."""
    interval_s = 1 / FRAME_RATE_HZ
    while True:
        chosen = []
        for step in steps:
            new_episode = not chosen or step.episode != chosen[-1].episode
            # Half a simulation step of tolerance, because times are sums of steps.
            if new_episode or step.episode_s >= chosen[-1].episode_s + interval_s - 0.01:
                chosen.append(step)
        if len(chosen) <= most_frames:
            return chosen
        interval_s *= len(chosen) / most_frames


def _write_caption(picture, step, prompt):
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=15)
    middle = VIEW_HEIGHT + CAPTION_HEIGHT / 2
    draw.text((8, middle), f"“{prompt}”", fill="white", font=font, anchor="lm")
    draw.text((VIEW_WIDTH - 8, middle), f"{step.episode_s:4.1f} s", fill="white", font=font, anchor="rm")


def _encoded(pictures, durations_ms, colours):
    # One palette for all and no dithering: what does not move takes no space.
    samples = [pictures[index] for index in _spread(len(pictures), 8)]
    width, height = samples[0].size
    strip = Image.new("RGB", (width, height * len(samples)))
    for index, sample in enumerate(samples):
        strip.paste(sample, (0, index * height))
    # The median cut, Pillow's default, drew the Panda's green cube grey.
    palette = strip.quantize(colours, Image.Quantize.FASTOCTREE)
    first, *others = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    encoded = BytesIO()
    first.save(encoded, format="GIF", save_all=True, append_images=others, duration=durations_ms, loop=0)
    return encoded.getvalue()


def _spread(length, count):
    """At most count indices into a list of this length, evenly from the first to the last."""
    if length <= count:
        return list(range(length))
    return [round(index * (length - 1) / (count - 1)) for index in range(count)]
