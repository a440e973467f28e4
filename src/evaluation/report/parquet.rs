//! Predictions as a Parquet file: a row for each action of each chunk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{FloatType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::FileError;
use super::file::UnfinishedFile;
use crate::evaluation::evaluate::Prediction;

/// Rows of a group in the file.
const ROW_GROUP: usize = 1 << 16;

/// Writer of the file, which gets its name when it is whole. Columns: `prediction` (from 0), `observed_at_ns` (the joint
/// state's stamp), `latency_ms`, `step` (in the chunk, from 0), and for each joint `predicted.NAME` and `recorded.NAME`, which
/// is null where nothing was recorded.
pub struct PredictionsFile {
    path: PathBuf,
    unfinished: UnfinishedFile,
    writer: SerializedFileWriter<File>,
    joints: usize,
    rows: Rows,
}

#[derive(Default)]
struct Rows {
    prediction: Vec<i64>,
    observed_at_ns: Vec<i64>,
    latency_ms: Vec<f32>,
    step: Vec<i32>,
    /// `[joints][rows]`
    predicted: Vec<Vec<f32>>,
    /// `[joints][rows with a recorded action]`
    recorded: Vec<Vec<f32>>,
    /// 1 for a row with a recorded action, 0 for any other.
    is_recorded: Vec<i16>,
}

impl PredictionsFile {
    /// Creates the file.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path, joints: &[String]) -> Result<Self, FileError> {
        let unfinished = UnfinishedFile::create(path)?;
        let file = unfinished.reopen()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let writer = schema(joints)
            .and_then(|schema| SerializedFileWriter::new(file, schema, Arc::new(properties)))
            .map_err(not_written(path))?;
        Ok(Self {
            path: path.to_owned(),
            unfinished,
            writer,
            joints: joints.len(),
            rows: Rows::new(joints.len()),
        })
    }

    /// Adds a row for each action of a prediction.
    ///
    /// # Errors
    /// When the rows cannot be written.
    pub fn add(&mut self, prediction: &Prediction) -> Result<(), FileError> {
        for step in 0..prediction.chunk.horizon() {
            self.rows.add(prediction, step);
        }
        if self.rows.step.len() >= ROW_GROUP {
            self.write_rows()?;
        }
        Ok(())
    }

    /// Writes the rest, and gives the file its name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<(), FileError> {
        self.write_rows()?;
        self.writer.close().map_err(not_written(&self.path))?;
        self.unfinished.finish()
    }

    fn write_rows(&mut self) -> Result<(), FileError> {
        let rows = std::mem::replace(&mut self.rows, Rows::new(self.joints));
        if rows.step.is_empty() {
            return Ok(());
        }
        rows.write(&mut self.writer).map_err(not_written(&self.path))
    }
}

impl Rows {
    fn new(joints: usize) -> Self {
        Self {
            predicted: vec![Vec::new(); joints],
            recorded: vec![Vec::new(); joints],
            ..Self::default()
        }
    }

    fn add(&mut self, prediction: &Prediction, step: usize) {
        self.prediction.push(prediction.index as i64);
        self.observed_at_ns
            .push(prediction.observation.observed_at.as_nanos() as i64);
        self.latency_ms.push(prediction.latency.as_secs_f32() * 1e3);
        self.step.push(step as i32);
        for (column, value) in self.predicted.iter_mut().zip(prediction.chunk.action(step)) {
            column.push(*value);
        }
        let recorded = prediction.observation.recorded.get(step).and_then(Option::as_ref);
        self.is_recorded.push(i16::from(recorded.is_some()));
        for (column, value) in self.recorded.iter_mut().zip(recorded.into_iter().flatten()) {
            column.push(*value);
        }
    }

    fn write(&self, writer: &mut SerializedFileWriter<File>) -> ParquetResult<()> {
        let mut group = writer.next_row_group()?;
        macro_rules! column {
            ($type:ty, $values:expr, $defined:expr) => {
                if let Some(mut column) = group.next_column()? {
                    column
                        .typed::<$type>()
                        .write_batch($values, $defined, None)?;
                    column.close()?;
                }
            };
        }
        column!(Int64Type, &self.prediction, None);
        column!(Int64Type, &self.observed_at_ns, None);
        column!(FloatType, &self.latency_ms, None);
        column!(Int32Type, &self.step, None);
        for (predicted, recorded) in self.predicted.iter().zip(&self.recorded) {
            column!(FloatType, predicted, None);
            column!(FloatType, recorded, Some(&self.is_recorded));
        }
        group.close()?;
        Ok(())
    }
}

fn schema(joints: &[String]) -> ParquetResult<Arc<Type>> {
    let column = |name: &str, of: PhysicalType, repetition| -> ParquetResult<Arc<Type>> {
        Ok(Arc::new(
            Type::primitive_type_builder(name, of)
                .with_repetition(repetition)
                .build()?,
        ))
    };
    let mut columns = vec![
        column("prediction", PhysicalType::INT64, Repetition::REQUIRED)?,
        column("observed_at_ns", PhysicalType::INT64, Repetition::REQUIRED)?,
        column("latency_ms", PhysicalType::FLOAT, Repetition::REQUIRED)?,
        column("step", PhysicalType::INT32, Repetition::REQUIRED)?,
    ];
    for joint in joints {
        let (predicted, recorded) = (format!("predicted.{joint}"), format!("recorded.{joint}"));
        columns.push(column(&predicted, PhysicalType::FLOAT, Repetition::REQUIRED)?);
        columns.push(column(&recorded, PhysicalType::FLOAT, Repetition::OPTIONAL)?);
    }
    Ok(Arc::new(
        Type::group_type_builder("predictions")
            .with_fields(columns)
            .build()?,
    ))
}

fn not_written(path: &Path) -> impl Fn(ParquetError) -> FileError + use<'_> {
    |error| FileError::Parquet(path.to_owned(), error)
}
