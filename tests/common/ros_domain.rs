//! ROS domains of tests: what they publish must never move a robot on the network, and no two tests may hear each other.

use std::fs::{self, File};

/// Above 101, the ports of a domain collide with those that the system gives to programs.
const DOMAINS: u32 = 100;

/// A ROS domain that no other test of this machine has, as long as this value lives.
pub struct RosDomain {
    id: u32,
    _lock: File,
}

impl RosDomain {
    /// Takes a free domain.
    pub fn take() -> Self {
        let folder = std::env::temp_dir().join("pi0_node_ros_domains");
        fs::create_dir_all(&folder).unwrap();
        let first = std::process::id() % DOMAINS;
        let ids = (0..DOMAINS).map(|step| 1 + (first + step) % DOMAINS);
        let free = ids.into_iter().find_map(|id| {
            let file = File::create(folder.join(id.to_string())).unwrap();
            file.try_lock().is_ok().then_some((id, file))
        });
        let (id, _lock) = free.expect("a ROS domain that no other test has");
        Self { id, _lock }
    }

    /// The environment of a process in this domain, which hears this machine alone.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("ROS_DOMAIN_ID", self.id.to_string()),
            ("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST".to_owned()),
        ]
    }
}
