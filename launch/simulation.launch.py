"""Starts the simulated robot and the π0 node that moves it.

ros2 launch pi0_node simulation.launch.py prompt:="hand the cube to the left arm"

The simulation needs the Python packages of tools/requirements/python.txt (tools/setup.sh installs them).
"""

import os
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = Path(__file__).resolve().parent.parent

# Parameters of the simulation, with what they are without an argument.
SIMULATION = {
    "task": ("transfer_cube", "What is on the table: transfer_cube or insertion."),
    "seed": ("0", "Seed of the objects' start poses."),
    "episodes": ("0", "How many episodes to run; 0 for no end."),
    "episode_seconds": ("8.0", "Simulated seconds of an episode."),
    "camera_rate_hz": ("10.0", "Frames of the camera in a simulated second."),
    "real_time_factor": ("1.0", "Simulated seconds in a second."),
}


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in SIMULATION.items()
    ]
    arguments.append(
        DeclareLaunchArgument(
            "python", default_value="python3", description="Python that has the simulation's packages."
        )
    )
    command = [LaunchConfiguration("python"), "-m", "pi0_sim.aloha_sim", "--ros-args"]
    for name in SIMULATION:
        command += ["-p", [name, ":=", LaunchConfiguration(name)]]
    path = os.pathsep.join(filter(None, [str(SHARE / "sim"), os.environ.get("PYTHONPATH")]))
    simulation = ExecuteProcess(cmd=command, additional_env={"PYTHONPATH": path}, output="screen")
    # Its arguments are this file's too, with their own defaults: the simulated robot's configuration and policy.
    node = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(Path(__file__).parent / "pi0.launch.py")))
    return LaunchDescription([*arguments, simulation, node])
