"""Writes the bags that the tests of src/replay read, with writers that know nothing of this project.

    source tools/env.sh && python -m pi0_tools.reference.make_bags

Every bag has the same three seconds of a robot of 14 joints and two cameras, in another way of writing them down.
messages.json has what was written, in the order of the log times.
"""

import io
import json
import shutil
import sys

import numpy as np
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from PIL import Image as Picture
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from pi0_tools import CHECKOUT

FOLDER = CHECKOUT / "tests/fixtures/bags"
STORE = get_typestore(Stores.ROS2_JAZZY)
START_NS = 1_700_000_000_000_000_000
SECONDS = 3
# Joint states and commands are stamped so long before they are recorded.
TRANSPORT_NS = 2_000_000
JOINTS = [
    f"{side}_{joint}"
    for side in ("left", "right")
    for joint in ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
]
# A robot's driver sends joints in an order of its own, and others with them.
SENT_JOINTS = [*reversed(JOINTS), "wheel"]

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
JOINT_STATE = "sensor_msgs/msg/JointState"
JOINT_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
FLOAT64_ARRAY = "std_msgs/msg/Float64MultiArray"
STRING = "std_msgs/msg/String"


def message_type(name):
    return STORE.types[name]


def header(stamp_ns):
    time = message_type("builtin_interfaces/msg/Time")(*divmod(stamp_ns, 10**9))
    return message_type("std_msgs/msg/Header")(time, "robot")


def pixels(width, height, shade):
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([np.full_like(rows, shade), columns * 9, rows * 11], axis=-1).astype(np.uint8)


def image(stamp_ns, picture):
    height, width, _ = picture.shape
    return message_type(IMAGE)(header(stamp_ns), height, width, "rgb8", 0, 3 * width, picture.reshape(-1))


def compressed_image(stamp_ns, picture):
    png = io.BytesIO()
    Picture.fromarray(picture).save(png, "png")
    data = np.frombuffer(png.getvalue(), np.uint8)
    return message_type(COMPRESSED_IMAGE)(header(stamp_ns), "rgb8; png compressed", data)


def positions_at(seconds):
    """In the order of JOINTS."""
    return [0.1 * joint + 0.2 * seconds for joint in range(len(JOINTS))]


def sent(positions):
    """In the order of SENT_JOINTS."""
    return np.array([*reversed(positions), 99.0])


def joint_state(stamp_ns, positions):
    none = np.array([])
    return message_type(JOINT_STATE)(header(stamp_ns), SENT_JOINTS, sent(positions), none, none)


def joint_trajectory(stamp_ns, positions):
    none = np.array([])
    duration = message_type("builtin_interfaces/msg/Duration")
    point = message_type("trajectory_msgs/msg/JointTrajectoryPoint")
    points = [
        point(sent(positions), none, none, none, duration(0, 0)),
        point(sent([position + 0.01 for position in positions]), none, none, none, duration(0, 50_000_000)),
    ]
    return message_type(JOINT_TRAJECTORY)(header(stamp_ns), SENT_JOINTS, points)


def float64_array(values):
    dimension = message_type("std_msgs/msg/MultiArrayDimension")("joints", len(values), len(values))
    layout = message_type("std_msgs/msg/MultiArrayLayout")([dimension], 0)
    return message_type(FLOAT64_ARRAY)(layout, np.array(values))


