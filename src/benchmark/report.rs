//! Report of a benchmark, for people and for programs.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::peak;
use super::workload::Workload;
use crate::device::InstructionPeak;

/// Durations of one stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Name of the stage.
    pub name: &'static str,
    /// Floating-point operations of one run; `None` for a stage that is no arithmetic of the model.
    pub operations: Option<f64>,
    /// Duration of every run, in milliseconds.
    pub times_ms: Vec<f64>,
}

/// Durations of all stages, and the peak to compare them with.
#[derive(Clone, Debug)]
pub struct Report {
    /// Description of the device.
    pub device: String,
    /// Inputs of a chunk, and the number of chunks.
    pub workload: Workload,
    /// Tokens of all cameras and of the prompt.
    pub prefix_tokens: usize,
    /// Actions in a chunk.
    pub action_horizon: usize,
    /// Peak of the device's instructions, in the same run; `None` where the device cannot measure it.
    pub instruction_peak: Option<InstructionPeak>,
    /// Memory of the process in RAM.
    pub resident_bytes: Option<u64>,
    /// Memory of the process in RAM at most, since it started; a checkpoint's own pages count while they are
    /// read.
    pub peak_resident_bytes: Option<u64>,
    /// Stages, in order.
    pub stages: Vec<Stage>,
}

impl Stage {
    pub(super) fn new(name: &'static str, operations: Option<f64>) -> Self {
        Self {
            name,
            operations,
            times_ms: Vec::new(),
        }
    }

    pub(super) fn time<T>(&mut self, measured: bool, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.add(measured, started.elapsed());
        result
    }

    pub(super) fn add(&mut self, measured: bool, duration: Duration) {
        if measured {
            self.times_ms.push(duration.as_secs_f64() * 1e3);
        }
    }

    /// Quantile of the durations at `share`, from 0 to 1, in milliseconds; NaN when there was none.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let mut sorted = self.times_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1) as f64;
        sorted
            .get((share * last).round() as usize)
            .copied()
            .unwrap_or(f64::NAN)
    }

    /// Median duration, in milliseconds; NaN when there was none.
    pub fn median_ms(&self) -> f64 {
        self.quantile_ms(0.5)
    }

    /// Speed at the median, in 10⁹ floating-point operations a second.
    pub fn gflops(&self) -> Option<f64> {
        Some(self.operations? / self.median_ms() / 1e6)
    }
}

impl Report {
    /// Speed of a stage at the median, as a share of the instruction's peak.
    pub fn peak_fraction(&self, stage: &Stage) -> Option<f64> {
        Some(stage.gflops()? / self.instruction_peak?.gflops)
    }

