//! How fast a device multiplies matrices of the published model's shapes.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::device::{Activation, Device, HostTensor, Result};
use crate::model::denoise::sample_noise;

/// Rows of the activations: a token, an action chunk with the state, a power of two, a prompt of 20 tokens with one, two and
/// three cameras, and a power of two.
const ROWS: [usize; 7] = [1, 51, 64, 276, 532, 788, 1024];

/// The layers with nearly all of the arithmetic: name, inputs, outputs.
const LAYERS: [(&str, usize, usize); 8] = [
    ("SigLIP, q k v", 1152, 3456),
    ("SigLIP, fc1", 1152, 4304),
    ("SigLIP, fc2", 4304, 1152),
    ("Gemma 2B, q k v", 2048, 2560),
    ("Gemma 2B, gate and up", 2048, 32768),
    ("Gemma 2B, down", 16384, 2048),
    ("Gemma 300M, gate and up", 1024, 8192),
    ("Gemma 300M, down", 4096, 1024),
];

/// The best of as many runs as fit in counts: on a machine with other work the fastest run is the least disturbed.
const TIME_PER_PRODUCT: Duration = Duration::from_millis(300);

/// Speeds of products, in GFLOP/s.
#[derive(Clone, Debug)]
pub struct Products {
    pub device: String,
    /// One row a layer, one column for each of [`ROWS`].
    gflops: Vec<[f64; ROWS.len()]>,
}

/// Measures every layer with every number of rows.
///
/// # Errors
/// When the device fails.
pub fn measure_products<D: Device>(device: &D) -> Result<Products> {
    let of_layer = |&(_, inputs, outputs): &(&str, usize, usize)| {
        let weight = HostTensor::from_f32(&sample_noise(0, 0, inputs * outputs), &[outputs, inputs]);
        let layer = device.upload_linear(&[weight], &[])?;
        let mut gflops = [0.0; ROWS.len()];
        for (gflops, rows) in gflops.iter_mut().zip(ROWS) {
            let x = device.upload(&sample_noise(0, 1, rows * inputs), &[rows, inputs])?;
            let operations = (2 * rows * inputs * outputs) as f64;
            *gflops = operations / best_seconds(device, &x, &layer)? / 1e9;
        }
        Ok(gflops)
    };
    Ok(Products {
        device: device.description(),
        gflops: LAYERS.iter().map(of_layer).collect::<Result<_>>()?,
    })
}

/// How long one product takes when nothing disturbs it.
///
/// # Errors
/// When the device fails.
pub(super) fn best_seconds<D: Device>(device: &D, x: &D::Tensor, layer: &D::Linear) -> Result<f64> {
    let started = Instant::now();
    let mut best = f64::INFINITY;
    // The first run finds no buffers and no caches.
    let mut runs = 0;
    while runs < 2 || started.elapsed() < TIME_PER_PRODUCT {
        let run = Instant::now();
        // Reading back waits for a device that works on its own.
        device.read_back(&device.linear(x, layer, Activation::None)?)?;
        best = best.min(run.elapsed().as_secs_f64());
        runs += 1;
    }
    Ok(best)
}

impl Products {
    pub fn to_json(&self) -> Value {
        let layers: serde_json::Map<String, Value> = LAYERS
            .iter()
            .zip(&self.gflops)
            .map(|((name, inputs, outputs), gflops)| {
                let layer = json!({ "inputs": inputs, "outputs": outputs, "gflops": gflops });
                ((*name).to_owned(), layer)
            })
            .collect();
        json!({ "device": self.device, "rows": ROWS, "layers": layers })
    }
}

impl fmt::Display for Products {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{}: GFLOP/s of x [rows, inputs] · weightᵀ\n", self.device)?;
        write!(f, "{:<24}{:>18}", "layer", "inputs → outputs")?;
        for rows in ROWS {
            write!(f, "{rows:>7}")?;
        }
        writeln!(f, " rows")?;
        for ((name, inputs, outputs), gflops) in LAYERS.iter().zip(&self.gflops) {
            write!(f, "{name:<24}{:>18}", format!("{inputs} → {outputs}"))?;
            for gflops in gflops {
                write!(f, "{gflops:>7.1}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
