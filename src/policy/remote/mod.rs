//! A policy on another machine: the client of a server of openpi's protocol.

mod address;
mod connection;
mod deadline_socket;
mod link;

use std::sync::Arc;
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};

use super::action_prefix::ActionPrefix;
use super::action_prefix_message::ACTION_PREFIX;
use super::chunk::{ActionChunk, Observation};
use super::error::PolicyError;
use super::options::CameraOptions;
use super::preprocess::shrink_image;
use super::remote_error::RemoteError;
use super::remote_options::RemoteOptions;
use super::report::PolicyReport;
use super::{Policy, PolicyInfo, ServerReport};
use crate::checkpoint::Resize;
use crate::protocol::{Answer, Metadata, ObservationKeys, PictureFormat, Value, encode, picture_to};
use address::Address;
use link::{FirstContact, Link};

/// Longest wait for a server's first message.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for the first chunk of a server that does not say how its chunks are: openpi's compiles its model for it.
const FIRST_CHUNK_PATIENCE: Duration = Duration::from_secs(300);
/// Side of pictures of openpi's policies, in pixels.
const OPENPI_IMAGE_SIZE: usize = 224;

/// A policy on another machine. Frames are cropped and made smaller before they travel. A connection that breaks is made again
/// by itself.
pub(super) struct RemotePolicy {
    link: Link,
    options: RemoteOptions,
    keys: ObservationKeys,
    image_size: usize,
    info: PolicyInfo,
}

impl RemotePolicy {
    /// Connects to the server, and asks one that does not say how its chunks are for a first one.
    pub fn open(options: RemoteOptions) -> Result<Self, RemoteError> {
        let address = Address::new(&options)?;
        let first = FirstContact::make(address, Instant::now() + CONNECT_PATIENCE)?;
        let metadata = first.metadata().cloned();
        let unfit = |reason: String| RemoteError::Unfit {
            server: options.server.clone(),
            reason,
        };
        let cameras = options
            .cameras
            .iter()
            .map(|camera| (camera.name.as_str(), camera.is_optional));
        let keys = ObservationKeys::new(options.keys, cameras);
        if let Some(metadata) = &metadata {
            check(metadata, &options, &keys).map_err(unfit)?;
        } else if options.images != PictureFormat::Raw {
            return Err(unfit(
                "it is not known to take compressed frames, as pi0_server does; set server_images to raw"
                    .to_owned(),
            ));
        }
        let known_size = metadata
            .as_ref()
            .map(|metadata| metadata.image_size)
            .filter(|size| *size > 0);
        let image_size = options.image_size.map(|size| size.get()).or(known_size);
        let mut policy = Self {
            keys,
            image_size: image_size.unwrap_or(OPENPI_IMAGE_SIZE),
            info: PolicyInfo {
                cameras: options.cameras.iter().map(|camera| camera.name.clone()).collect(),
                state_dim: options.state_dim,
                action_dim: options.action_dim,
                // Nobody else's server has actions of the chunk before in its protocol.
                takes_prefixes: metadata.is_some(),
                ..PolicyInfo::default()
            },
            link: first.keep(&options),
            options,
        };
        policy.info.image_size = policy.image_size;
        match metadata {
            Some(metadata) => {
                policy.info.action_horizon = metadata.action_horizon;
                policy.info.rtc_training_max_delay = metadata.rtc_training_max_delay;
                policy.info.resize = match metadata.is_antialiased {
                    true => Resize::Antialiased,
                    false => Resize::Plain,
                };
                policy.info.description = format!("{}: {}", policy.options.server, metadata.description);
            }
            None => policy.learn_shape()?,
        }
        Ok(policy)
    }

    /// Learns the shape of a chunk from the one of black frames, which also warms the server up.
    fn learn_shape(&mut self) -> Result<(), RemoteError> {
        self.info.resize = Resize::Antialiased;
        let side = self.image_size as u32;
        let frame = Arc::new(RgbImage::from_pixel(side, side, Rgb([0; 3])));
        let cameras = self.info.cameras.iter();
        let images = cameras.map(|camera| (camera.as_str(), &frame));
        let pictures = images.map(|(camera, frame)| {
            let picture = picture_to(frame, PictureFormat::Raw).expect("a raw picture");
            (camera, picture)
        });
        let state = vec![0.0; self.options.state_dim];
        let message = encode(&self.keys.observation(pictures, &state, "be still"));
        tracing::info!(
            "the server {} does not say how its chunks are; it is asked for a first one",
            self.options.server
        );
        let Answer { shape, .. } = self.link.request(message, FIRST_CHUNK_PATIENCE)?;
        let [horizon, action_dim] = shape;
        if action_dim != self.options.action_dim {
            return Err(RemoteError::Unfit {
                server: self.options.server.clone(),
                reason: format!(
                    "its actions have {action_dim} values, expected {} (those of action_joints, or of joint_names)",
                    self.options.action_dim
                ),
            });
        }
        self.info.action_horizon = horizon;
        self.info.description = format!(
            "{}: {horizon} actions of {action_dim} values, on a server that tells nothing else",
            self.options.server
        );
        Ok(())
    }

