//! Serves a policy to other machines: `pi0_server --checkpoint checkpoints/aloha_sim --port 8000`.

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use pi0_node::device::Precision;
use pi0_node::parameters::{ParameterValue, Parameters, Settings, parameters_of};
use pi0_node::policy::{
    CameraOptions, DeviceChoice, DeviceOptions, Policy, PolicyOptions, RobotPolicy, open_with,
};
use pi0_node::protocol::{KeyPreset, ObservationKeys};
use pi0_node::server::{ApiKey, Server, ServerOptions};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Allocator of the node.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves a policy by openpi's WebSocket protocol: to openpi's clients, and to nodes with device remote.
///
/// The address is printed once clients can connect. GET /healthz answers whether the server runs.
#[derive(Parser)]
#[command(version = pi0_node::VERSION)]
struct Arguments {
    /// Folder of the checkpoint, or its name on the Hugging Face Hub.
    #[arg(long)]
    checkpoint: PathBuf,
    /// Device that runs the model.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
    /// Type of the weights on the CPU.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
    /// Threads of the CPU device; 0 is one for each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Seed of the noise. Every client gets the chunks that a policy of this seed makes for it alone.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Euler steps from noise to actions; without it, the checkpoint's number.
    #[arg(long)]
    denoise_steps: Option<NonZeroUsize>,
    /// A robot's parameter file, for clients that send its whole frames and its own units: crops, joint mapping, absent and
    /// optional cameras, and choices about the checkpoint. Without it, clients send what the checkpoint was trained with.
    #[arg(long)]
    params_file: Option<PathBuf>,
    /// Camera of the checkpoint that no client has; may be repeated.
    #[arg(long, value_name = "CAMERA", conflicts_with = "params_file")]
    absent_camera: Vec<String>,
    /// Prompt of observations that have none.
    #[arg(long)]
    prompt: Option<String>,
    /// Names of an observation's values, as openpi's clients of this robot have them.
    #[arg(long, value_enum, default_value_t = KeyPreset::Aloha)]
    keys: KeyPreset,
    /// Key of a camera, in place of the one of --keys; may be repeated.
    #[arg(long, value_name = "CAMERA=KEY")]
    camera: Vec<String>,
    /// Key of the state, or of the next part of it, in place of those of --keys; may be repeated.
    #[arg(long, value_name = "KEY")]
    state: Vec<String>,
    /// Key of the prompt, in place of prompt.
    #[arg(long, value_name = "KEY", default_value = "prompt")]
    prompt_key: String,
    /// Address to listen on; other machines reach 0.0.0.0, and need a key.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port to listen on; 0 is any that is free.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// File with the key that clients have to send, of at least 16 characters.
    #[arg(long)]
    api_key_file: Option<PathBuf>,
    /// Serve other machines without a key.
    #[arg(long, conflicts_with = "api_key_file")]
    no_api_key: bool,
    /// File with the certificate (PEM), for TLS.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// File with the private key (PEM), for TLS.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// Most clients at once.
    #[arg(long, default_value_t = 16)]
    max_clients: usize,
    /// Most observations that wait for the policy; the next one is refused.
    #[arg(long, default_value_t = 16)]
    queue: usize,
    /// Seconds after which a client that is silent, or that sends or takes a message too slowly, is dropped.
    #[arg(long, default_value_t = 30.0)]
    client_timeout: f64,
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that finds no room is lost; to say so there would be a panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match serve(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = arguments.settings()?;
    // What is wrong with the options is said before the checkpoint is read.
    let mut options = ServerOptions {
        address: SocketAddr::new(arguments.host, arguments.port),
        default_prompt: arguments.prompt.clone(),
        api_key: arguments.api_key_file.as_deref().map(ApiKey::read).transpose()?,
        is_open_to_all: arguments.no_api_key,
        tls_files: arguments.cert.clone().zip(arguments.key.clone()),
        max_clients: arguments.max_clients,
        queue: arguments.queue,
        client_patience: Duration::try_from_secs_f64(arguments.client_timeout).context("--client-timeout")?,
        ..ServerOptions::new(ObservationKeys::new(arguments.keys, []))
    };
    ensure!(
        options.client_patience >= Duration::from_millis(100),
        "--client-timeout is {} s, expected at least 0.1",
        arguments.client_timeout
    );
    ensure!(
        arguments.max_clients > 0,
        "--max-clients is 0, expected at least 1"
    );
    let mut policy = arguments.policy(settings.as_ref())?;
    options.keys = arguments.observation_keys(&*policy, settings.as_ref())?;
    for camera in &options.keys.cameras {
        tracing::info!("camera {} is at {}", camera.camera, camera.key);
    }
    policy.warm_up(arguments.prompt.as_deref().unwrap_or("be still"))?;
    let scheme = if options.tls_files.is_some() { "wss" } else { "ws" };
    // Inference has its own threads.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("clients")
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = Server::bind(options).await?;
        tracing::info!("serving {}", policy.info().description);
        println!("{scheme}://{}", server.address()?);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        Ok(server.run(policy, stop).await?)
    })
}

