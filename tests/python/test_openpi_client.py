"""openpi's own client from PyPI against pi0_server with the shipped policy."""

import subprocess
import urllib.request

import numpy as np
import pytest
import websockets
from openpi_client import image_tools, msgpack_numpy
from openpi_client.action_chunk_broker import ActionChunkBroker
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from websockets.sync.client import connect

from pi0_tools import CHECKOUT
from pi0_tools.evaluation.openpi_client_success import success_rates
from pi0_tools.evaluation.policy_server import SERVER, policy_server

PROMPT = "pick up the cube with the right arm"
HORIZON, JOINTS = 50, 14
PICTURE = np.random.default_rng(3).integers(256, size=(120, 120, 3), dtype=np.uint8)
ROBOT = CHECKOUT / "config/aloha_sim.yaml"


def observation(picture=PICTURE, shift=0.0):
    return {"images": {"top": picture}, "state": np.full(JOINTS, 0.1 + shift), "prompt": PROMPT}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with policy_server(tmp_path_factory.mktemp("server") / "log", "--seed", 7, "--max-clients", 200) as (_, address):
        yield address


def first_actions(address, observation):
    """Every client gets the first noise of the seed with its first observation."""
    return WebsocketClientPolicy(address).infer(observation)["actions"]


def test_the_metadata_says_what_is_served(address):
    metadata = WebsocketClientPolicy(address).get_server_metadata()["pi0_node"]
    assert (metadata["state_dim"], metadata["action_dim"], metadata["action_horizon"]) == (JOINTS, JOINTS, HORIZON)
    assert metadata["cameras"] == {"top": "images/top"}


def test_an_observation_is_answered_with_actions_and_how_long_they_took(address):
    client = WebsocketClientPolicy(address)
    first, second = client.infer(observation()), client.infer(observation())
    assert first["actions"].shape == (HORIZON, JOINTS)
    assert first["actions"].dtype == np.float32
    assert np.isfinite(first["actions"]).all()
    assert 0 < first["policy_timing"]["infer_ms"] <= first["server_timing"]["infer_ms"]
    assert "prev_total_ms" not in first["server_timing"]
    assert second["server_timing"]["prev_total_ms"] >= first["server_timing"]["infer_ms"]
    assert not np.array_equal(first["actions"], second["actions"]), "the second chunk is of other noise"


def test_a_picture_is_the_same_in_rows_or_planes_and_as_bytes_or_numbers(address):
    expected = first_actions(address, observation())
    planes = PICTURE.transpose(2, 0, 1)
    for picture in (planes, np.ascontiguousarray(planes)):
        assert np.array_equal(first_actions(address, observation(picture)), expected)
    numbers = (PICTURE / 255).astype(np.float32)
    of_numbers = first_actions(address, observation(numbers))
    assert np.array_equal(of_numbers, first_actions(address, observation(image_tools.convert_to_uint8(numbers))))
    assert np.array_equal(of_numbers, first_actions(address, observation(numbers.transpose(2, 0, 1))))


def test_a_frame_that_openpi_s_tools_made_smaller_is_taken(address):
    frame = np.kron(PICTURE, np.ones((4, 4, 1), np.uint8))
    small = image_tools.resize_with_pad(frame, 120, 120)
    assert first_actions(address, observation(small)).shape == (HORIZON, JOINTS)


def test_states_of_every_type_of_numbers_are_the_same(address):
    state = np.arange(JOINTS) % 2
    actions = [
        first_actions(address, observation() | {"state": values})
        for values in (state.astype(np.float64), state.astype(np.float16), state.astype(np.int64), state.tolist())
    ]
    assert all(np.array_equal(actions[0], other) for other in actions[1:])


def test_flat_keys_are_the_same_as_nested_ones(address):
    flat = {"images/top": PICTURE, "state": observation()["state"], "prompt": PROMPT}
    assert np.array_equal(first_actions(address, flat), first_actions(address, observation()))


def test_the_broker_gives_the_actions_of_a_chunk_one_by_one(address):
    chunk = first_actions(address, observation())
    broker = ActionChunkBroker(WebsocketClientPolicy(address), HORIZON)
    for action in chunk:
        assert np.array_equal(broker.infer(observation())["actions"], action)


