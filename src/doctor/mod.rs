//! Whether a robot and a policy fit each other, before anything moves: what was seen of a running graph or a bag, beside what
//! the checkpoint needs.
//!
//! [`Sightings`] are filled by a listener of the graph or a reader of bags. [`Needs`] are read from the checkpoint. A [`Setup`]
//! connects the two: the one of a parameter file, or one that [`guess`] works out. [`judge`] says what fits, and
//! [`parameter_file`] writes a setup that was worked out.

mod arrivals;
mod camera_names;
mod check;
mod guess;
mod judge;
mod needs;
mod parameter_file;
mod positions;
mod report;
mod request;
mod setup;
mod sightings;
mod units;

pub use arrivals::{Arrivals, Span};
pub use check::{CheckError, check};
pub use guess::guess;
pub use judge::judge;
pub use needs::{NeededCamera, Needs};
pub use parameter_file::parameter_file;
pub use report::{Finding, Level, Report};
pub use request::{Request, RequestError};
pub use setup::{CameraSetup, CameraSource, Choice, OutputSetup, Setup};
pub use sightings::{
    CameraSeen, ControllerSeen, JointSeen, JointStatesSeen, Publisher, Sightings, Source, has_commands,
    has_description,
};
