//! No bytes of a bag can make the reading of a message panic.

use std::ops::ControlFlow;

use pi0_node::evaluation::bag::Bag;
use pi0_node::evaluation::messages;
use pi0_node::observation::ChannelOrder;

use crate::fixtures::{bag, joints};

fn read_as_everything(data: &[u8], joints: &[String]) {
    // What they answer does not matter here.
    let _ = messages::image(data, ChannelOrder::Unknown);
    let _ = messages::compressed_image(data);
    let _ = messages::joint_state(data);
    let _ = messages::joint_trajectory(data, "", joints);
    let _ = messages::float64_array(data);
    let _ = messages::string(data);
    let _ = messages::clock(data);
}

#[test]
fn messages_cut_off_anywhere_or_with_any_byte_changed_are_refused_or_read_and_never_panic() {
    let joints = joints();
    for name in ["mcap_message_zstd_big_endian", "mcap_compressed_images.mcap"] {
        let bag = Bag::open(bag(name)).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        bag.read(&bag.topics().keys().cloned().collect(), &mut |message| {
            if seen.insert(message.topic.to_owned()) {
                for end in 0..message.data.len() {
                    read_as_everything(&message.data[..end], &joints);
                }
                let mut changed = message.data.to_vec();
                for place in 0..changed.len() {
                    for value in [0, 1, 0x7f, 0x80, 0xff] {
                        let original = std::mem::replace(&mut changed[place], value);
                        read_as_everything(&changed, &joints);
                        changed[place] = original;
                    }
                }
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(seen.len() >= 5, "{seen:?}");
    }
}
