//! Speeds of matrix products of the published model's shapes.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::peak;
use crate::device::{Activation, Device, HostTensor, InstructionPeak, Result};
use crate::model::denoise::sample_noise;

/// Rows of the activations: a token, an action chunk with the state, a power of two, a camera, a prompt of 20
/// tokens with one, two and three cameras, and a power of two.
pub const PRODUCT_ROWS: [usize; 8] = [1, 51, 64, 256, 276, 532, 788, 1024];
/// Rows that kernels are compared at: the model's own, of an action chunk with the state, a camera, and two
/// and three cameras with a prompt.
pub(super) const KERNEL_ROWS: [usize; 4] = [51, 256, 532, 788];
/// Rows that kernels without vector instructions are measured at.
pub(super) const SCALAR_ROWS: [usize; 1] = [51];

/// A layer's name, inputs and outputs.
type Layer = (&'static str, usize, usize);

/// The layers with nearly all of the arithmetic.
const LAYERS: [Layer; 8] = [
    ("SigLIP, q k v", 1152, 3456),
    ("SigLIP, fc1", 1152, 4304),
    ("SigLIP, fc2", 4304, 1152),
    ("Gemma 2B, q k v", 2048, 2560),
    ("Gemma 2B, gate and up", 2048, 32768),
    ("Gemma 2B, down", 16384, 2048),
    ("Gemma 300M, gate and up", 1024, 8192),
    ("Gemma 300M, down", 4096, 1024),
];

/// Time for the runs of one product, the fastest of which counts: on a machine with other work it is the
/// least disturbed.
const TIME_PER_PRODUCT: Duration = Duration::from_millis(300);

/// Speeds of products, in GFLOP/s.
#[derive(Clone, Debug)]
pub struct Products {
    /// Description of the device.
    pub device: String,
    /// Peak of the device's instructions, in the same run; `None` where the device cannot measure it.
    pub instruction_peak: Option<InstructionPeak>,
    /// Rows of the activations.
    pub rows: Vec<usize>,
    layers: Vec<LayerSpeeds>,
}

#[derive(Clone, Debug)]
struct LayerSpeeds {
    layer: Layer,
    /// One for each number of rows.
    gflops: Vec<f64>,
}

/// Measures every layer with each number of rows.
///
/// # Errors
/// When the device fails.
pub fn measure_products<D: Device>(device: &D, rows: &[usize]) -> Result<Products> {
    measure_layers(device, &LAYERS, rows)
}

/// One layer after the other, as the weights of all of them may not fit into memory.
fn measure_layers<D: Device>(device: &D, layers: &[Layer], rows: &[usize]) -> Result<Products> {
    let mut instruction_peak = device.instruction_peak();
    let mut measured = Vec::with_capacity(layers.len());
    for &layer in layers {
        let (_, inputs, outputs) = layer;
        let weight = HostTensor::from_f32(&sample_noise(0, 0, inputs * outputs), &[outputs, inputs]);
        let linear = device.upload_linear(&[weight], &[])?;
        let speed = |&rows: &usize| {
            let x = device.upload(&sample_noise(0, 1, rows * inputs), &[rows, inputs])?;
            let operations = (2 * rows * inputs * outputs) as f64;
            Ok(operations / best_seconds(device, &x, &linear)? / 1e9)
        };
        let gflops = rows.iter().map(speed).collect::<Result<_>>()?;
        measured.push(LayerSpeeds { layer, gflops });
        instruction_peak = peak::larger(instruction_peak, device.instruction_peak());
    }
    Ok(Products {
        device: device.description(),
        instruction_peak,
        rows: rows.to_vec(),
        layers: measured,
    })
}

/// Measures the duration of one product when nothing disturbs it.
///
/// # Errors
/// When the device fails.
fn best_seconds<D: Device>(device: &D, x: &D::Tensor, layer: &D::Linear) -> Result<f64> {
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
    /// The speeds as JSON.
    pub fn to_json(&self) -> Value {
        let layers: Map<String, Value> = self
            .layers
            .iter()
            .map(|LayerSpeeds { layer, gflops }| {
                let (name, inputs, outputs) = *layer;
                let values = json!({ "inputs": inputs, "outputs": outputs, "gflops": gflops });
                (name.to_owned(), values)
            })
            .collect();
        json!({
            "device": self.device,
            "kernel": self.instruction_peak.map(|peak| peak.kernel),
            "instruction_peak": self.instruction_peak.map(|peak| peak.gflops),
            "rows": self.rows,
            "layers": layers,
        })
    }
}

impl fmt::Display for Products {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{}: GFLOP/s of x [rows, inputs] · weightᵀ", self.device)?;
        if let Some(peak) = &self.instruction_peak {
            writeln!(f, "{}", peak::sentence(peak))?;
        }
        write!(f, "\n{:<24}{:>18}", "layer", "inputs → outputs")?;
        for rows in &self.rows {
            write!(f, "{rows:>7}")?;
        }
        writeln!(f, " rows")?;
        for LayerSpeeds { layer, gflops } in &self.layers {
            let (name, inputs, outputs) = layer;
            write!(f, "{name:<24}{:>18}", format!("{inputs} → {outputs}"))?;
            for gflops in gflops {
                write!(f, "{gflops:>7.1}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{CpuDevice, Precision};

    #[test]
    fn every_layer_has_a_speed_for_each_number_of_rows_beside_the_instruction_s_peak() {
        let device = CpuDevice::new(Precision::Bf16, 1).unwrap();
        let products = measure_layers(&device, &[("narrow", 8, 16), ("wide", 16, 40)], &[1, 3]).unwrap();
        let json = products.to_json();
        assert_eq!(json["rows"], json!([1, 3]));
        for (name, inputs, outputs) in [("narrow", 8, 16), ("wide", 16, 40)] {
            let layer = &json["layers"][name];
            assert_eq!(
                (&layer["inputs"], &layer["outputs"]),
                (&json!(inputs), &json!(outputs))
            );
            let gflops: Vec<f64> = serde_json::from_value(layer["gflops"].clone()).unwrap();
            assert!(
                gflops.len() == 2 && gflops.iter().all(|gflops| *gflops > 0.0),
                "{gflops:?}"
            );
        }
        let peak = device.instruction_peak();
        assert_eq!(json["kernel"], json!(peak.map(|peak| peak.kernel)));
        assert_eq!(json["instruction_peak"].is_number(), peak.is_some());
    }

    #[test]
    fn kernels_are_compared_at_rows_at_which_engines_are() {
        assert!(KERNEL_ROWS.iter().all(|rows| PRODUCT_ROWS.contains(rows)));
        assert!(SCALAR_ROWS.iter().all(|rows| KERNEL_ROWS.contains(rows)));
    }
}
