//! openpi's WebSocket protocol: msgpack messages with NumPy arrays, what is in them, and under which names.
//!
//! A server's first message is its [`Metadata`]. Every message of a client is then an observation, a map by
//! [`ObservationKeys`], and the server answers each with an [`Answer`]. An error is a text frame, after which the
//! server closes the connection. Reference: `websocket_policy_server.py` and `msgpack_numpy.py` of openpi.

mod answer;
mod array;
mod decode;
mod encode;
mod metadata;
mod observation_keys;
mod picture;
mod value;

pub use answer::{Answer, AnswerError, Timing};
pub use array::{Array, ArrayError, Dtype};
pub use decode::{DecodeError, DecodeLimits, decode};
pub use encode::encode;
pub use metadata::{Metadata, MetadataError};
pub use observation_keys::{CameraKey, KeyPreset, ObservationKeyError, ObservationKeys};
pub use picture::{PictureError, PictureFormat, picture_from, picture_to};
pub use value::Value;

/// Longest message that either side takes, in bytes: sixteen cameras of 1280 × 720 pixels.
pub const MAX_MESSAGE_BYTES: usize = 48 << 20;
