//! LoRA folders of LeRobot: merged with their base as peft merges them, or refused by name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use half::bf16;
use pi0_node::checkpoint::{Checkpoint, CheckpointError, CheckpointOptions};
use pi0_node::model::Weights;
use pi0_node::model::parameters::parameters;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::folder::{Folder, Tensor, Tensors, read_tensors, reference, write_tensors};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// Rows between two of those that `make_adapters` stores.
const ROW_STEP: usize = 7;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/adapters")
        .join(name)
}

/// A copy of an adapter's folder that a test may change.
struct Adapter(TempDir);

impl Adapter {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in fs::read_dir(fixture(name)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        Self(folder)
    }

    fn change_config(&self, change: impl FnOnce(&mut Value)) -> &Self {
        let path = self.0.path().join(CONFIG);
        let mut value: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut value);
        fs::write(path, value.to_string()).unwrap();
        self
    }

    fn change_tensors(&self, change: impl FnOnce(&mut Tensors)) -> &Self {
        let path = self.0.path().join(WEIGHTS);
        let mut tensors = read_tensors(&path);
        change(&mut tensors);
        write_tensors(&path, &tensors);
        self
    }

    fn refused_with(&self, words: &[&str]) -> CheckpointError {
        let error = open(self.0.path(), &reference("checkpoint"))
            .err()
            .expect("refused");
        let text = error.to_string();
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        error
    }
}

fn open(adapter: &Path, base: &Path) -> Result<Checkpoint, CheckpointError> {
    let options = CheckpointOptions {
        base: Some(base.to_owned()),
        ..CheckpointOptions::default()
    };
    Checkpoint::open_with(adapter, &options)
}

/// Compares every parameter with the base's, and with peft's rows where it is a merged one; returns how many are.
fn assert_merged_as_by_peft(found: &Checkpoint, base: &Path, merged: &Path, tolerance: f32) -> usize {
    let base = Checkpoint::open(base).unwrap();
    let merged: BTreeMap<String, Tensor> = read_tensors(merged)
        .into_iter()
        .map(|(name, tensor)| (name.strip_prefix("model.").unwrap().to_owned(), tensor))
        .collect();
    let mut changed = 0;
    for parameter in parameters(&found.config().model) {
        let name = &parameter.name;
        let (found, base) = (found.tensor(name), base.tensor(name));
        assert_eq!(found.shape, base.shape, "{name}");
        let Some(expected) = merged.get(name) else {
            assert_eq!(found.bytes, base.bytes, "{name} is not adapted");
            continue;
        };
        changed += 1;
        assert_eq!(found.dtype, base.dtype, "{name}");
        let columns = found.len() / found.shape[0];
        let rows = found.to_f32();
        let rows = rows.chunks_exact(columns).step_by(ROW_STEP).flatten();
        let expected = expected.to_f32();
        for (found, expected) in rows.zip(&expected) {
            let error = (found - expected).abs();
            assert!(
                error <= tolerance * expected.abs().max(1.0),
                "{name}: {found} and {expected}"
            );
        }
    }
    changed
}

#[test]
fn the_default_adapter_of_lerobot() {
    let (adapter, base) = (fixture("lerobot_default"), reference("checkpoint"));
    let checkpoint = open(&adapter, &base).unwrap();
    let changed = assert_merged_as_by_peft(&checkpoint, &base, &adapter.join("merged.safetensors"), 2e-6);
    // Queries and values of three layers, and five layers around the expert.
    assert_eq!(changed, 11);
}

#[test]
fn the_sum_has_the_type_of_the_base() {
    let base = Folder::new();
    base.change_tensors("model.safetensors", |tensors| {
        for tensor in tensors.values_mut() {
            let values = tensor.to_f32();
            tensor.dtype = safetensors::Dtype::BF16;
            tensor.bytes = values
                .iter()
                .flat_map(|value| bf16::from_f32(*value).to_le_bytes())
                .collect();
        }
    });
    let adapter = fixture("lerobot_default");
    let checkpoint = open(&adapter, base.path()).unwrap();
    // One step of bfloat16, where the sums are on two sides of the middle of two values.
    let merged = adapter.join("merged_bfloat16.safetensors");
    assert_eq!(
        assert_merged_as_by_peft(&checkpoint, base.path(), &merged, 1.0 / 256.0),
        11
    );
}

