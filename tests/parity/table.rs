//! The worst comparisons of each module, as the table of docs/accuracy.md.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use pi0_node::device::Precision;
use pi0_node::model::ModelType;

use crate::measure::Measurement;

/// Prints a table of every network and level that was measured, in their order, and of each network one of the worst of
/// several.
pub fn print_tables(measurements: &[Measurement]) {
    for model_type in [ModelType::Pi0, ModelType::Pi05] {
        let of_model = measurements
            .iter()
            .filter(|measurement| measurement.setting.model_type == model_type);
        let mut levels: Vec<_> = of_model
            .clone()
            .map(|measurement| measurement.setting.level)
            .collect();
        levels.sort();
        levels.dedup();
        for level in &levels {
            let of_level = of_model
                .clone()
                .filter(|measurement| measurement.setting.level == *level);
            println!("\n{model_type}, {level}\n\n{}", Table::of(of_level));
        }
        if levels.len() > 1 {
            println!(
                "\n{model_type}, the worst of all levels\n\n{}",
                Table::of(of_model)
            );
        }
    }
}

#[derive(Default)]
struct Table(BTreeMap<&'static str, [Option<Worst>; 3]>);

/// Of the comparisons of a module.
struct Worst {
    comparisons: usize,
    pearson_correlation: f64,
    max_abs_error: f64,
}

impl Table {
    fn of<'a>(measurements: impl Iterator<Item = &'a Measurement>) -> Self {
        let mut table = Self::default();
        for measurement in measurements {
            let column = match measurement.setting.precision {
                Precision::F32 => 0,
                Precision::Bf16 => 1,
                Precision::Int8 => 2,
            };
            let row = table.0.entry(measurement.module).or_default();
            let worst = row[column].get_or_insert(Worst {
                comparisons: 0,
                pearson_correlation: f64::INFINITY,
                max_abs_error: 0.0,
            });
            worst.comparisons += 1;
            worst.pearson_correlation = worst.pearson_correlation.min(measurement.pearson_correlation);
            worst.max_abs_error = worst.max_abs_error.max(measurement.max_abs_error);
        }
        table
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(
            f,
            "| module | comparisons | PCC, f32 | max abs error, f32 | PCC, bf16 weights | PCC, int8 weights |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for (module, row @ [f32, ..]) in &self.0 {
            let comparisons = row.iter().flatten().map(|worst| worst.comparisons).max();
            let correlation = |column: usize, digits: usize| match &row[column] {
                Some(worst) => format!("{:.digits$}", worst.pearson_correlation),
                None => "–".to_owned(),
            };
            let error = match f32 {
                Some(worst) => format!("{:.1e}", worst.max_abs_error),
                None => "–".to_owned(),
            };
            writeln!(
                f,
                "| {module} | {} | {} | {error} | {} | {} |",
                comparisons.unwrap_or_default(),
                correlation(0, 8),
                correlation(1, 6),
                correlation(2, 5)
            )?;
        }
        Ok(())
    }
}
