import numpy as np
from rosbags.highlevel import AnyReader

from pi0_tools.evaluation import record_bag


def test_a_recorded_skill_has_every_step_and_a_frame_of_every_fifth(tmp_path):
    bag = tmp_path / "bag"
    _, steps = record_bag.record("right_pick", record_bag.FIRST_SEED, bag, width=64, height=48)
    messages = {}
    with AnyReader([bag]) as reader:
        for connection, log_ns, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            messages.setdefault(connection.topic, []).append((log_ns, message))
    assert {topic: len(found) for topic, found in messages.items()} == {
        "/prompt": 1,
        "/clock": steps,
        "/joint_states": steps,
        "/joint_trajectory": steps,
        "/camera/top/image_raw": -(-steps // 5),
    }
    assert messages["/prompt"][0][1].data == "pick up the cube with the right arm"
    for log_ns, state in messages["/joint_states"]:
        assert state.header.stamp.sec * 10**9 + state.header.stamp.nanosec == log_ns
    # What the expert wants leads to where the joints are a little later.
    wanted = np.array([message.points[0].positions for _, message in messages["/joint_trajectory"]])
    were = np.array([message.position for _, message in messages["/joint_states"]])
    waist = 7
    assert np.abs(wanted[:-10, waist] - were[10:, waist]).mean() < 0.05
    frames = [message for _, message in messages["/camera/top/image_raw"]]
    assert (frames[0].width, frames[0].height, frames[0].step) == (64, 48, 192)
    assert frames[0].data.std() > 10
