//! π0 and π0.5 at their published sizes on mock Tenstorrent cards: TT-NN checks and builds every operation of a chunk.
//!
//! A process can open one card, so each is opened by `pi0_tenstorrent_graph`. TT-NN and the mock device come
//! from `tools/tenstorrent/install.sh --mock`.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use pi0_node::benchmark::card::{CardGraph, HostCommands};
use pi0_node::model::ModelType;

/// Runs `pi0_tenstorrent_graph`, one after the other, so that no two compile the same.
fn record(card: &str, cameras: usize, policy: &[&str]) -> CardGraph {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(env!("CARGO_BIN_EXE_pi0_tenstorrent_graph"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--json", "--card", card, "--cameras", &cameras.to_string()])
        .args(policy)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let output = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(output.lines().last().unwrap()).unwrap()
}

fn check(card: &str, cameras: usize) -> CardGraph {
    check_policy(card, cameras, &[])
}

fn check_tuned(card: &str, cameras: usize) -> CardGraph {
    check_policy(card, cameras, &["--tuning", "all"])
}

/// π0.5 with a prompt of at most so many tokens, which changes at every chunk.
fn check_pi05(card: &str, cameras: usize, prompt_tokens: usize, tuning: &str) -> CardGraph {
    let tokens = prompt_tokens.to_string();
    let policy = ["--policy", "pi05", "--prompt-tokens", &tokens, "--tuning", tuning];
    check_policy(card, cameras, &policy)
}

/// What clean actions add to a step: the velocity of the others is selected. π0 fuses both times into the actions and
/// selects; π0.5 has both norms at each place, selects what they give and, but for the last one, the gate, which is then
/// not part of the product any more that is fused with it.
fn trained_operations_a_step(graph: &CardGraph) -> usize {
    let velocity = 1;
    let (norms, gates) = (2 * 18 + 1, 2 * 18);
    let is_tuned = graph.tuning != "none";
    velocity
        + match graph.chunk.model_type {
            ModelType::Pi0 => 2,
            // A norm in blocks is brought back from the cores; only the first one of a step is brought there too.
            ModelType::Pi05 if is_tuned => norms * (2 + 1) + 1 + gates,
            ModelType::Pi05 => norms * (1 + 1) + gates + gates,
        }
}

fn check_policy(card: &str, cameras: usize, policy: &[&str]) -> CardGraph {
    let graph = record(card, cameras, policy);
    let operations = graph.operations();
    // Traces take DRAM that is reserved when the card is opened.
    assert!(operations <= 4100, "{operations} operations");
    assert_eq!(
        graph.read_backs,
        [operations],
        "one read-back, behind the last operation"
    );
    let (beside_images, what) = match graph.chunk.model_type {
        ModelType::Pi0 => (2, "images, state and noise"),
        ModelType::Pi05 => (
            8,
            "images, noise, token ids, the masks of prefix and actions, and the actions' four rotations",
        ),
    };
    let uploads = cameras + beside_images;
    assert_eq!(graph.uploads, uploads, "{what}");
    let pixels = (cameras * 3 * 224 * 224) as u64;
    let prefix = (cameras * 256 + graph.chunk.prompt_tokens.next_multiple_of(32)) as u64;
    let (suffix, head_dim) = (64, 256);
    let most_bytes = 2 * pixels
        + match graph.chunk.model_type {
            ModelType::Pi0 => 11_000,
            ModelType::Pi05 => {
                2 * (prefix * prefix + suffix * (prefix + suffix) + 4 * suffix * head_dim) + 11_000
            }
        };
    assert!(
        graph.uploaded_bytes < most_bytes,
        "{} bytes uploaded: {what}, and little else",
        graph.uploaded_bytes
    );
    let commands = |operations, uploads| HostCommands {
        operations,
        uploads,
        read_backs: 1,
    };
    assert_eq!(
        graph.captured,
        commands(0, uploads),
        "nothing but uploads, traces and one read-back"
    );
    let steps = graph.chunk.denoise_steps.get();
    // Guidance: the actions that x_t leads to, their error, its product with the weights, and a second Euler update, with
    // one more upcast of the velocity.
    for (what, found, operations_a_step, tables) in [
        ("inpainted", graph.inpainted, 1, 2),
        ("guided", graph.guided, 5, 2),
        ("trained", graph.trained, trained_operations_a_step(&graph), 3),
    ] {
        let [first, captured] = found;
        let with_prefix = operations + operations_a_step * steps;
        assert_eq!(first, commands(with_prefix, uploads + tables), "{what}");
        assert_eq!(captured, commands(0, uploads + tables), "{what}, captured");
    }
    assert!(
        graph.weight_bytes + graph.working_bytes <= graph.dram_bytes,
        "{graph}"
    );
    assert!(graph.peak_l1_bytes_per_core <= graph.l1_bytes_per_core, "{graph}");
    for (name, kind) in &graph.kinds {
        let busy = kind.busy_cores / kind.count as f64;
        assert!(
            (1.0..=graph.cores as f64).contains(&busy),
            "{name} keeps {busy} cores busy"
        );
    }
    let estimate = &graph.estimate;
    assert!(estimate.least_ms >= estimate.all_busy_ms, "{graph}");
    assert!(estimate.model_ms > estimate.least_ms, "{graph}");
    assert!(
        graph.weight_bytes > 3_000_000_000,
        "{} bytes of weights",
        graph.weight_bytes
    );
    graph
}

/// The tables of docs/tenstorrent-graph.md are what the graphs give.
fn check_document(graph: &CardGraph) {
    let document = include_str!("../docs/tenstorrent-graph.md");
    let table = graph.to_string();
    assert!(
        document.contains(table.trim()),
        "docs/tenstorrent-graph.md should have:\n{table}"
    );
}

#[test]
fn a_chunk_of_two_cameras_fits_an_n150() {
    check("n150", 2);
}

#[test]
fn a_chunk_of_two_cameras_fits_a_p150() {
    check("p150", 2);
}

#[test]
fn a_chunk_of_three_cameras_fits_a_p100() {
    check("p100", 3);
}

/// TT-NN gives a mock N300 8 × 8 cores and then refuses its own operations on more than 8 × 7.
#[test]
fn an_n300_is_refused_in_words_where_tt_nn_contradicts_itself() {
    let output = Command::new(env!("CARGO_BIN_EXE_pi0_tenstorrent_graph"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--json", "--card", "n300", "--cameras", "1"])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success(),
        "it is accepted: add it to the other grids"
    );
    assert!(
        message.contains("The compute worker grid on this device is 8x7"),
        "{message}"
    );
}

#[test]
fn a_chunk_of_three_cameras_fits_every_other_grid_of_cores() {
    for card in ["n150-8x7", "p150-12x10", "p150-11x10", "p300"] {
        check(card, 3);
    }
}

#[test]
fn a_tuned_chunk_of_three_cameras_fits_every_other_grid_of_cores() {
    for card in ["n150-8x7", "p150-12x10", "p150-11x10", "p300"] {
        check_tuned(card, 3);
    }
}

#[test]
fn a_chunk_of_three_cameras_fits_an_n150_as_documented() {
    check_document(&check("n150", 3));
}

#[test]
fn a_chunk_of_three_cameras_fits_a_p150_as_documented() {
    check_document(&check("p150", 3));
}

#[test]
fn a_tuned_chunk_of_three_cameras_fits_an_n150_as_documented() {
    check_document(&check_tuned("n150", 3));
}

#[test]
fn a_tuned_chunk_of_three_cameras_fits_a_p150_as_documented() {
    check_document(&check_tuned("p150", 3));
}

#[test]
fn a_tuned_chunk_of_two_cameras_fits_a_p150() {
    check_tuned("p150", 2);
}

#[test]
fn a_chunk_of_pi05_with_two_cameras_and_a_short_prompt_fits_an_n150() {
    check_pi05("n150", 2, 48, "none");
}

#[test]
fn a_chunk_of_pi05_with_two_cameras_and_a_prompt_of_96_tokens_fits_a_p150() {
    check_pi05("p150", 2, 96, "none");
}

#[test]
fn a_chunk_of_pi05_with_three_cameras_and_the_longest_prompt_fits_a_p100() {
    check_pi05("p100", 3, 200, "none");
}

#[test]
fn a_chunk_of_pi05_with_three_cameras_fits_an_n150_as_documented() {
    check_document(&check_pi05("n150", 3, 200, "none"));
}

#[test]
fn a_tuned_chunk_of_pi05_with_three_cameras_fits_a_p150_as_documented() {
    check_document(&check_pi05("p150", 3, 200, "all"));
}

#[test]
fn the_stand_in_for_the_kernel_compiler_refuses_to_serve_a_card() {
    let compiler = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tools/tenstorrent/mock/riscv-tt-elf-g++"
    );
    let answers = |descriptor: Option<&str>, cache: &str| {
        let mut command = Command::new(compiler);
        command
            .arg("--version")
            .env_remove("TT_METAL_MOCK_CLUSTER_DESC_PATH")
            .env("TT_METAL_CACHE", cache);
        if let Some(descriptor) = descriptor {
            command.env("TT_METAL_MOCK_CLUSTER_DESC_PATH", descriptor);
        }
        command.output().unwrap().status.success()
    };
    assert!(answers(Some("n150.yaml"), "/somewhere/mock-cache"));
    assert!(!answers(None, "/somewhere/mock-cache"), "a card");
    assert!(!answers(Some("n150.yaml"), "/root/.cache"), "a card's cache");
}
