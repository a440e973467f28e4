//! ALOHA's gripper: its own runtime has other units than openpi's policies.

/// Fingers' distance of a closed and of an open gripper, in metres, between which ALOHA's state goes from 0 to 1
/// (`PUPPET_GRIPPER_POSITION_CLOSE` and `_OPEN`).
const FINGERS_M: [f64; 2] = [0.01844, 0.05800];
/// Motor's angle of a closed and of an open gripper, in radians, between which ALOHA's command goes from 0 to 1
/// (`PUPPET_GRIPPER_JOINT_CLOSE` and `_OPEN`).
const COMMAND_RAD: [f64; 2] = [-0.6213, 1.4910];
/// Lengths of the linkage between motor and fingers, in metres.
const ARM_M: f64 = 0.036;
const HORN_M: f64 = 0.022;

/// Gripper of an ALOHA whose state is the fingers' distance, and whose command is the motor's angle, both from 0
/// (closed) to 1 (open). To a policy of openpi it is a motor's angle from 0 to 1, of another range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlohaGripper {
    /// Motor's angle where the policy's state is 0, in radians.
    pub closed_rad: f64,
    /// Motor's angle where the policy's state is 1, in radians.
    pub open_rad: f64,
}

impl AlohaGripper {
    /// The gripper of openpi since July 2025.
    pub const OPENPI: Self = Self {
        closed_rad: 0.5476,
        open_rad: 1.6296,
    };
    /// The gripper of openpi before, and of LeRobot 0.3.
    pub const BEFORE_2025_07: Self = Self {
        closed_rad: 0.4,
        open_rad: 1.5,
    };

    /// Converts the state of ALOHA's runtime to the policy's (openpi `_gripper_to_angular`).
    pub fn state_to_policy(self, state: f64) -> f64 {
        let fingers = state * (FINGERS_M[1] - FINGERS_M[0]) + FINGERS_M[0];
        let sine = (HORN_M.powi(2) + fingers.powi(2) - ARM_M.powi(2)) / (2.0 * HORN_M * fingers);
        self.angle_to_policy(sine.clamp(-1.0, 1.0).asin())
    }

    /// Converts a position in the policy's units to the command of ALOHA's runtime.
    pub fn to_command(self, policy: f64) -> f64 {
        let angle = policy * (self.open_rad - self.closed_rad) + self.closed_rad;
        (angle - COMMAND_RAD[0]) / (COMMAND_RAD[1] - COMMAND_RAD[0])
    }

    /// Converts a command of ALOHA's runtime to a position in the policy's units.
    pub fn command_to_policy(self, command: f64) -> f64 {
        self.angle_to_policy(command * (COMMAND_RAD[1] - COMMAND_RAD[0]) + COMMAND_RAD[0])
    }

    fn angle_to_policy(self, angle_rad: f64) -> f64 {
        (angle_rad - self.closed_rad) / (self.open_rad - self.closed_rad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of LeRobot 0.3.3's `aloha_gripper_to_angular` and `aloha_gripper_from_angular`.
    #[test]
    fn the_gripper_before_july_2025_is_that_of_lerobot_0_3() {
        let gripper = AlohaGripper::BEFORE_2025_07;
        for (state, expected) in [
            (0.0, -0.928_013_2),
            (0.2, -0.455_976_9),
            (0.5, -0.003_582_3),
            (0.8, 0.435_197_9),
            (1.0, 1.064_360_3),
        ] {
            let policy = gripper.state_to_policy(state);
            assert!(
                (policy - expected).abs() < 1e-5,
                "{state}: {policy} and {expected}"
            );
        }
        for (action, expected) in [
            (-0.3, 0.327_273_6),
            (0.0, 0.483_501_4),
            (0.5, 0.743_881_1),
            (1.1, 1.056_336_7),
        ] {
            let command = gripper.to_command(action);
            assert!(
                (command - expected).abs() < 1e-5,
                "{action}: {command} and {expected}"
            );
        }
    }

    #[test]
    fn a_command_is_itself_again() {
        for gripper in [AlohaGripper::OPENPI, AlohaGripper::BEFORE_2025_07] {
            for command in [-0.2, 0.0, 0.4, 1.0, 1.3] {
                let again = gripper.to_command(gripper.command_to_policy(command));
                assert!((again - command).abs() < 1e-12, "{command}");
            }
        }
    }
}