def test_two_clients_have_noise_and_pictures_of_their_own(address):
    other_picture = 255 - PICTURE
    clients = [WebsocketClientPolicy(address) for _ in range(2)]
    pictures = (PICTURE, other_picture)
    answers = [
        [
            client.infer(observation(picture, shift))["actions"]
            for client, picture in zip(clients, pictures, strict=True)
        ]
        for shift in (0.0, 0.1, 0.2)
    ]
    for index, picture in enumerate(pictures):
        alone = WebsocketClientPolicy(address)
        for shift, both in zip((0.0, 0.1, 0.2), answers, strict=True):
            assert np.array_equal(alone.infer(observation(picture, shift))["actions"], both[index])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": {"cam_high": PICTURE}}, 'no camera top: expected a value at "images/top", found images/cam_high'),
        ({"state": np.zeros(3)}, "the state has 3 values, expected 14"),
        ({"state": np.full(JOINTS, np.nan)}, "value 0 of the state is NaN"),
        ({"prompt": ""}, "prompt"),
        ({"images": {"top": PICTURE[..., 0]}}, r"camera top .* expected an array \[height, width, 3\]"),
        ({"images": {"top": PICTURE.astype(np.int64)}}, "camera top"),
        ({"images": {"top": PICTURE.astype(np.float32)}}, "expected numbers from 0 to 1"),
    ],
)
def test_a_wrong_observation_is_an_error_in_words_and_ends_the_connection(address, changed, words):
    client = WebsocketClientPolicy(address)
    with pytest.raises(RuntimeError, match=words):
        client.infer(observation() | changed)
    with pytest.raises(websockets.ConnectionClosedError) as closed:
        client.infer(observation())
    assert closed.value.rcvd.code == 1011
    assert first_actions(address, observation()).shape == (HORIZON, JOINTS)


def test_pickled_objects_are_refused(address):
    with connect(address, compression=None) as socket:
        socket.recv()
        array = {b"__ndarray__": True, b"data": b"\x80\x04.", b"dtype": "|O", b"shape": (1,)}
        socket.send(msgpack_numpy.packb({"state": array}))
        assert "elements of type" in socket.recv()


def test_the_server_says_that_it_is_healthy(address):
    with urllib.request.urlopen(address.replace("ws://", "http://") + "/healthz", timeout=10) as response:
        assert (response.status, response.read()) == (200, b"OK\n")


def test_a_key_is_asked_for_where_there_is_one(tmp_path):
    key = "a key that nobody guesses"
    (tmp_path / "key").write_text(key + "\n")
    with policy_server(tmp_path / "log", "--api-key-file", tmp_path / "key") as (_, address):
        assert WebsocketClientPolicy(address, api_key=key).infer(observation())["actions"].shape == (HORIZON, JOINTS)
        for wrong in (None, "another key of this length"):
            with pytest.raises(websockets.InvalidStatus) as refused:
                WebsocketClientPolicy(address, api_key=wrong)
            assert refused.value.response.status_code == 401


def test_openpi_s_names_of_cameras_are_those_of_the_policy_where_it_is_told_so(tmp_path):
    arguments = ("--camera", "top=observation/exterior_image_1_left", "--keys", "droid")
    with policy_server(tmp_path / "log", *arguments) as (_, address):
        actions = first_actions(
            address,
            {
                "observation/exterior_image_1_left": PICTURE,
                "observation/joint_position": np.full(JOINTS - 1, 0.1),
                "observation/gripper_position": np.array([0.1]),
                "prompt": PROMPT,
            },
        )
    assert actions.shape == (HORIZON, JOINTS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "0.0.0.0"), "0.0.0.0:0 is reached from other machines"),
        (("--camera", "wrist=images/wrist"), "--camera names wrist, expected one of top"),
        (("--camera", "top"), "expected CAMERA=KEY"),
        (("--cert", "missing.pem"), "--key"),
        (("--api-key-file", "missing"), "missing cannot be read"),
        (("--params-file", "missing.yaml"), "missing.yaml"),
        (("--max-clients", "0"), "expected at least 1"),
    ],
)
def test_wrong_arguments_are_refused_with_the_reason(arguments, words):
    checkpoint = CHECKOUT / "checkpoints/aloha_sim"
    command = [SERVER, "--checkpoint", checkpoint, "--port", "0", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert words in ended.stderr


def test_openpi_s_client_picks_up_the_cube_through_the_server(tmp_path):
    with policy_server(tmp_path / "log", "--params-file", ROBOT) as (_, address):
        table = success_rates(address, ["right_pick"], episodes=4, first_seed=0)
    assert len(table["right_pick"]["failed_seeds"]) <= 1
