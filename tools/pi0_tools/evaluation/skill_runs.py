"""The runs in which success is measured: a skill, how the simulation is set up for it, and what an outcome counts."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pi0_sim import panda_skills
from pi0_sim.skills import SKILLS


@dataclass(frozen=True)
class SkillRun:
    """skill: of the prompt, which is to be done. simulation: parameters. counts: further columns, of the outcomes.

    is_handicapped: success is not asked for, as where a camera is covered.
    """

    skill: str
    prompt: str
    seconds: float
    simulation: dict
    counts: Callable[[list[dict]], dict] = field(default=lambda outcomes: {})
    is_handicapped: bool = False


def share(outcomes, condition):
    """Of the outcomes, from 0 to 1."""
    return round(sum(condition(outcome) for outcome in outcomes) / len(outcomes), 4)


def _aloha_counts(skill):
    """touch and lift are the asked arm's; idle_arm_moved is missing where both arms work."""
    arm, idle_arm = SKILLS[skill].holding_arm, SKILLS[skill].idle_arm

    def counts(outcomes):
        values = {
            "touch": share(outcomes, lambda outcome: arm in outcome["touched"]),
            "lift": share(outcomes, lambda outcome: arm in outcome["lifted"]),
            "reward_2": share(outcomes, lambda outcome: outcome["reward_max"] >= 2),
            "reward_4": share(outcomes, lambda outcome: outcome["reward_max"] >= 4),
        }
        if idle_arm is not None:
            values["idle_arm_moved"] = share(outcomes, lambda outcome: idle_arm in outcome["moved"])
        return values

    return counts


def _aloha_run(skill, covered=False):
    simulation = {"camera_covered": "true" if covered else "false"}
    chosen = SKILLS[skill]
    return SkillRun(skill, chosen.prompt, chosen.seconds, simulation, _aloha_counts(skill), covered)


def _panda_run(skill, task=None, covered=None):
    task = task or skill
    simulation = {"task": task} | ({f"{covered}_camera_covered": "true"} if covered else {})
    if task != skill:
        # A policy that does the task's own skill lifts the cube in passing, so only what is done in the end counts.
        simulation["skill"] = "''"

    def counts(outcomes):
        # Whether the task's own skill was done where another one was asked for.
        return {} if task == skill else {"task_solved": share(outcomes, lambda outcome: outcome["reward_max"] > 0)}

    chosen = panda_skills.SKILLS[skill]
    return SkillRun(skill, chosen.prompt, chosen.seconds, simulation, counts, covered is not None)


SKILL_RUNS = {
    "aloha": {
        **{skill: _aloha_run(skill) for skill in SKILLS},
        "right_pick_camera_covered": _aloha_run("right_pick", covered=True),
    },
    "panda": {
        **{skill: _panda_run(skill) for skill in panda_skills.SKILLS},
        # With the cubes of stack, the prompt alone says that the red one is to be lifted.
        "lift_in_stack": _panda_run("lift", "stack"),
        **{
            f"{skill}_{camera}_camera_covered": _panda_run(skill, covered=camera)
            for skill in panda_skills.SKILLS
            for camera in ("front", "wrist")
        },
    },
}
