//! A policy through its server: what a request costs, and how many there are in a second.

use std::fs;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::policy::{
    ActionChunk, CameraOptions, Observation, OpenError, Policy, PolicyError, PolicyInfo, RemoteOptions,
    open_remote,
};
use crate::process_memory::resident_bytes;
use crate::protocol::{KeyPreset, ObservationKeys, PictureFormat};
use crate::server::{Server, ServerError, ServerOptions};
use crate::statistics::Summary;

/// Sides of a camera's frame, in pixels.
const FRAME: (u32, u32) = (640, 480);
/// Cameras of a request whose cost is measured.
const CAMERAS: [&str; 3] = ["base", "left_wrist", "right_wrist"];
/// Longest wait for an answer: with many clients on few cores there is a queue.
const DEADLINE: Duration = Duration::from_secs(60);
/// Requests before those that are measured.
const WARM_UP: usize = 20;

/// Reason why a server could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum ServerLoadError {
    /// Failure of the server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Failure of a client to connect.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Failure of the operating system.
    #[error("the operating system: {0}")]
    System(#[from] io::Error),
}

/// What a request costs beside the policy's own work, which is none here: three frames of 640 × 480 pixels go, a chunk comes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RequestCost {
    /// Milliseconds of a request through the server.
    pub through_server_ms: Summary,
    /// Milliseconds of the same request in the process.
    pub in_process_ms: Summary,
    /// Milliseconds of all cores for a request, of client and server together.
    pub cpu_ms: f64,
}

/// Requests of several clients at once.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Load {
    /// Clients that ask one observation after the other.
    pub clients: usize,
    /// Answers in a second, over all clients.
    pub requests_per_s: f64,
    /// Milliseconds from an observation to its chunk.
    pub latency_ms: Summary,
    /// Observations that were not answered.
    pub lost: usize,
    /// Memory that the process holds more at the end than after a tenth of the time, in bytes.
    pub grown_bytes: Option<i64>,
}

/// A policy that does nothing.
struct Idle(PolicyInfo);

impl Policy for Idle {
    fn info(&self) -> &PolicyInfo {
        &self.0
    }

    fn predict(&mut self, _: &Observation) -> Result<ActionChunk, PolicyError> {
        let PolicyInfo {
            action_horizon,
            action_dim,
            ..
        } = self.0;
        Ok(ActionChunk::new(
            vec![0.0; action_horizon * action_dim],
            action_dim,
        ))
    }
}

/// A server on a port of its own, as long as this value lives.
struct Running {
    runtime: Runtime,
    server: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    fn start(policy: Box<dyn Policy + Send>) -> Result<Self, ServerLoadError> {
        let cameras = policy.info().cameras.clone();
        let keys = ObservationKeys::new(
            KeyPreset::Aloha,
            cameras.iter().map(|camera| (camera.as_str(), false)),
        );
        let mut options = ServerOptions::new(keys);
        options.address.set_port(0);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let server = runtime.block_on(Server::bind(options))?;
        let address = server.address()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let served = runtime.spawn(server.run(policy, async {
            let _ = stopped.await;
        }));
        Ok(Self {
            server: format!("ws://{address}"),
            runtime,
            stop,
            served,
        })
    }

    fn client(&self, info: &PolicyInfo) -> Result<Box<dyn Policy + Send>, ServerLoadError> {
        Ok(open_remote(RemoteOptions {
            server: self.server.clone(),
            keys: KeyPreset::Aloha,
            images: PictureFormat::Raw,
            image_size: None,
            deadline: DEADLINE,
            max_silence: DEADLINE,
            api_key_file: None,
            ca_file: None,
            cameras: info.cameras.iter().map(CameraOptions::new).collect(),
            state_dim: info.state_dim,
            action_dim: info.action_dim,
        })?)
    }

    fn stop(self) -> Result<(), ServerLoadError> {
        drop(self.stop);
        let ended = self.runtime.block_on(self.served);
        Ok(ended.map_err(io::Error::other)??)
    }
}

/// Observations that never repeat a frame.
fn observation(info: &PolicyInfo, (width, height): (u32, u32), number: usize) -> Observation {
    let shade = number as u8;
    let frame = Arc::new(RgbImage::from_pixel(width, height, Rgb([shade, shade ^ 0x55, 7])));
    Observation {
        images: info
            .cameras
            .iter()
            .map(|camera| (camera.clone(), Arc::clone(&frame)))
            .collect(),
        state: vec![0.1; info.state_dim],
        prompt: "pick up the cube with the right arm".to_owned(),
    }
}

