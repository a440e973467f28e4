//! A server that runs as long as a test does, and the options of its clients.

use std::net::SocketAddr;
use std::time::Duration;

use pi0_node::policy::{
    ActionChunk, CameraOptions, Observation, Policy, PolicyError, PolicyInfo, RemoteOptions, Resize,
    open_remote,
};
use pi0_node::protocol::{KeyPreset, ObservationKeys, PictureFormat};
use pi0_node::server::{Server, ServerError, ServerOptions};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::common::stand_in::StandIn;

pub const HORIZON: usize = 4;
/// Longest wait of a test for what is to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a port of its own.
pub struct Running {
    pub address: SocketAddr,
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Result<(), ServerError>>>,
}

/// Options of a server of the stand-in on a port that is free.
pub fn options() -> ServerOptions {
    ServerOptions {
        address: "127.0.0.1:0".parse().unwrap(),
        ..ServerOptions::new(ObservationKeys::new(KeyPreset::Aloha, [("top", false)]))
    }
}

impl Running {
    pub fn start(policy: Box<dyn Policy + Send>, options: ServerOptions) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        // A server that is started anew has the port of the one before.
        let server = runtime.block_on(Server::bind(options)).unwrap();
        let address = server.address().unwrap();
        let served = runtime.spawn(server.run(policy, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            runtime,
            stop: Some(stop),
            served: Some(served),
        }
    }

    /// Ends it, and returns what it ended with.
    pub fn stop(mut self) -> Result<(), ServerError> {
        drop(self.stop.take());
        self.runtime.block_on(self.served.take().unwrap()).unwrap()
    }

    /// What it ends with by itself.
    pub fn ended(mut self) -> Result<(), ServerError> {
        self.runtime.block_on(self.served.take().unwrap()).unwrap()
    }
}

pub fn info() -> PolicyInfo {
    PolicyInfo {
        cameras: vec!["top".to_owned()],
        state_dim: 2,
        action_dim: 2,
        action_horizon: HORIZON,
        image_size: 8,
        resize: Resize::Antialiased,
        description: "a stand-in".to_owned(),
        ..PolicyInfo::default()
    }
}

/// A policy whose actions are the state, plus the brightness of the frame's first pixel. Fails at the prompt "fail", panics at
/// "panic", and takes as many milliseconds as a prompt that is a number.
pub fn stand_in() -> Box<dyn Policy + Send> {
    let predict = |observation: &Observation| {
        match observation.prompt.as_str() {
            "panic" => panic!("on purpose"),
            "fail" => {
                return Err(PolicyError::StateLength {
                    found: 0,
                    expected: 2,
                });
            }
            prompt => {
                if let Ok(milliseconds) = prompt.parse() {
                    std::thread::sleep(Duration::from_millis(milliseconds));
                }
            }
        }
        let brightness = f32::from(observation.images["top"].get_pixel(0, 0).0[0]);
        let values = (0..HORIZON).flat_map(|_| observation.state.iter().map(move |value| value + brightness));
        Ok(ActionChunk::new(values.collect(), 2))
    };
    Box::new(StandIn {
        info: info(),
        predict,
    })
}

/// Options of a client with the robot that the stand-in is for.
pub fn remote(server: impl std::fmt::Display) -> RemoteOptions {
    RemoteOptions {
        server: format!("ws://{server}"),
        keys: KeyPreset::Aloha,
        images: PictureFormat::Raw,
        image_size: None,
        deadline: PATIENCE,
        max_silence: Duration::from_millis(500),
        api_key_file: None,
        ca_file: None,
        cameras: vec![CameraOptions::new("top")],
        state_dim: 2,
        action_dim: 2,
    }
}

pub fn client(running: &Running) -> Box<dyn Policy + Send> {
    open_remote(remote(running.address)).unwrap()
}

/// An observation with a frame of this brightness.
pub fn observation(brightness: u8, prompt: &str) -> Observation {
    let frame = pi0_node::image::RgbImage::from_pixel(16, 12, pi0_node::image::Rgb([brightness; 3]));
    Observation {
        images: [("top".to_owned(), std::sync::Arc::new(frame))].into(),
        state: vec![0.5, -1.5],
        prompt: prompt.to_owned(),
    }
}
