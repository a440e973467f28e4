//! Where the policy runs.

use crate::policy::DeviceChoice;

/// Where the policy runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyDevice {
    /// The fastest device of this machine.
    #[default]
    Auto,
    /// The host's cores.
    Cpu,
    /// A Tenstorrent card.
    Tenstorrent,
    /// A server on another machine.
    Remote,
}

impl PolicyDevice {
    /// The device of this machine; none for a server.
    pub fn choice(self) -> Option<DeviceChoice> {
        match self {
            Self::Auto => Some(DeviceChoice::Auto),
            Self::Cpu => Some(DeviceChoice::Cpu),
            Self::Tenstorrent => Some(DeviceChoice::Tenstorrent),
            Self::Remote => None,
        }
    }
}