/// All linear layers, with `use_rslora`, ranks and alphas by patterns.
#[test]
fn ranks_and_alphas_are_those_of_the_first_pattern_that_matches() {
    let (adapter, base) = (fixture("all_linear"), reference("checkpoint"));
    let checkpoint = open(&adapter, &base).unwrap();
    let changed = assert_merged_as_by_peft(&checkpoint, &base, &adapter.join("merged.safetensors"), 4e-6);
    // Of 42 adapted layers two predict tokens, which the policy does not.
    assert_eq!(changed, 40);
}

/// An embedding, a convolution, modules and biases that are stored whole.
#[test]
fn whole_modules_replace_the_base_s_and_embeddings_and_convolutions_are_merged() {
    let (adapter, base) = (fixture("whole_modules"), reference("checkpoint"));
    let checkpoint = open(&adapter, &base).unwrap();
    let changed = assert_merged_as_by_peft(&checkpoint, &base, &adapter.join("merged.safetensors"), 2e-6);
    assert_eq!(changed, 13);
}

#[test]
fn layers_for_which_fan_in_fan_out_is_set_are_merged_as_by_peft() {
    let adapter = Adapter::new("lerobot_default");
    adapter.change_config(|config| config["fan_in_fan_out"] = json!(true));
    let checkpoint = open(adapter.0.path(), &reference("checkpoint")).unwrap();
    let merged = fixture("lerobot_default").join("merged.safetensors");
    assert_merged_as_by_peft(&checkpoint, &reference("checkpoint"), &merged, 2e-6);
}

#[test]
fn an_adapter_s_own_name_may_be_in_the_names_of_its_tensors() {
    for name in ["lerobot_default", "whole_modules"] {
        let adapter = Adapter::new(name);
        adapter.change_tensors(|tensors| {
            let with_name = |name: &str| match name.split_once(".lora_") {
                Some(_) if name.ends_with(".weight") => name.replace(".weight", ".mine.weight"),
                Some(_) => format!("{name}.mine"),
                None => name.replace("state_proj.", "state_proj.modules_to_save.mine."),
            };
            *tensors = tensors
                .iter()
                .map(|(name, tensor)| (with_name(name), tensor.clone()))
                .collect();
        });
        let checkpoint = open(adapter.0.path(), &reference("checkpoint")).unwrap();
        let merged = fixture(name).join("merged.safetensors");
        assert_merged_as_by_peft(&checkpoint, &reference("checkpoint"), &merged, 2e-6);
    }
}

#[test]
fn an_adapter_has_its_own_statistics_and_its_base_s_tokenizer() {
    let base = Folder::new();
    base.remove("policy_preprocessor.json");
    base.remove("config.json");
    let checkpoint = open(&fixture("lerobot_default"), base.path()).unwrap();
    assert_eq!(checkpoint.folder(), fixture("lerobot_default"));
    assert!(!fixture("lerobot_default").join("tokenizer.json").exists());
    assert!(checkpoint.tokenizer().encode("wave").is_ok());
}

#[test]
fn the_base_is_where_the_adapter_says_or_where_the_user_does() {
    let adapter = Adapter::new("lerobot_default");
    let error = Checkpoint::open(adapter.0.path()).err().unwrap().to_string();
    assert!(
        error.contains("adapter (LoRA) of the base \"/home/trainer/outputs/pi0_base\"")
            && error.contains("set the parameter checkpoint_base"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");

    // Beside the adapter, in the folder of a training run.
    let run = adapter.0.path().join("base/checkpoints/000100/pretrained_model");
    fs::create_dir_all(&run).unwrap();
    for file in fs::read_dir(reference("checkpoint")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), run.join(file.file_name())).unwrap();
    }
    adapter.change_config(|config| config["base_model_name_or_path"] = json!("base"));
    assert!(Checkpoint::open(adapter.0.path()).is_ok());

    let error = open(adapter.0.path(), Path::new("/no/such/base"))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("checkpoint_base: /no/such/base: no such folder"),
        "{error}"
    );
    let error = open(adapter.0.path(), &fixture("all_linear"))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("is an adapter too"), "{error}");
}

