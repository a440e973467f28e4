//! The model's parameters among the stored tensors, and the problems of those that do not fit.

use std::collections::BTreeMap;

use super::error::TensorProblem;
use super::names::{Role, role};
use super::tensor_files::TensorFiles;
use crate::model::Pi0Config;
use crate::model::parameters::{EMBED_TOKENS, parameters};

/// Finds the stored name of every parameter of the model.
///
/// # Errors
/// Every missing, unexpected, doubly stored and wrongly shaped tensor and every one of a type that weights
/// cannot have, sorted by name.
pub(super) fn stored_names(
    files: &TensorFiles,
    config: &Pi0Config,
) -> Result<BTreeMap<String, String>, Vec<TensorProblem>> {
    let mut problems = Vec::new();
    let mut stored_names: BTreeMap<String, String> = BTreeMap::new();
    let mut language_head = None;
    for (stored, _) in files.iter() {
        match role(stored, config.model_type) {
            Role::Parameter(name) => {
                if let Some(also_as) = stored_names.insert(name.clone(), stored.to_owned()) {
                    problems.push(TensorProblem::StoredTwice { name, also_as });
                }
            }
            Role::LanguageHead => language_head = Some(stored.to_owned()),
            Role::Unused => {}
        }
    }
    if let Some(head) = language_head {
        stored_names.entry(EMBED_TOKENS.to_owned()).or_insert(head);
    }

    let mut unexpected = stored_names.clone();
    for parameter in parameters(config) {
        let Some(stored) = unexpected.remove(&parameter.name) else {
            problems.push(TensorProblem::Missing {
                name: parameter.name,
                expected: parameter.shape,
            });
            continue;
        };
        let Some(tensor) = files.info(&stored) else {
            continue;
        };
        if tensor.shape != parameter.shape {
            problems.push(TensorProblem::Shape {
                name: parameter.name.clone(),
                found: tensor.shape.clone(),
                expected: parameter.shape,
            });
        }
        if tensor.float_type().is_none() {
            problems.push(TensorProblem::Dtype {
                name: parameter.name,
                found: format!("{:?}", tensor.dtype),
            });
        }
    }
    for (name, stored) in unexpected {
        let found = files.info(&stored).map(|tensor| tensor.shape.clone());
        problems.push(TensorProblem::Unexpected {
            name,
            found: found.unwrap_or_default(),
        });
    }
    if problems.is_empty() {
        return Ok(stored_names);
    }
    problems.sort_by(|a, b| a.name().cmp(b.name()));
    Err(problems)
}
