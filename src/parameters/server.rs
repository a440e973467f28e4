//! The server of a policy on another machine: what its parameters must be together, and what they mean.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::inputs::camera_options;
use super::policy_device::PolicyDevice;
use super::reader::Reader;
use super::state_order;
use super::table::{NodeParameters, ServerParameters};
use crate::policy::{JointMapping, RemoteOptions};

/// Refuses a server without the device that it is for, and that device without a server.
pub fn check(parameters: &NodeParameters, reader: &mut Reader) {
    let server = &parameters.server.server;
    if parameters.policy.device != PolicyDevice::Remote {
        if !server.is_empty() {
            reader.refuse("device", "remote, beside the parameter server");
        }
        return;
    }
    reader.do_not_require("checkpoint");
    if !["ws://", "wss://"]
        .iter()
        .any(|scheme| server.starts_with(scheme))
    {
        reader.refuse("server", "ws://host:port or wss://host:port, with device remote");
    }
}

/// The server that the policy is on; none where the policy runs here.
pub fn remote_options(parameters: &NodeParameters, joint_mapping: &JointMapping) -> Option<RemoteOptions> {
    if parameters.policy.device != PolicyDevice::Remote {
        return None;
    }
    let ServerParameters {
        server,
        server_keys,
        server_images,
        server_image_size,
        server_deadline_ms,
        server_api_key_file,
        server_ca_file,
    } = &parameters.server;
    let file = |name: &String| Some(PathBuf::from(name)).filter(|_| !name.is_empty());
    Some(RemoteOptions {
        server: server.clone(),
        keys: *server_keys,
        images: *server_images,
        image_size: NonZeroUsize::new(*server_image_size),
        deadline: Duration::from_secs_f64(server_deadline_ms / 1e3),
        max_silence: Duration::from_secs_f64(parameters.safety.max_age_ms / 1e3),
        api_key_file: file(server_api_key_file),
        ca_file: file(server_ca_file),
        cameras: camera_options(parameters),
        state_dim: state_order::labels(parameters).len(),
        action_dim: joint_mapping.actions.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::overrides::{owned, problem, settings, text};
    use super::super::{ParameterValue, Parameters};
    use super::*;

    #[test]
    fn a_server_needs_the_device_remote_and_an_address() {
        let remote = ("device", text("remote"));
        let server = |address| ("server", text(address));
        for (overrides, refused) in [
            (
                vec![server("ws://gpu:8000")],
                "device: found \"auto\", expected remote, beside the parameter server",
            ),
            (
                vec![remote.clone()],
                "server: found \"\", expected ws://host:port or wss://host:port, with device remote",
            ),
            (
                vec![remote.clone(), server("gpu:8000")],
                "server: found \"gpu:8000\", expected ws://host:port or wss://host:port, with device remote",
            ),
        ] {
            assert_eq!(problem(&overrides), refused);
        }
        let options = settings(&[remote, server("wss://gpu:8000")]).remote.unwrap();
        assert_eq!(options.server, "wss://gpu:8000");
        assert_eq!([options.state_dim, options.action_dim], [3, 3]);
        assert_eq!(options.deadline, Duration::from_millis(500));
        assert_eq!(options.cameras[0].name, "top");
    }

    #[test]
    fn a_policy_on_a_server_needs_no_checkpoint_here() {
        let robot = [
            ("device", text("remote")),
            ("server", text("ws://gpu:8000")),
            ("cameras.top.topic", text("/top")),
            (
                "joint_names",
                ParameterValue::StringArray(vec!["waist".to_owned()]),
            ),
        ];
        assert!(Parameters::from_overrides(owned(&robot)).is_ok());
        assert!(settings(&[]).remote.is_none());
    }
}