#[test]
fn other_adapters_are_refused_by_name() {
    for (key, value, name) in [
        ("peft_type", json!("IA3"), "adapter (IA3)"),
        ("peft_type", json!("LOHA"), "adapter (LOHA)"),
        ("use_dora", json!(true), "adapter (DoRA)"),
        ("lora_bias", json!(true), "adapter (LoRA with biases (lora_bias))"),
        (
            "init_lora_weights",
            json!("pissa_niter_4"),
            "init_lora_weights \"pissa_niter_4\"",
        ),
        ("target_parameters", json!(["q"]), "LoRA with target_parameters"),
    ] {
        let adapter = Adapter::new("lerobot_default");
        adapter.change_config(|config| config[key] = value);
        adapter.refused_with(&[name, "merge_and_unload()"]);
    }
    let adapter = Adapter::new("lerobot_default");
    adapter.change_config(|config| config["init_lora_weights"] = json!("gaussian"));
    assert!(open(adapter.0.path(), &reference("checkpoint")).is_ok());
}

#[test]
fn an_adapter_of_another_base_is_refused_with_everything_that_does_not_fit() {
    let q_proj = "base_model.model.model.paligemma_with_expert.gemma_expert.model.layers.0.self_attn.q_proj";
    let adapter = Adapter::new("lerobot_default");
    adapter.change_tensors(|tensors| {
        tensors.insert(
            format!("{q_proj}.lora_A.weight"),
            Tensor::f32(&[0.0; 4 * 50], &[4, 50]),
        );
        tensors
            .remove("base_model.model.model.state_proj.lora_B.weight")
            .unwrap();
        for part in ["lora_A", "lora_B"] {
            let tensor = tensors
                .remove(&format!("base_model.model.model.action_in_proj.{part}.weight"))
                .unwrap();
            tensors.insert(
                format!("base_model.model.model.time_in_proj.{part}.weight"),
                tensor,
            );
        }
        tensors.insert(
            "base_model.model.model.x.lora_magnitude_vector.weight".to_owned(),
            Tensor::f32(&[0.0], &[1]),
        );
        let a = tensors
            .get_mut("base_model.model.model.action_out_proj.lora_A.weight")
            .unwrap();
        a.dtype = safetensors::Dtype::I32;
    });
    let error = adapter.refused_with(&[
        "q_proj.weight: lora_A [4, 50] and lora_B [128, 4] make [128, 50], the base has [128, 48]",
        "state_proj.weight: expected lora_A and lora_B, or the whole tensor, found base_model",
        "time_in_proj.weight is changed, but the base has no such parameter",
        "x.lora_magnitude_vector.weight is no tensor of a LoRA adapter",
        "action_out_proj.lora_A.weight has the type I32",
    ]);
    let CheckpointError::AdapterTensors { problems, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(problems.len(), 5, "{problems:?}");
}

#[test]
fn ranks_and_modules_that_the_configuration_does_not_have_are_refused() {
    let adapter = Adapter::new("lerobot_default");
    adapter.change_config(|config| config["r"] = json!(8));
    adapter.refused_with(&["have the ranks 4 and 4, adapter_config.json gives 8"]);
    adapter.change_config(|config| config["rank_pattern"] = json!({"(": 4}));
    adapter.refused_with(&["the pattern \"(\" of adapter_config.json cannot be used"]);

    let adapter = Adapter::new("whole_modules");
    adapter.change_tensors(|tensors| tensors.retain(|name, _| !name.contains("state_proj")));
    adapter.refused_with(&["modules_to_save has state_proj, which is not among the adapter's tensors"]);

    let adapter = Adapter::new("lerobot_default");
    adapter.change_tensors(Tensors::clear);
    adapter.refused_with(&["no tensor that changes the policy"]);
}

#[test]
fn an_adapter_without_its_weights_or_with_truncated_ones_is_refused() {
    let adapter = Adapter::new("lerobot_default");
    let path = adapter.0.path().join(WEIGHTS);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
    adapter.refused_with(&[WEIGHTS, "truncated"]);
    fs::rename(&path, adapter.0.path().join("adapter_model.bin")).unwrap();
    adapter.refused_with(&[WEIGHTS, "missing", "pickled"]);
    fs::remove_file(adapter.0.path().join("adapter_model.bin")).unwrap();
    adapter.refused_with(&["missing; peft saves an adapter's weights there"]);
}