    /// The report as JSON.
    pub fn to_json(&self) -> Value {
        let stages: serde_json::Map<String, Value> = self
            .stages
            .iter()
            .map(|stage| {
                let values = json!({
                    "median_ms": stage.median_ms(),
                    "p99_ms": stage.quantile_ms(0.99),
                    "gflop": stage.operations.map(|operations| operations / 1e9),
                    "gflops": stage.gflops(),
                    "peak_fraction": self.peak_fraction(stage),
                });
                (stage.name.to_owned(), values)
            })
            .collect();
        json!({
            "device": self.device,
            "cameras": self.workload.cameras,
            "prompt_tokens": self.workload.prompt_tokens,
            "denoise_steps": self.workload.denoise_steps,
            "repeats": self.workload.repeats,
            "prefix_tokens": self.prefix_tokens,
            "action_horizon": self.action_horizon,
            "kernel": self.instruction_peak.map(|peak| peak.kernel),
            "instruction_peak": self.instruction_peak.map(|peak| peak.gflops),
            "resident_bytes": self.resident_bytes,
            "peak_resident_bytes": self.peak_resident_bytes,
            "stages": stages,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Workload {
            cameras,
            prompt_tokens,
            denoise_steps,
            repeats,
            ..
        } = self.workload;
        writeln!(f, "{}", self.device)?;
        writeln!(
            f,
            "{cameras} cameras, {prompt_tokens} prompt tokens ({} of prefix), {denoise_steps} steps, {} actions, \
             {repeats} chunks",
            self.prefix_tokens, self.action_horizon
        )?;
        if let Some(peak) = &self.instruction_peak {
            writeln!(f, "{}", peak::sentence(peak))?;
        }
        if let (Some(bytes), Some(peak)) = (self.resident_bytes, self.peak_resident_bytes) {
            writeln!(
                f,
                "{:.2} GB resident, {:.2} GB at most",
                bytes as f64 / 1e9,
                peak as f64 / 1e9
            )?;
        }
        write!(
            f,
            "\n{:<18} {:>10} {:>10} {:>10} {:>10}",
            "stage", "median ms", "p99 ms", "GFLOP", "GFLOP/s"
        )?;
        if self.instruction_peak.is_some() {
            write!(f, " {:>8}", "of peak")?;
        }
        writeln!(f)?;
        for stage in &self.stages {
            write!(
                f,
                "{:<18} {:>10.2} {:>10.2}",
                stage.name,
                stage.median_ms(),
                stage.quantile_ms(0.99)
            )?;
            if let (Some(operations), Some(gflops)) = (stage.operations, stage.gflops()) {
                write!(f, " {:>10.2} {gflops:>10.1}", operations / 1e9)?;
            }
            if let Some(share) = self.peak_fraction(stage) {
                write!(f, " {:>6.0} %", 100.0 * share)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(times_ms: &[f64]) -> Stage {
        Stage {
            times_ms: times_ms.to_vec(),
            ..Stage::new("step", Some(6e9))
        }
    }

    #[test]
    fn quantiles_are_of_the_sorted_times() {
        let stage = stage(&[5.0, 1.0, 3.0]);
        assert_eq!(
            (stage.quantile_ms(0.0), stage.median_ms(), stage.quantile_ms(0.99)),
            (1.0, 3.0, 5.0)
        );
        assert_eq!(stage.gflops(), Some(2000.0));
    }

    fn report(instruction_peak: Option<InstructionPeak>) -> Report {
        Report {
            device: "a device".to_owned(),
            workload: Workload {
                cameras: 1,
                prompt_tokens: 1,
                denoise_steps: 1,
                warm_up: 0,
                repeats: 1,
            },
            prefix_tokens: 2,
            action_horizon: 50,
            instruction_peak,
            resident_bytes: None,
            peak_resident_bytes: None,
            // 2000 GFLOP/s.
            stages: vec![stage(&[3.0])],
        }
    }

    #[test]
    fn shares_are_of_the_instruction_s_peak() {
        let report = report(Some(InstructionPeak {
            kernel: "avx512_bf16",
            gflops: 2500.0,
        }));
        let json = report.to_json();
        assert_eq!(json["stages"]["step"]["peak_fraction"], 0.8);
        assert_eq!(
            (&json["kernel"], &json["instruction_peak"]),
            (&json!("avx512_bf16"), &json!(2500.0))
        );
        let text = report.to_string();
        assert!(
            text.contains("avx512_bf16: the instruction's peak on registers is 2500 GFLOP/s"),
            "{text}"
        );
        assert!(text.contains("of peak") && text.contains(" 80 %"), "{text}");
    }

    #[test]
    fn a_device_that_cannot_measure_its_peak_has_speeds_and_no_shares() {
        let report = report(None);
        let json = report.to_json();
        let step = &json["stages"]["step"];
        assert_eq!(
            (&step["gflops"], &step["peak_fraction"]),
            (&json!(2000.0), &Value::Null)
        );
        assert_eq!(
            (&json["kernel"], &json["instruction_peak"]),
            (&Value::Null, &Value::Null)
        );
        let text = report.to_string();
        assert!(
            text.contains("2000.0") && !text.contains("peak") && !text.contains('%'),
            "{text}"
        );
    }

    #[test]
    fn a_stage_that_never_ran_has_no_time() {
        assert!(stage(&[]).median_ms().is_nan());
    }
}
