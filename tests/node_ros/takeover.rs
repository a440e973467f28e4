//! Another program moves the robot for a while.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use r2r::std_srvs::srv::SetBool;
use r2r::trajectory_msgs::msg::{JointTrajectory, JointTrajectoryPoint};
use r2r::{Context, Node};

use crate::common::isolation::isolated;
use crate::robot::{JOINTS, Robot, holds, qos, start_for_a_robot_that_stays};

#[test]
fn a_robot_that_another_publisher_moves_during_a_takeover_goes_on_from_where_it_was_left() {
    isolated!(|| {
        let node = start_for_a_robot_that_stays(&[]);
        let mut robot = Robot::new();
        robot.trajectory();
        let taken = robot.ask::<SetBool::Service>("takeover", &SetBool::Request { data: true });
        assert!(taken.success, "{taken:?}");
        robot.status("pi0_node: control", holds("TAKEOVER"));
        // The node has brought the robot to rest within stop_time_s.
        robot.listen(Duration::from_millis(500));
        assert_eq!(robot.trajectories_in_half_a_second(), 0);

        let mut teleoperation = Node::create(Context::create().unwrap(), "teleoperation", "").unwrap();
        let publisher = teleoperation
            .create_publisher::<JointTrajectory>("/joint_trajectory", qos())
            .unwrap();
        let mut steps = 0;
        robot.until("the robot moved by the other program", |robot| {
            let point = JointTrajectoryPoint {
                positions: vec![1.0 + 0.1 * f64::from(steps), 2.0 - 0.1 * f64::from(steps)],
                ..JointTrajectoryPoint::default()
            };
            let command = JointTrajectory {
                joint_names: JOINTS.map(str::to_owned).to_vec(),
                points: vec![point],
                ..JointTrajectory::default()
            };
            publisher.publish(&command).unwrap();
            let received = robot.trajectories.next().now_or_never()??;
            assert_eq!(received.points.len(), 1, "the node publishes nothing");
            let [waist, elbow] = received.points[0].positions[..] else {
                panic!("{received:?}")
            };
            robot.joint_state.position = vec![9.0, elbow, waist];
            steps += 1;
            (steps == 30).then_some(())
        });
        // The node computes in f32.
        let [waist, elbow] = [2, 1].map(|joint| robot.joint_state.position[joint] as f32);
        let left_at = [waist, elbow].map(f64::from);
        assert!(left_at[0] > 1.5 && left_at[1] < 1.5, "{left_at:?}");
        robot.status("pi0_node: control", holds("TAKEOVER"));
        drop(publisher);
        drop(teleoperation);
        // Until the node has noticed that the other publisher is gone.
        robot.listen(Duration::from_secs(2));
        while robot.trajectories.next().now_or_never().is_some() {}

        let given = robot.ask::<SetBool::Service>("takeover", &SetBool::Request { data: false });
        assert!(given.success, "{given:?}");
        let first = robot.trajectory();
        assert_eq!(
            first.points[0].positions, left_at,
            "the robot is held where it was left"
        );
        let moving = robot.until("a chunk that is played", |robot| {
            let trajectory = robot.trajectories.next().now_or_never()??;
            (trajectory.points.len() > 3).then_some(trajectory)
        });
        // The stand-in begins where it sees the robot, and goes by ten with every action.
        for (joint, left_at) in left_at.into_iter().enumerate() {
            let begins = moving.points[0].positions[joint];
            assert!(
                (left_at..left_at + 25.0).contains(&begins),
                "joint {joint}: {begins}"
            );
        }
        node.stop();
    });
}