def messages(compressed=False):
    """(log time, topic, type, message, what it says) of the whole recording, in the order of the log times."""
    rows = []

    def add(log_ns, topic, type_name, message, says):
        rows.append((START_NS + log_ns, topic, type_name, message, says))

    camera_type, camera = (COMPRESSED_IMAGE, compressed_image) if compressed else (IMAGE, image)
    suffix = "/compressed" if compressed else ""
    for name, rate_hz, width, height in (("top", 10, 8, 6), ("wrist", 4, 6, 4)):
        for number in range(SECONDS * rate_hz):
            log_ns = number * 10**9 // rate_hz + 7_000_000
            picture = pixels(width, height, number)
            stamp_ns = START_NS + log_ns - 5_000_000
            says = {"stamp": stamp_ns, "size": [width, height], "sum": int(picture.sum())}
            topic = f"/camera/{name}/image_raw{suffix}"
            add(log_ns, topic, camera_type, camera(stamp_ns, picture), says)
    for number in range(SECONDS * 10):
        log_ns = number * 100_000_000 + 10_000_000
        positions = positions_at(log_ns / 1e9)
        stamp_ns = START_NS + log_ns - TRANSPORT_NS
        says = {"stamp": stamp_ns, "positions": positions}
        add(log_ns, "/joint_states", JOINT_STATE, joint_state(stamp_ns, positions), says)
    for number in range(SECONDS * 20):
        log_ns = number * 50_000_000 + 11_000_000
        positions = positions_at(log_ns / 1e9 + 0.1)
        stamp_ns = START_NS + log_ns - TRANSPORT_NS
        says = {"stamp": stamp_ns, "positions": positions}
        add(log_ns, "/joint_trajectory", JOINT_TRAJECTORY, joint_trajectory(stamp_ns, positions), says)
        if number % 2 == 0:
            says = {"stamp": None, "positions": positions}
            add(log_ns + 1, "/commands", FLOAT64_ARRAY, float64_array(positions), says)
    prompt = "pick up the cube with the right arm"
    add(1_000_000, "/prompt", STRING, message_type(STRING)(prompt), {"stamp": None, "text": prompt})
    return sorted(rows, key=lambda row: row[0])


def write_rosbag2(name, plugin, compression=None, little_endian=True):
    writer = Writer(FOLDER / name, version=9, storage_plugin=plugin)
    if compression is not None:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    connections = {}
    with writer:
        for log_ns, topic, type_name, message, _ in messages():
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, type_name, typestore=STORE)
            data = STORE.serialize_cdr(message, type_name, little_endian=little_endian)
            writer.write(connections[topic], log_ns, data)


def write_mcap(path, rows, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = McapWriter(file, **options)
        writer.start(profile="ros2", library="tests")
        channels, schemas = {}, {}
        for log_ns, topic, type_name, message, _ in rows:
            if topic not in channels:
                if type_name not in schemas:
                    definition, _ = STORE.generate_msgdef(type_name, ros_version=2)
                    schemas[type_name] = writer.register_schema(type_name, "ros2msg", definition.encode())
                channels[topic] = writer.register_channel(topic, "cdr", schemas[type_name])
            data = bytes(STORE.serialize_cdr(message, type_name))
            writer.add_message(channels[topic], log_time=log_ns, publish_time=log_ns, data=data)
        writer.finish()


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    rows = messages()
    written = [[log_ns, topic, says] for log_ns, topic, _, _, says in rows]
    lines = ",\n".join(json.dumps(row) for row in written)
    (FOLDER / "messages.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")

    write_rosbag2("mcap_zstd", StoragePlugin.MCAP, CompressionMode.STORAGE)
    write_rosbag2("mcap_file_zstd", StoragePlugin.MCAP, CompressionMode.FILE)
    write_rosbag2("mcap_message_zstd_big_endian", StoragePlugin.MCAP, CompressionMode.MESSAGE, False)
    write_rosbag2("sqlite3_file_zstd", StoragePlugin.SQLITE3, CompressionMode.FILE)
    write_rosbag2("sqlite3_message_zstd", StoragePlugin.SQLITE3, CompressionMode.MESSAGE)

    small_chunks = {"chunk_size": 8192, "compression": CompressionType.LZ4}
    write_mcap(FOLDER / "mcap_lz4_chunks.mcap", rows, **small_chunks)
    no_index = {
        "index_types": IndexType.NONE,
        "use_statistics": False,
        "use_summary_offsets": False,
        "repeat_channels": False,
        "repeat_schemas": False,
    }
    write_mcap(FOLDER / "mcap_no_index.mcap", rows, chunk_size=8192, **no_index)
    # Without metadata; the tenth file comes after the ninth, whatever the alphabet says.
    for number in range(11):
        part = rows[len(rows) * number // 11 : len(rows) * (number + 1) // 11]
        write_mcap(FOLDER / f"mcap_split/split_{number}.mcap", part)
    write_mcap(FOLDER / "mcap_compressed_images.mcap", messages(compressed=True))
    # As tools write that convert one topic after the other.
    by_topic = sorted(rows, key=lambda row: row[1])
    write_mcap(FOLDER / "mcap_topic_by_topic.mcap", by_topic, chunk_size=8192)


if __name__ == "__main__":
    sys.exit(main())
