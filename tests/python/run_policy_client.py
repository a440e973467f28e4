"""A client of ~/run_policy: sends one goal, and writes what happens as a line of JSON each.

Usage: python run_policy_client.py '{"prompt": "wave", "max_duration_s": 2.0}'

A key `action` is the name of the action. It reads lines: `cancel` cancels the goal, `leave` ends the client and says
nothing about the goal.
"""

import json
import os
import sys
import threading

import rclpy
from pi0_interfaces.action import RunPolicy
from rclpy.action import ActionClient


def write(**event):
    # One call, for the answers come from several threads.
    os.write(1, (json.dumps(event) + "\n").encode())


def fields(message):
    def plain(value):
        return value if isinstance(value, (bool, int, float, str)) else list(value)

    return {name: plain(getattr(message, name)) for name in message.get_fields_and_field_types()}


def read_orders(goal_handle, leaves):
    for line in sys.stdin:
        if line.strip() == "leave":
            leaves.set()
            return
        cancelling = goal_handle.cancel_goal_async()
        cancelling.add_done_callback(lambda done: write(cancelled=done.result().return_code))


def main():
    rclpy.init()
    node = rclpy.create_node("run_policy_client")
    fields_of_goal = json.loads(sys.argv[1])
    client = ActionClient(node, RunPolicy, fields_of_goal.pop("action", "/pi0_node/run_policy"))
    assert client.wait_for_server(60.0), "the node has no action"
    goal = RunPolicy.Goal(**fields_of_goal)
    sending = client.send_goal_async(goal, feedback_callback=lambda sent: write(feedback=fields(sent.feedback)))
    rclpy.spin_until_future_complete(node, sending)
    goal_handle = sending.result()
    write(accepted=goal_handle.accepted)
    if goal_handle.accepted:
        leaves = threading.Event()
        threading.Thread(target=read_orders, args=(goal_handle, leaves), daemon=True).start()
        result = goal_handle.get_result_async()
        while not (result.done() or leaves.is_set()):
            rclpy.spin_once(node, timeout_sec=0.1)
        if result.done():
            write(result={"status": result.result().status, **fields(result.result().result)})
    client.destroy()
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