    fn predict_next(
        &mut self,
        observation: &Observation,
        prefix: Option<&ActionPrefix>,
    ) -> Result<ActionChunk, PolicyError> {
        let message = self.message(observation, prefix)?;
        let Answer { actions, shape, .. } = self.link.request(message, self.options.deadline)?;
        let expected = [self.info.action_horizon, self.info.action_dim];
        if shape != expected {
            return Err(PolicyError::Remote(RemoteError::Unfit {
                server: self.options.server.clone(),
                reason: format!("its actions have the shape {shape:?}, expected {expected:?} as before"),
            }));
        }
        PolicyError::expect_finite(&actions, self.info.action_dim)?;
        Ok(ActionChunk::new(actions, self.info.action_dim))
    }

    fn message(
        &self,
        observation: &Observation,
        prefix: Option<&ActionPrefix>,
    ) -> Result<Vec<u8>, PolicyError> {
        if observation.state.len() != self.info.state_dim {
            return Err(PolicyError::StateLength {
                found: observation.state.len(),
                expected: self.info.state_dim,
            });
        }
        let mut small = Vec::with_capacity(self.options.cameras.len());
        for CameraOptions {
            name,
            crop,
            is_optional,
        } in &self.options.cameras
        {
            let Some(frame) = observation.images.get(name) else {
                if *is_optional {
                    continue;
                }
                return Err(PolicyError::camera_missing(name, observation));
            };
            let image = shrink_image(frame, *crop, self.image_size, self.info.resize);
            let image = image.map_err(|error| PolicyError::Image {
                camera: name.clone(),
                error,
            })?;
            small.push((name.as_str(), image));
        }
        let mut pictures = Vec::with_capacity(small.len());
        for (name, image) in &small {
            // A frame that was made smaller has pixels.
            let picture = picture_to(image, self.options.images).expect("a picture with pixels");
            pictures.push((*name, picture));
        }
        let mut message = self
            .keys
            .observation(pictures, &observation.state, &observation.prompt);
        if let (Value::Map(entries), Some(prefix)) = (&mut message, prefix) {
            entries.push((ACTION_PREFIX.into(), prefix.to_value()));
        }
        Ok(encode(&message))
    }
}

/// Compares what a server says of its policy with the robot.
fn check(metadata: &Metadata, options: &RemoteOptions, keys: &ObservationKeys) -> Result<(), String> {
    let mut problems = Vec::new();
    let sizes = [
        (
            "state_dim",
            metadata.state_dim,
            options.state_dim,
            "joint_names and extra_state",
        ),
        (
            "action_dim",
            metadata.action_dim,
            options.action_dim,
            "action_joints, or joint_names",
        ),
    ];
    for (name, found, expected, parameters) in sizes {
        if found != expected {
            problems.push(format!(
                "its {name} is {found}, expected {expected} as {parameters} have it"
            ));
        }
    }
    for camera in &keys.cameras {
        if !metadata.cameras.iter().any(|(_, key)| *key == camera.key) {
            let known = metadata
                .cameras
                .iter()
                .map(|(_, key)| key.as_str())
                .collect::<Vec<_>>()
                .join(", ");
            problems.push(format!(
                "it has no camera at {}, expected one of {known}; the name of the camera {} or server_keys is to be another",
                camera.key, camera.camera
            ));
        }
    }
    if keys.state != metadata.state_keys {
        problems.push(format!(
            "its state is at {}, and server_keys puts it at {}",
            metadata.state_keys.join(", "),
            keys.state.join(", ")
        ));
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems.join("; ")),
    }
}

impl Policy for RemotePolicy {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }

    fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
        self.predict_next(observation, None)
    }

    fn predict_after(
        &mut self,
        observation: &Observation,
        prefix: &ActionPrefix,
    ) -> Result<ActionChunk, PolicyError> {
        if !self.info.takes_prefixes {
            return Err(PolicyError::CannotContinue(self.info.description.clone()));
        }
        prefix.check(&self.info)?;
        self.predict_next(observation, Some(prefix))
    }

    fn report_server(&mut self, report: ServerReport) {
        self.link.report_to(report);
    }

    fn report(&self) -> PolicyReport {
        PolicyReport {
            device: self.info.description.clone(),
            ..PolicyReport::default()
        }
    }
}
