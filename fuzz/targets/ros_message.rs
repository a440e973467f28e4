//! Recorded messages of ROS 2 in CDR, read as each type.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pi0_node::evaluation::messages;
use pi0_node::observation::ChannelOrder;

static JOINTS: LazyLock<[String; 2]> = LazyLock::new(|| ["waist", "elbow"].map(str::to_owned));

fuzz_target!(|input: &[u8]| {
    pi0_fuzz::bounded(input, || {
        let _ = messages::image(input, ChannelOrder::Rgb);
        let _ = messages::compressed_image(input);
        let _ = messages::joint_state(input);
        let _ = messages::joint_trajectory(input, "", &*JOINTS);
        let _ = messages::float64_array(input);
        let _ = messages::pose(input);
        let _ = messages::odometry(input);
        let _ = messages::transforms(input);
        let _ = messages::string(input);
        let _ = messages::clock(input);
    });
});
