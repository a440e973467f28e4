//! The policy as a ROS 2 node: everything that touches r2r.
//!
//! Subscriptions feed [`observation`](crate::observation), the threads of [`runtime`](crate::runtime) work, and publishers
//! and services are their connection to the outside.

mod action_server;
mod goals;
mod graph_listener;
mod hangup;
mod lifecycle_service;
mod logging;
mod messages;
mod node;
mod node_error;
mod other_publishers;
mod output_publishers;
mod parameter_service;
mod parameter_value;
mod publisher;
mod publisher_mismatches;
mod run_policy;
mod security_policy;
mod service;
mod services;
mod subscriptions;
mod topic_names;
mod topics;

pub use graph_listener::listen;
pub use node::{Pi0Node, run, warm_card};
pub use node_error::NodeError;
pub use security_policy::security_policy;
pub use topics::list_topics;