impl Arguments {
    /// The settings of the robot's parameter file, of which only those of the policy count.
    fn settings(&self) -> anyhow::Result<Option<Settings>> {
        let Some(file) = &self.params_file else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let parameters = parameters_of(&text, "/pi0_node")?;
        let checkpoint = self
            .checkpoint
            .to_str()
            .context("the checkpoint's name is no UTF-8")?;
        let checkpoint = (
            "checkpoint".to_owned(),
            ParameterValue::String(checkpoint.to_owned()),
        );
        let parameters = Parameters::from_overrides(parameters.into_iter().chain([checkpoint]));
        let parameters = parameters.map_err(|problems| {
            let lines: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
            anyhow::anyhow!("{}: the parameters do not fit:{lines}", file.display())
        })?;
        Ok(Some(parameters.settings().clone()))
    }

    fn policy(&self, settings: Option<&Settings>) -> anyhow::Result<Box<dyn Policy + Send>> {
        let device = DeviceOptions {
            device: self.device,
            precision: self.precision,
            threads: self.threads,
            ..settings.map_or_else(DeviceOptions::default, |settings| settings.device)
        };
        let options = match settings {
            Some(settings) => settings.policy.clone(),
            None => PolicyOptions {
                absent_cameras: self.absent_camera.clone(),
                ..PolicyOptions::default()
            },
        };
        let options = PolicyOptions {
            seed: self.seed,
            ..options
        };
        let mut policy = open_with(&self.checkpoint, device, options)?;
        policy.set_denoise_steps(self.denoise_steps)?;
        let Some(settings) = settings else {
            return Ok(policy);
        };
        settings.check_policy(policy.info()).map_err(|problems| {
            let lines: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
            anyhow::anyhow!("the parameters do not fit the policy:{lines}")
        })?;
        Ok(Box::new(RobotPolicy::new(policy, settings.joint_mapping.clone())))
    }

    /// Keys by the preset, with those that were given in their place.
    fn observation_keys(
        &self,
        policy: &dyn Policy,
        settings: Option<&Settings>,
    ) -> anyhow::Result<ObservationKeys> {
        let configured = settings
            .and_then(|settings| settings.policy.cameras.as_deref())
            .unwrap_or_default();
        let is_optional = |name: &str| {
            configured.iter().any(
                |CameraOptions {
                     name: other,
                     is_optional,
                     ..
                 }| other == name && *is_optional,
            )
        };
        let cameras = &policy.info().cameras;
        let mut keys = ObservationKeys::new(
            self.keys,
            cameras.iter().map(|name| (name.as_str(), is_optional(name))),
        );
        for given in &self.camera {
            let (name, key) = given
                .split_once('=')
                .with_context(|| format!("--camera is {given}, expected CAMERA=KEY"))?;
            let camera = keys.cameras.iter_mut().find(|camera| camera.camera == name);
            let camera = camera
                .with_context(|| format!("--camera names {name}, expected one of {}", cameras.join(", ")))?;
            key.clone_into(&mut camera.key);
        }
        if !self.state.is_empty() {
            keys.state.clone_from(&self.state);
        }
        keys.prompt.clone_from(&self.prompt_key);
        Ok(keys)
    }
}
