//! Writing of a bag's report while the bag is evaluated.

use std::path::{Path, PathBuf};

use super::file::write_whole;
use super::html::{index, page};
use super::parquet::PredictionsFile;
use super::pictures::Pictures;
use super::{BagResult, FileError, Report};
use crate::evaluation::evaluate::Prediction;
use crate::parameters::Settings;

/// Files of a bag's report; `None` is not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportFiles {
    /// Report.
    pub json: Option<PathBuf>,
    /// Page with plots and pictures.
    pub html: Option<PathBuf>,
    /// Predictions, a row for each action.
    pub parquet: Option<PathBuf>,
}

impl ReportFiles {
    /// All files of `bag` in a folder of results.
    pub fn in_folder(folder: &Path, bag: &Path) -> Self {
        let name = result_name(bag);
        let file = |suffix| Some(folder.join(format!("{name}.{suffix}")));
        Self {
            json: file("json"),
            html: file("html"),
            parquet: file("parquet"),
        }
    }
}

/// Collector of a bag's predictions for the files of its report.
pub struct ReportWriter {
    files: ReportFiles,
    pictures: Pictures,
    predictions: Option<PredictionsFile>,
    failure: Option<FileError>,
}

impl ReportWriter {
    /// Prepares the files for chunks of which `execution_horizon` actions are executed.
    ///
    /// # Errors
    /// When a file cannot be created.
    pub fn create(
        files: ReportFiles,
        settings: &Settings,
        execution_horizon: usize,
    ) -> Result<Self, FileError> {
        let joints = settings.axes().names().to_vec();
        let parquet = files.parquet.as_deref();
        Ok(Self {
            pictures: Pictures::new(execution_horizon, settings.runtime.action_period),
            predictions: parquet
                .map(|path| PredictionsFile::create(path, &joints))
                .transpose()?,
            failure: None,
            files,
        })
    }

    /// Adds a prediction.
    pub fn add(&mut self, prediction: &Prediction) {
        self.pictures.add(prediction);
        if let Some(predictions) = &mut self.predictions
            && self.failure.is_none()
        {
            self.failure = predictions.add(prediction).err();
        }
    }

    /// Writes the files.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(self, report: &Report) -> Result<(), FileError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if let Some(predictions) = self.predictions {
            predictions.finish()?;
        }
        if let Some(path) = &self.files.html {
            for result in &report.bags {
                write_whole(path, page(result, &self.pictures).as_bytes())?;
            }
        }
        if let Some(path) = &self.files.json {
            report.write(path)?;
        }
        Ok(())
    }
}

impl Report {
    /// Writes the report of several bags into the folder of their results: `report.json`, and `index.html` with links to the
    /// page of each bag.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_index(&self, folder: &Path) -> Result<(), FileError> {
        let link = |bag: &BagResult| format!("{}.html", result_name(Path::new(&bag.bag)));
        self.write(&folder.join("report.json"))?;
        write_whole(&folder.join("index.html"), index(self, link).as_bytes())
    }
}

/// Name of a bag's files in a folder of results: its path, with `_` for every character that a file name should not have.
fn result_name(bag: &Path) -> String {
    let path = bag.to_string_lossy();
    let is_kept = |character: char| character.is_alphanumeric() || "-_.".contains(character);
    let path = path.trim_matches(['/', '.']).chars();
    path.map(|character| if is_kept(character) { character } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bags_of_the_same_name_have_results_of_their_own() {
        assert_eq!(result_name(Path::new("./day 1/bag_0/")), "day_1_bag_0");
        assert_ne!(result_name(Path::new("a/run")), result_name(Path::new("b/run")));
    }
}
