//! Services answered by a closure.

use futures::StreamExt;
use r2r::{Node, QosProfile, WrappedServiceTypeSupport};
use tokio::runtime::Handle;

use super::node_error::NodeError;

/// Answers every request of the service `name` with `answer`, on tokio.
///
/// # Errors
/// When ROS 2 refuses the service.
pub fn serve<T: WrappedServiceTypeSupport + 'static>(
    node: &mut Node,
    runtime: &Handle,
    name: &str,
    answer: impl FnMut(&T::Request) -> T::Response + Send + 'static,
) -> Result<(), NodeError>
where
    T::Request: Send,
{
    serve_with_qos::<T>(node, runtime, name, QosProfile::services_default(), answer)
}

/// Answers every request of the service `name` with `answer`, on tokio, with this quality of service.
///
/// # Errors
/// As [`serve`].
pub fn serve_with_qos<T: WrappedServiceTypeSupport + 'static>(
    node: &mut Node,
    runtime: &Handle,
    name: &str,
    qos: QosProfile,
    mut answer: impl FnMut(&T::Request) -> T::Response + Send + 'static,
) -> Result<(), NodeError>
where
    T::Request: Send,
{
    let mut requests = node
        .create_service::<T>(name, qos)
        .map_err(|source| NodeError::ros(name, source))?;
    let name = name.to_owned();
    runtime.spawn(async move {
        while let Some(request) = requests.next().await {
            let response = answer(&request.message);
            if let Err(error) = request.respond(response) {
                tracing::warn!("a request of {name} could not be answered: {error}");
            }
        }
    });
    Ok(())
}
