"""When an episode starts, ends and counts as solved."""


class Episodes:
    """Counts episodes in simulation steps; the first is number 0.

    The time of an episode runs from its first trajectory on, so a policy that loads for a minute loses nothing.
    """

    def __init__(self, count, seconds, step_seconds):
        """count: how many episodes to run, 0 for no end. seconds: the longest of each, in simulated seconds."""
        self.number = 0
        self.reward_max = [0.0]
        self._count = count
        self._steps_per_episode = max(1, round(seconds / step_seconds))
        self.running = False
        self._steps = 0
        self._step_seconds = step_seconds

    @property
    def seconds(self):
        """Simulated seconds since the episode's first trajectory."""
        return self._steps * self._step_seconds

    def trajectory_received(self):
        self.running = True

    def stepped(self, reward, solved):
        """Takes the reward of one step and whether nothing is left to do; returns True when it was the last step."""
        if not self.running:
            return False
        self._steps += 1
        self.reward_max[-1] = max(self.reward_max[-1], reward)
        return solved or self._steps >= self._steps_per_episode

    def all_done(self):
        """Whether the episode that just ended was the last one."""
        return self._count > 0 and self.number + 1 >= self._count

    def start_next(self):
        self.number += 1
        self.reward_max.append(0.0)
        self.running = False
        self._steps = 0
