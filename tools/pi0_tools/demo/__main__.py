"""Shows the shipped policy at work on the simulated robot: each skill by its prompt, filmed.

Ends with status 0, the names of a contact sheet and a film, and one line of JSON when the node moved the robot.
"""

import argparse
import json
import sys
from dataclasses import replace

from pi0_sim.recording import load_recording
from pi0_tools.demo.film import FilmStrip, draw_frames, write_contact_sheet, write_film
from pi0_tools.evaluation.closed_loop import Run, add_setup_arguments, run_episodes, run_program, setup_from
from pi0_tools.evaluation.processes import RunFailed
from pi0_tools.evaluation.simulated_robot import SIMULATED_ROBOTS

LEAST_DISPLACEMENT_RAD = 0.05


def parse_arguments():
    parser = argparse.ArgumentParser(prog="python -m pi0_tools.demo", description=__doc__)
    add_setup_arguments(parser, "target/demo", robots=tuple(SIMULATED_ROBOTS))
    parser.add_argument("--episodes", type=int, default=1, help="episodes of each skill (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the objects' start poses (default 0)")
    parser.add_argument("--skill", action="append", dest="skills", metavar="SKILL", help="only this; may be repeated")
    parser.add_argument("--prompt", help="for a checkpoint with prompts of its own; an episode ends at the best reward")
    parser.add_argument("--episode-seconds", type=float, help="simulated seconds of an episode at most")
    arguments = parser.parse_args()
    if arguments.episodes < 1:
        parser.error("--episodes must be at least 1")
    if arguments.prompt and arguments.skills:
        parser.error("--prompt and --skill exclude each other")
    skills = SIMULATED_ROBOTS[arguments.robot].skills
    for name in arguments.skills or ():
        if name not in skills:
            parser.error(f"--skill: there is no {name}; there are {', '.join(skills)}")
    arguments.skills = {name: skills[name] for name in arguments.skills or skills}
    return arguments


def runs_of(arguments):
    """A run for each skill, or one for a prompt that the skills do not know."""
    if arguments.prompt:
        simulation = {"episode_seconds": arguments.episode_seconds or 8.0}
        return [Run("prompt", arguments.prompt, arguments.episodes, arguments.seed, simulation)]
    return [
        Run(
            name,
            skill.prompt,
            arguments.episodes,
            arguments.seed,
            {
                "task": skill.task,
                "skill": name,
                "episode_seconds": arguments.episode_seconds or skill.seconds,
            },
        )
        for name, skill in arguments.skills.items()
    ]


def recording_path(arguments, run):
    return arguments.output / f"{run.name}_recording.npz"


def summary(results):
    """What the last line of output says, of the results by the runs' names.

    Raises RunFailed when the robot did not move.
    """
    for name, result in results.items():
        if result.displacement_rad < LEAST_DISPLACEMENT_RAD:
            raise RunFailed(
                f"the robot did not move in {name}: no joint left its start by {LEAST_DISPLACEMENT_RAD} rad "
                f"(the largest displacement is {result.displacement_rad:.4f} rad, "
                f"after {result.command_count} commands)"
            )
    return {
        name: {
            "episodes": len(result.outcomes),
            "done": sum(name in outcome["kept"] for outcome in result.outcomes),
            "reward_max": [outcome["reward_max"] for outcome in result.outcomes],
            **result.figures,
        }
        for name, result in results.items()
    }


def run_demo(arguments):
    setup = setup_from(arguments)
    results = {}
    runs = runs_of(arguments)
    for run in runs:
        simulation = {**run.simulation, "recording": recording_path(arguments, run).resolve()}

        def report(number, run=run):
            print(f"demo: “{run.prompt}”, episode {number + 1} of {run.episodes} …", flush=True)

        results[run.name] = run_episodes(setup, replace(run, simulation=simulation), report)
    result = summary(results)

    print("demo: drawing the film …", flush=True)
    sheet_path = arguments.output / "contact_sheet.png"
    film_path = arguments.output / "film.gif"
    strips = [FilmStrip(run.prompt, load_recording(recording_path(arguments, run))) for run in runs]
    frames = draw_frames(strips)
    write_contact_sheet(frames, sheet_path)
    write_film(frames, film_path)
    for run in runs:
        of_run = result[run.name]
        print(f"demo: “{run.prompt}”: done in {of_run['done']} of {of_run['episodes']} episodes")
    print("demo: what the robot did is in")
    print(sheet_path)
    print(film_path)
    print(json.dumps(result), flush=True)


def main():
    run_demo(parse_arguments())
    return 0


if __name__ == "__main__":
    sys.exit(run_program("demo", main))
