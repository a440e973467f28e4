//! An action server: the three services and two topics that make an action of ROS 2.
//!
//! r2r has one (0.9.7), but it never expires a finished goal: ten seconds after the first one its wait returns at once from then on,
//! and a core is busy for nothing. Nor does it publish that a goal is canceled.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use parking_lot::Mutex;
use r2r::action_msgs::msg::{GoalInfo, GoalStatus as GoalStatusMessage, GoalStatusArray};
use r2r::action_msgs::srv::CancelGoal;
use r2r::unique_identifier_msgs::msg::UUID;
use r2r::{
    Clock, Node, Publisher, QosProfile, ServiceRequest, WrappedActionTypeSupport, WrappedServiceTypeSupport,
};
use tokio::runtime::Handle;

use super::goals::{GoalId, GoalStatus, Goals, ResultRequest};
use super::messages::time;
use super::node_error::NodeError;
use super::service::serve;

type GoalRequest<T> = <<T as WrappedActionTypeSupport>::SendGoal as WrappedServiceTypeSupport>::Request;
type ResultRequestMessage<T> =
    <<T as WrappedActionTypeSupport>::GetResult as WrappedServiceTypeSupport>::Request;
type Waiting<T> = ServiceRequest<<T as WrappedActionTypeSupport>::GetResult>;

/// What a node does with the goals of an action.
pub trait GoalHandler<T: WrappedActionTypeSupport>: Send + Sync {
    /// The node's time.
    fn now(&self) -> Duration;

    /// Whether a goal is accepted and executed from now on.
    fn accept(&self, id: GoalId, goal: T::Goal) -> bool;

    /// Ends these goals; each still has to be [finished](ActionServer::finish).
    fn cancel(&self, ids: &[GoalId]);
}

/// The server of the action `T`.
pub struct ActionServer<T: WrappedActionTypeSupport> {
    goals: Mutex<Goals<T::Result, Waiting<T>>>,
    feedback: Mutex<Publisher<T::FeedbackMessage>>,
    status: Mutex<Publisher<GoalStatusArray>>,
}

