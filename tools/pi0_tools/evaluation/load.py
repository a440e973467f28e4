"""Loads the node for an hour or longer and prints, as JSON, how well it kept its rate and whether it grew.

Three cameras of 640 x 480 pixels at 30 Hz and joint states at 500 Hz come from two other processes; the policy sees
all three and infers without a pause, a benchmark of inference keeps every core busy beside it, and parameters change
every second. A thread of the same priority that only sleeps is measured at the same time: what it misses is the
machine's.
"""

import argparse
import array
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from pi0_sim.aloha_environment import JOINT_NAMES
from pi0_tools import CHECKOUT, SHIPPED_CHECKPOINT
from pi0_tools.evaluation.closed_loop import CONTROL_STATUS, run_program
from pi0_tools.evaluation.processes import RunFailed, resident_mib, slope, started
from pi0_tools.evaluation.remote_robot import BEGIN, CONFIGURATION, NODE

CAMERAS = ("top", "left_wrist", "right_wrist")
WIDTH, HEIGHT = 640, 480
CAMERA_HZ, JOINTS_HZ, CONTROL_HZ = 30, 500, 50
PRIORITY = 50
# The robot is not what is measured: where it may, it goes before inference, which then does not delay its messages.
ROBOT_NICENESS = -15
# Allocators keep what the first minute needs.
WARM_UP_S = 30.0
SAMPLE_S = 5.0
PARAMETERS_S = 1.0
TIMEOUT_S = 60.0
# Values that are set in turn; none changes how long a tick may take.
CHANGES = {
    "playback_speed": (1.0, 0.8),
    "denoise_steps": (0, 4),
    "execution_horizon": (1, 2),
    "chunk_blending": ("replace", "blend"),
    "look_ahead_s": (0.3, 0.4),
}


