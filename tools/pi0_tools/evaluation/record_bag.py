"""Records a bag of the simulated robot while the scripted expert does a skill.

    source tools/env.sh
    python -m pi0_tools.evaluation.record_bag right_pick target/bags/right_pick

The bag has the topics of sim/README.md and the expert's commands on /joint_trajectory, as they are recorded on a robot
that somebody steers. No ROS 2 runs: the simulation stands still while a picture is drawn, so every frame is in the bag.
"""

import argparse
import shutil
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from pi0_sim.aloha_environment import JOINT_NAMES, STEP_SECONDS
from pi0_sim.aloha_scene import DEFAULT_HEIGHT, DEFAULT_WIDTH, AlohaScene
from pi0_sim.skills import SKILLS
from pi0_tools.train.aloha.robot import ROBOT, TASK
from pi0_tools.train.recorded_episode import record_episode

# Seeds from 1000 up are in the training data of the shipped policy, those below 100 in its closed-loop evaluation.
FIRST_SEED = 500
# When the simulation began, so that stamps look as on a robot.
START_NS = 1_700_000_000 * 10**9
STEP_NS = round(STEP_SECONDS * 1e9)
CAMERA_PERIOD_STEPS = 5

STORE = get_typestore(Stores.ROS2_JAZZY)


class BagWriter:
    """Messages of the robot, each at a simulated step, recorded when they are sent."""

    def __init__(self, writer):
        self._writer = writer
        self._connections = {}

    def write(self, topic, type_name, step, *fields):
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, type_name, typestore=STORE)
        data = STORE.serialize_cdr(STORE.types[type_name](*fields), type_name)
        self._writer.write(self._connections[topic], START_NS + step * STEP_NS, data)


def stamp(step):
    seconds, nanoseconds = divmod(START_NS + step * STEP_NS, 10**9)
    return STORE.types["builtin_interfaces/msg/Time"](seconds, nanoseconds)


def header(step):
    return STORE.types["std_msgs/msg/Header"](stamp(step), "")


def write_step(bag, step, state, action):
    """A joint state, and the command that the expert gives when it sees it: both of shape (14,)."""
    none = np.array([])
    joints = list(JOINT_NAMES)
    bag.write("/clock", "rosgraph_msgs/msg/Clock", step, stamp(step))
    positions = state.astype(float)
    bag.write("/joint_states", "sensor_msgs/msg/JointState", step, header(step), joints, positions, none, none)
    at_once = STORE.types["builtin_interfaces/msg/Duration"](0, 0)
    point = STORE.types["trajectory_msgs/msg/JointTrajectoryPoint"](action.astype(float), none, none, none, at_once)
    bag.write("/joint_trajectory", "trajectory_msgs/msg/JointTrajectory", step, header(step), joints, [point])


def write_frame(bag, step, frame):
    """frame: shape (height, width, 3), uint8 RGB."""
    height, width, _ = frame.shape
    fields = (height, width, "rgb8", 0, 3 * width, frame.reshape(-1))
    bag.write("/camera/top/image_raw", "sensor_msgs/msg/Image", step, header(step), *fields)


def record(skill, first_seed, path, width=DEFAULT_WIDTH, height=DEFAULT_HEIGHT):
    """Records the first seed, from first_seed on, at which the expert succeeds. Returns it and the number of steps."""
    seed, episode = first_seed, None
    while episode is None:
        episode = record_episode(ROBOT, skill, seed, perturbed=False)
        seed += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    # Under its name there is a whole bag or none.
    with tempfile.TemporaryDirectory(prefix=".record_bag_", dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        writer = Writer(unfinished, version=9, storage_plugin=StoragePlugin.MCAP)
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        with writer, closing(AlohaScene(TASK, width, height)) as scene:
            bag = BagWriter(writer)
            bag.write("/prompt", "std_msgs/msg/String", 0, SKILLS[skill].prompt)
            for step, (state, action) in enumerate(zip(episode.state, episode.target, strict=True)):
                if step % CAMERA_PERIOD_STEPS == 0:
                    write_frame(bag, step, scene.draw(episode.physics_states[step], "top"))
                write_step(bag, step, state, action)
        shutil.rmtree(path, ignore_errors=True)
        unfinished.rename(path)
    return seed - 1, len(episode.state)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("skill", choices=SKILLS)
    parser.add_argument("bag", type=Path, help="folder of the bag; one that is there is replaced")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="start pose of the cube")
    parser.add_argument("--width", type=int, default=DEFAULT_WIDTH, help="pixels of a frame")
    parser.add_argument("--height", type=int, default=DEFAULT_HEIGHT, help="pixels of a frame")
    arguments = parser.parse_args()
    try:
        seed, steps = record(arguments.skill, arguments.seed, arguments.bag, arguments.width, arguments.height)
    except OSError as error:
        sys.exit(f"error: {arguments.bag} cannot be written: {error.strerror or error}")
    print(f"{arguments.bag}: {arguments.skill} at seed {seed}, {steps * STEP_SECONDS:.1f} s")


if __name__ == "__main__":
    main()