impl<T: WrappedActionTypeSupport + 'static> ActionServer<T>
where
    T::Result: Send + Sync,
    T::FeedbackMessage: Send,
    GoalRequest<T>: Send,
    ResultRequestMessage<T>: Send,
{
    /// The publishers of the action of this full name.
    ///
    /// # Errors
    /// When ROS 2 refuses one.
    pub fn new(node: &mut Node, action: &str) -> Result<Arc<Self>, NodeError> {
        let (feedback, status) = (topic(action, "feedback"), topic(action, "status"));
        let newest = QosProfile::default().keep_last(1).transient_local();
        let ros = |name: &str| {
            let name = name.to_owned();
            move |source| NodeError::ros(&name, source)
        };
        Ok(Arc::new(Self {
            goals: Mutex::new(Goals::new()),
            feedback: Mutex::new(
                node.create_publisher(&feedback, QosProfile::default())
                    .map_err(ros(&feedback))?,
            ),
            status: Mutex::new(node.create_publisher(&status, newest).map_err(ros(&status))?),
        }))
    }

    /// Serves goals from now on.
    ///
    /// # Errors
    /// When ROS 2 refuses a service.
    pub fn serve(
        self: &Arc<Self>,
        node: &mut Node,
        runtime: &Handle,
        action: &str,
        handler: Arc<dyn GoalHandler<T>>,
    ) -> Result<(), NodeError> {
        let (server, cancels) = (Arc::clone(self), Arc::clone(&handler));
        serve::<T::SendGoal>(node, runtime, &topic(action, "send_goal"), move |request| {
            let (id, goal) = T::destructure_goal_request_msg(request.clone());
            let accepted_at = server.accept(&id, goal, &*handler);
            let stamp = Clock::to_builtin_time(&accepted_at.unwrap_or_default());
            T::make_goal_response_msg(accepted_at.is_some(), stamp)
        })?;
        let server = Arc::clone(self);
        serve::<CancelGoal::Service>(node, runtime, &topic(action, "cancel_goal"), move |request| {
            server.cancel(&request.goal_info, &*cancels)
        })?;
        let (server, name) = (Arc::clone(self), topic(action, "get_result"));
        let requests = node.create_service::<T::GetResult>(&name, QosProfile::services_default());
        let mut requests = requests.map_err(|source| NodeError::ros(&name, source))?;
        runtime.spawn(async move {
            while let Some(request) = requests.next().await {
                server.answer_with_result(request);
            }
        });
        Ok(())
    }

    /// Publishes feedback of a goal.
    pub fn publish_feedback(&self, id: &GoalId, feedback: T::Feedback) {
        let message = T::make_feedback_msg(uuid(id), feedback);
        if let Err(error) = self.feedback.lock().publish(&message) {
            tracing::warn!("feedback could not be published: {error}");
        }
    }

    /// Whether somebody is subscribed to the feedback, as every client of the action is. True where that is not known.
    pub fn has_client(&self) -> bool {
        let subscribed = self.feedback.lock().get_inter_process_subscription_count();
        subscribed.map_or(true, |count| count > 0)
    }

    /// Finishes a goal, and answers who waits for its result.
    pub fn finish(&self, id: &GoalId, status: GoalStatus, result: T::Result) {
        let waiting = self.goals.lock().finish(id, status, result.clone());
        for request in waiting {
            respond::<T>(request, status as i8, result.clone());
        }
        self.publish_status();
    }

    fn accept(&self, id: &UUID, goal: T::Goal, handler: &dyn GoalHandler<T>) -> Option<Duration> {
        let id = goal_id(id);
        if self.goals.lock().has(&id) {
            tracing::warn!("a goal is rejected: another one has its identifier");
            return None;
        }
        let accepted_at = handler.now();
        // Known before it begins, for it may end at once.
        self.goals.lock().accept(id, accepted_at);
        if !handler.accept(id, goal) {
            self.goals.lock().forget(&id);
            return None;
        }
        self.publish_status();
        Some(accepted_at)
    }

    fn cancel(&self, request: &GoalInfo, handler: &dyn GoalHandler<T>) -> CancelGoal::Response {
        let (code, cancelled) = self
            .goals
            .lock()
            .cancel(&goal_id(&request.goal_id), time(&request.stamp));
        let ids: Vec<GoalId> = cancelled.iter().map(|(id, _)| *id).collect();
        handler.cancel(&ids);
        self.publish_status();
        CancelGoal::Response {
            return_code: code as i8,
            goals_canceling: cancelled.iter().map(|(id, at)| goal_info(id, *at)).collect(),
        }
    }

    fn answer_with_result(&self, request: Waiting<T>) {
        let id = goal_id(&T::destructure_result_request_msg(request.message.clone()));
        let answer = self.goals.lock().result(&id, request);
        match answer {
            ResultRequest::Finished(request, status, result) => respond::<T>(request, status as i8, result),
            ResultRequest::Unknown(request) => {
                let unknown = GoalStatusMessage::STATUS_UNKNOWN as i8;
                respond::<T>(request, unknown, T::Result::default());
            }
            ResultRequest::Waits => {}
        }
    }

    fn publish_status(&self) {
        let statuses = self.goals.lock().statuses().map(status_message).collect();
        let message = GoalStatusArray {
            status_list: statuses,
        };
        if let Err(error) = self.status.lock().publish(&message) {
            tracing::warn!("the states of the goals could not be published: {error}");
        }
    }
}

/// A service or topic of an action.
fn topic(action: &str, part: &str) -> String {
    format!("{action}/_action/{part}")
}

fn respond<T: WrappedActionTypeSupport + 'static>(request: Waiting<T>, status: i8, result: T::Result) {
    if let Err(error) = request.respond(T::make_result_response_msg(status, result)) {
        tracing::warn!("the result of a goal could not be sent: {error}");
    }
}

fn goal_id(id: &UUID) -> GoalId {
    // ROS 2 has 16 bytes in every message of this type.
    id.uuid.as_slice().try_into().unwrap_or_default()
}

fn uuid(id: &GoalId) -> UUID {
    UUID { uuid: id.to_vec() }
}

fn goal_info(id: &GoalId, accepted_at: Duration) -> GoalInfo {
    GoalInfo {
        goal_id: uuid(id),
        stamp: Clock::to_builtin_time(&accepted_at),
    }
}

fn status_message((id, accepted_at, status): (GoalId, Duration, GoalStatus)) -> GoalStatusMessage {
    GoalStatusMessage {
        goal_info: goal_info(&id, accepted_at),
        status: status as i8,
    }
}
