"""The skills that the simulated Panda can be asked for, and what came of an episode."""

from collections import deque
from dataclasses import asdict, dataclass

# A skill counts when it is done in most of these steps.
KEPT_STEPS = 25


@dataclass(frozen=True)
class PandaSkill:
    """prompt: what the policy is told. tasks: in which it can be done. seconds: time enough, with a second try."""

    prompt: str
    tasks: tuple[str, ...]
    seconds: float

    @property
    def task(self):
        """The first of them."""
        return self.tasks[0]


SKILLS = {
    "lift": PandaSkill("lift the red cube", ("lift", "stack"), 10.0),
    "stack": PandaSkill("stack the red cube on the green cube", ("stack",), 15.0),
    "pick_place_can": PandaSkill("put the can into its bin", ("pick_place_can",), 15.0),
}


def is_done(name, environment):
    """robosuite's check of the skill's own task. Where there is something to stack on, stacking is not lifting."""
    if name == environment.task_name:
        return environment.is_solved()
    return (
        (name, environment.task_name) == ("lift", "stack") and environment.is_lifted() and not environment.is_solved()
    )


@dataclass
class PandaOutcome:
    """What came of an episode.

    reward_max: the best of robosuite's reward, 0 or 1. kept: the skills that were done in most of the last KEPT_STEPS
    of the episode. seconds: its simulated time.
    """

    seed: int
    task: str
    reward_max: float
    kept: list[str]
    seconds: float

    def as_dict(self):
        return asdict(self)


class PandaEpisodeJudge:
    """Watches an episode of PandaEnvironment, one step after the other."""

    def __init__(self, seed, task):
        self.outcome = PandaOutcome(seed, task, 0.0, [], 0.0)
        self._done = {name: deque(maxlen=KEPT_STEPS) for name, skill in SKILLS.items() if task in skill.tasks}

    def stepped(self, environment, reward, seconds):
        """Takes what a step led to. seconds: of the episode, simulated."""
        self.outcome.seconds = round(seconds, 3)
        self.outcome.reward_max = max(self.outcome.reward_max, reward)
        for name, done in self._done.items():
            done.append(is_done(name, environment))
        # Contacts come and go from one step to the next while a cube lies on another.
        self.outcome.kept = [name for name, done in self._done.items() if sum(done) > KEPT_STEPS / 2]