def checkpoint_of_three_cameras(folder):
    """The shipped policy as if it had been trained with three cameras: as slow as such a one, not as good."""
    shutil.copytree(SHIPPED_CHECKPOINT, folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    features = config["input_features"]
    for camera in CAMERAS[1:]:
        features[f"observation.images.{camera}"] = features[f"observation.images.{CAMERAS[0]}"]
    path.write_text(json.dumps(config))
    return folder


class CamerasUnderLoad(Node):
    """Three cameras. sent: numbers of messages, by input."""

    def __init__(self):
        super().__init__("cameras_under_load")
        self.noise = np.random.default_rng(0)
        self.pixels = self.noise.integers(256, size=HEIGHT * WIDTH * 3, dtype=np.uint8)
        self.sent = dict.fromkeys(CAMERAS, 0)
        self.cameras = {
            name: self.create_publisher(Image, f"/camera/{name}/image_raw", qos_profile_sensor_data) for name in CAMERAS
        }
        for name in CAMERAS:
            self.create_timer(1 / CAMERA_HZ, lambda name=name: self._show(name))

    def _show(self, name):
        # No two pictures are the same, so that nothing of one is used again.
        self.pixels[self.noise.integers(self.pixels.size, size=64)] += 1
        message = Image(width=WIDTH, height=HEIGHT, step=3 * WIDTH, encoding="rgb8")
        message._data = _bytes(self.pixels)
        message.header.stamp = self.get_clock().now().to_msg()
        self.cameras[name].publish(message)
        self.sent[name] += 1


class JointsUnderLoad(Node):
    """Joints that are at once where they are told to be. sent: numbers of messages, by input."""

    def __init__(self):
        super().__init__("joints_under_load")
        self.positions = np.array(BEGIN)
        self.trajectory, self.start_s = None, 0.0
        self.sent = {"joints": 0}
        self.joints = self.create_publisher(JointState, "/joint_states", 10)
        self.create_subscription(JointTrajectory, "/joint_trajectory", self._follow, 1)
        self.create_timer(1 / JOINTS_HZ, self._report)

    def _follow(self, message):
        self.trajectory = np.array([point.positions for point in message.points])
        self.times = [point.time_from_start.sec + point.time_from_start.nanosec * 1e-9 for point in message.points]
        self.start_s = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9

    def _report(self):
        now = self.get_clock().now()
        if self.trajectory is not None:
            elapsed = now.nanoseconds * 1e-9 - self.start_s
            self.positions = np.array([np.interp(elapsed, self.times, joint) for joint in self.trajectory.T])
        message = JointState(name=list(JOINT_NAMES), position=self.positions.tolist())
        message.header.stamp = now.to_msg()
        self.joints.publish(message)
        self.sent["joints"] += 1


def _bytes(pixels):
    """The pixels as the array that messages hold; its setter would look at each of a million numbers."""
    values = array.array("B")
    values.frombytes(pixels.tobytes())
    return values


def run_part(part, ended, sent):
    """The process of a part of the robot. sent: numbers of messages, by input."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, ROBOT_NICENESS)
    rclpy.init(args=[])
    node = part()
    told_s = time.monotonic()
    while not ended.is_set():
        rclpy.spin_once(node, timeout_sec=0.1)
        if (now_s := time.monotonic()) - told_s > 1:
            sent.update(node.sent)
            told_s = now_s
    sent.update(node.sent)
    rclpy.shutdown()


class LoadOperator(Node):
    """Whoever looks at the node and changes its parameters."""

    def __init__(self):
        super().__init__("operator")
        # When each trajectory was made, in nanoseconds; the node stamps it with its tick.
        self.ticks_ns = []
        self.statuses, self.levels = {}, {}
        self.refusals, self.changes = [], 0
        self.create_subscription(JointTrajectory, "/joint_trajectory", self._tick, QoSProfile(depth=1000))
        self.create_subscription(DiagnosticArray, "/diagnostics", self._diagnose, 100)
        self.setter = self.create_client(SetParameters, "/pi0_node/set_parameters")

    def _tick(self, message):
        self.ticks_ns.append(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)

    def _diagnose(self, message):
        for status in message.status:
            self.statuses[status.name] = {pair.key: pair.value for pair in status.values}
            level = int.from_bytes(status.level, "little") if isinstance(status.level, bytes) else status.level
            seen = self.levels.setdefault(status.name, {})
            text = "" if level == 0 else status.message
            seen[(level, text)] = seen.get((level, text), 0) + 1

    def control(self, key):
        return self.statuses.get(CONTROL_STATUS, {}).get(key)

    def change(self, number):
        name = list(CHANGES)[number % len(CHANGES)]
        value = CHANGES[name][number // len(CHANGES) % 2]
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        self.setter.call_async(request).add_done_callback(lambda future: self._changed(name, value, future))

    def _changed(self, name, value, future):
        (result,) = future.result().results
        self.changes += 1
        if not result.successful:
            self.refusals.append(f"{name} = {value}: {result.reason}")

    def listen(self, seconds):
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            rclpy.spin_once(self, timeout_sec=left)


def regularity(ticks_ns):
    """Of the times of ticks: missed ones, and the errors of their periods in milliseconds."""
    periods_s = np.diff(np.unique(ticks_ns)) * 1e-9
    errors_ms = np.abs(periods_s - 1 / CONTROL_HZ) * 1e3
    return {
        "ticks": len(periods_s) + 1,
        "missed": int(np.maximum(np.round(periods_s * CONTROL_HZ) - 1, 0).sum()),
        "period_error_ms": {
            name: round(float(np.percentile(errors_ms, percent)), 3)
            for name, percent in (("p50", 50), ("p99", 99), ("p99.9", 99.9), ("max", 100))
        },
    }


def means(samples, seconds):
    """The mean of (seconds, value) in each of sixty equal parts of the time; parts without a sample are left out."""
    parts = {}
    for at, value in samples:
        parts.setdefault(int(60 * at / seconds), []).append(value)
    return [round(sum(values) / len(values), 2) for values in parts.values()]


def load_hogs(folder):
    """Inference on every core, which ends with the block that it is entered in."""
    program = CHECKOUT / "target/release/pi0_bench"
    command = ["nice", "-n", "10", program, "--device", "cpu", "--config", "demo", "--repeats", str(10**9)]
    return started("pi0_bench", command, folder / "bench.log")


def measure(hours):
    seconds = 3600 * hours
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        checkpoint = checkpoint_of_three_cameras(folder / "checkpoint")
        manager = stack.enter_context(multiprocessing.Manager())
        ended, sent = multiprocessing.Event(), manager.dict()
        robot = []
        for part in (CamerasUnderLoad, JointsUnderLoad):
            process = multiprocessing.Process(target=run_part, args=(part, ended, sent), daemon=True)
            process.start()
            stack.callback(process.kill)
            robot.append(process)
        crop = [WIDTH // 2 - 120, HEIGHT // 2 - 120, 240, 240]
        parameters = {
            "checkpoint": checkpoint,
            "use_sim_time": "false",
            "execution_horizon": 1,
            "control_rate_hz": float(CONTROL_HZ),
            "control_priority": PRIORITY,
            **{f"cameras.{name}.topic": f"/camera/{name}/image_raw" for name in CAMERAS},
            **{f"cameras.{name}.crop": crop for name in CAMERAS},
        }
        arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        command = [NODE, "--ros-args", "--params-file", CONFIGURATION, *arguments]
        node = stack.enter_context(started("the node", command, folder / "node.log"))
        hog = stack.enter_context(load_hogs(folder))
        rclpy.init(args=[])
        stack.callback(rclpy.shutdown)
        operator = LoadOperator()
        until_moving = time.monotonic() + TIMEOUT_S
        while operator.control("hold") != "":
            operator.listen(0.1)
            if time.monotonic() > until_moving or node.exit_status() is not None:
                raise node.failure(f"the node does not move the robot; hold {operator.control('hold')!r}")
        operator.listen(WARM_UP_S)
        return watch(operator, node, hog, robot, sent, seconds)


def watch(operator, node, hog, robot, sent, seconds):
    """The measurement, once the robot moves."""
    program = CHECKOUT / "target/release/pi0_bench_control"
    options = {"--rates-hz": CONTROL_HZ, "--priority": PRIORITY, "--minutes": seconds / 60}
    arguments = [str(part) for option in options.items() for part in option]
    sleeping = subprocess.Popen([program, "--only-sleeping", *arguments], stdout=subprocess.PIPE)
    try:
        operator.ticks_ns.clear()
        operator.levels.clear()
        first = {"ticks": int(operator.control("ticks")), "sent": dict(sent)}
        inference = {"chunks": int(operator.statuses["pi0_node: inference"]["chunks"])}
        began, samples, number = time.monotonic(), [], 0
        while (passed := time.monotonic() - began) < seconds:
            for program in (node, hog):
                if program.exit_status() is not None:
                    raise program.failure("it ended")
            if not all(process.is_alive() for process in robot):
                raise RunFailed("a process of the robot ended")
            root = Path(f"/proc/{node.process.pid}")
            counts = [len(os.listdir(root / kind)) for kind in ("fd", "task")]
            samples.append((passed, resident_mib(node), *counts))
            for _ in range(round(SAMPLE_S / PARAMETERS_S)):
                operator.change(number)
                operator.listen(PARAMETERS_S)
                number += 1
        (slept,) = json.loads(sleeping.communicate(timeout=TIMEOUT_S)[0])["rates"]
    finally:
        sleeping.kill()
        sleeping.wait()
    passed = time.monotonic() - began
    memory = [(at, mib) for at, mib, *_ in samples]
    return {
        "seconds": round(passed, 1),
        "control": regularity(operator.ticks_ns)
        | {"counted_ticks": int(operator.control("ticks")) - first["ticks"], "priority": operator.control("priority")},
        "only_sleeping": slept["only_sleeping"],
        "chunks": int(operator.statuses["pi0_node: inference"]["chunks"]) - inference["chunks"],
        "sent_hz": {name: round((sent[name] - first["sent"].get(name, 0)) / passed, 1) for name in sent},
        "memory": {
            "first_mib": round(memory[0][1], 1),
            "last_mib": round(memory[-1][1], 1),
            "mib_an_hour": slope(memory),
            "means_mib": means(memory, passed),
        },
        **{
            name: {"first": samples[0][index], "last": samples[-1][index], "most": max(s[index] for s in samples)}
            for name, index in (("file_descriptors", 2), ("threads", 3))
        },
        "parameters_set": operator.changes,
        "parameters_refused": operator.refusals[:10],
        "diagnostics": {
            name: {f"{level} {text}".strip(): count for (level, text), count in seen.items()}
            for name, seen in sorted(operator.levels.items())
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0, help="how long (default 1)")
    print(json.dumps(measure(parser.parse_args().hours)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run_program("load", main))