/// Measures what a request costs, with whole frames in bytes on the loopback device.
///
/// # Errors
/// When the server does not run, or a request fails.
pub fn measure_request_cost(requests: usize) -> Result<RequestCost, ServerLoadError> {
    let info = PolicyInfo {
        cameras: CAMERAS.map(str::to_owned).into(),
        state_dim: 14,
        action_dim: 14,
        action_horizon: 50,
        // So that frames travel whole.
        image_size: FRAME.0 as usize,
        description: "a policy that does nothing".to_owned(),
        ..PolicyInfo::default()
    };
    let observation = observation(&info, FRAME, 3);
    let time = |policy: &mut dyn Policy| -> Result<Vec<f64>, ServerLoadError> {
        let mut durations_ms = Vec::with_capacity(requests);
        for number in 0..WARM_UP + requests {
            let started = Instant::now();
            policy.predict(&observation).map_err(io::Error::other)?;
            if number >= WARM_UP {
                durations_ms.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
        Ok(durations_ms)
    };
    let in_process_ms = Summary::of(&time(&mut Idle(info.clone()))?);
    let running = Running::start(Box::new(Idle(info.clone())))?;
    let mut client = running.client(&info)?;
    let before = cpu_time()?;
    let through_server_ms = Summary::of(&time(&mut *client)?);
    let cpu_ms = (cpu_time()? - before).as_secs_f64() * 1e3 / (WARM_UP + requests) as f64;
    drop(client);
    running.stop()?;
    Ok(RequestCost {
        through_server_ms,
        in_process_ms,
        cpu_ms,
    })
}

/// Measures several clients of a policy, each of which asks one observation after the other for `duration`.
///
/// # Errors
/// When the server does not run, or a client cannot connect.
pub fn measure_load(
    policy: Box<dyn Policy + Send>,
    clients: usize,
    duration: Duration,
) -> Result<Load, ServerLoadError> {
    let info = policy.info().clone();
    let side = info.image_size as u32;
    let running = Running::start(policy)?;
    let mut policies = (0..clients)
        .map(|_| running.client(&info))
        .collect::<Result<Vec<_>, _>>()?;
    let started = Instant::now();
    let (durations, lost, after_a_tenth) = thread::scope(|scope| {
        let asking = policies.iter_mut().enumerate().map(|(client, policy)| {
            let info = &info;
            scope.spawn(move || {
                let (mut durations_ms, mut lost) = (Vec::new(), 0);
                let mut number = client;
                while started.elapsed() < duration {
                    let observation = observation(info, (side, side), number);
                    let asked = Instant::now();
                    match policy.predict(&observation) {
                        Ok(_) => durations_ms.push(asked.elapsed().as_secs_f64() * 1e3),
                        Err(error) => {
                            tracing::warn!("client {client}: {error}");
                            lost += 1;
                        }
                    }
                    number += 1;
                }
                (durations_ms, lost)
            })
        });
        let asking: Vec<_> = asking.collect();
        thread::sleep(duration / 10);
        let after_a_tenth = resident_bytes();
        let (mut durations, mut lost) = (Vec::new(), 0);
        for client in asking {
            let (of_client, lost_by_client) = client.join().expect("a client does not panic");
            durations.extend(of_client);
            lost += lost_by_client;
        }
        (durations, lost, after_a_tenth)
    });
    let elapsed_s = started.elapsed().as_secs_f64();
    let at_the_end = resident_bytes();
    drop(policies);
    running.stop()?;
    Ok(Load {
        clients,
        requests_per_s: durations.len() as f64 / elapsed_s,
        latency_ms: Summary::of(&durations),
        lost,
        grown_bytes: at_the_end
            .zip(after_a_tenth)
            .map(|(end, before)| end as i64 - before as i64),
    })
}

/// Time that this process had of all cores.
fn cpu_time() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in brackets, may have spaces. The fields behind are counted from the state.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<_, _>>().map_err(io::Error::other)?;
    // Linux shows hundredths of a second on every architecture.
    Ok(Duration::from_millis(10 * ticks))
}
