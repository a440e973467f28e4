import numpy as np

from pi0_sim.recording import RecordedStep, Recording, load_recording


def test_a_recording_reads_back_as_it_was_written(tmp_path):
    recording = Recording("insertion")
    recording.steps.append(RecordedStep(0, 0.02, 1.0, 2.0, np.arange(5.0)))
    recording.steps.append(RecordedStep(1, 0.04, 0.0, 0.0, np.arange(5.0) + 1))
    recording.save(tmp_path / "recording.npz")

    read = load_recording(tmp_path / "recording.npz")

    assert read.task == "insertion"
    assert [(step.episode, step.episode_s, step.reward, step.reward_max) for step in read.steps] == [
        (0, 0.02, 1.0, 2.0),
        (1, 0.04, 0.0, 0.0),
    ]
    assert read.steps[1].physics_state.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
