//! `pi0_eval` as a team's CI uses it.

use std::path::Path;
use std::process::{Command, Output};
use std::time::SystemTime;

use serde_json::Value;

use crate::fixtures::bag;

fn pi0_eval(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pi0_eval"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .output()
        .unwrap()
}

fn evaluate(bags: &[&Path], more: &[&str]) -> Output {
    let mut arguments: Vec<&str> = bags.iter().map(|bag| bag.to_str().unwrap()).collect();
    arguments.extend([
        "--params-file",
        "config/aloha_sim.yaml",
        "--checkpoint",
        "checkpoints/aloha_sim",
        "-p",
        "cameras.top.crop:=[]",
    ]);
    arguments.extend(more);
    pi0_eval(&arguments)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_bag_becomes_a_table_a_report_a_page_and_a_table_of_predictions() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let text = |name: &str| file(name).to_str().unwrap().to_owned();
    let (json_file, html, parquet) = (text("a.json"), text("a.html"), text("a.parquet"));
    let more = ["--json", &json_file, "--html", &html, "--parquet", &parquet];
    let output = evaluate(&[&bag("mcap_zstd")], &more);
    assert!(output.status.success(), "{}", words(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        table.contains("mse") && table.contains("right_gripper"),
        "{table}"
    );
    assert_eq!(json(&file("a.json"))["combined"]["predictions"], 6);
    let page = std::fs::read_to_string(html).unwrap();
    assert_eq!(page.matches("<svg").count(), 16);
    assert!(page.contains("data:image/jpeg;base64,"));
    let table = std::fs::read(parquet).unwrap();
    assert!(table.starts_with(b"PAR1") && table.ends_with(b"PAR1"));
}

#[test]
fn comparing_ends_with_status_one_only_when_it_is_worse() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = ["one.json", "other.json"].map(|name| folder.path().join(name));
    let [one, other] = [&one, &other].map(|path| path.to_str().unwrap());
    assert!(
        evaluate(&[&bag("mcap_zstd")], &["--json", one, "--quiet"])
            .status
            .success()
    );
    assert!(
        evaluate(&[&bag("mcap_zstd")], &["--json", other, "--quiet"])
            .status
            .success()
    );
    assert_eq!(pi0_eval(&["compare", one, other]).status.code(), Some(0));
    let mut worse = json(Path::new(other));
    worse["combined"]["mse"] = (worse["combined"]["mse"].as_f64().unwrap() * 1.1).into();
    std::fs::write(other, worse.to_string()).unwrap();
    assert_eq!(pi0_eval(&["compare", one, other]).status.code(), Some(1));
    assert_eq!(pi0_eval(&["compare", other, one]).status.code(), Some(0));
    let tolerant = ["compare", one, other, "--threshold", "15"];
    assert_eq!(pi0_eval(&tolerant).status.code(), Some(0));
    assert_eq!(pi0_eval(&["compare", one, "missing.json"]).status.code(), Some(2));
}

#[test]
fn many_bags_have_a_result_each_and_what_is_finished_is_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().to_str().unwrap();
    let bags = ["mcap_zstd", "mcap_lz4_chunks.mcap", "sqlite3_file_zstd"].map(bag);
    let bags: Vec<&Path> = bags.iter().map(|bag| bag.as_path()).collect();
    let more = ["--output", output, "--jobs", "2", "--no-loss"];
    let first = evaluate(&bags, &more);
    assert!(first.status.success(), "{}", words(&first));
    let results = || -> Vec<(std::path::PathBuf, SystemTime)> {
        let files = std::fs::read_dir(output)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut results: Vec<_> = files
            .filter(|file| {
                file.extension().is_some_and(|end| end == "json") && !file.ends_with("report.json")
            })
            .map(|file| (file.clone(), file.metadata().unwrap().modified().unwrap()))
            .collect();
        results.sort();
        results
    };
    let made = results();
    assert_eq!(made.len(), 3);
    assert_eq!(
        json(&folder.path().join("report.json"))["bags"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    // As after a kill: one result is not there.
    std::fs::remove_file(&made[1].0).unwrap();
    assert!(evaluate(&bags, &more).status.success());
    let again = results();
    assert_eq!((&again[0], &again[2]), (&made[0], &made[2]));
    assert_eq!(again[1].0, made[1].0);
    // Another seed is another evaluation.
    assert!(
        evaluate(&bags, &[&more[..], &["--seed", "1"]].concat())
            .status
            .success()
    );
    assert!(results().iter().zip(&made).all(|(now, before)| now.1 > before.1));
}

#[test]
fn one_bag_that_cannot_be_read_does_not_keep_the_others_from_their_results() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.mcap");
    std::fs::write(&broken, "no bag").unwrap();
    let results = folder.path().join("results");
    let more = ["--output", results.to_str().unwrap(), "--no-loss"];
    let output = evaluate(&[&broken, &bag("mcap_zstd")], &more);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        words(&output).contains("broken.mcap: ") && words(&output).contains("neither MCAP nor"),
        "{}",
        words(&output)
    );
    assert_eq!(
        json(&results.join("report.json"))["bags"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn what_is_wrong_with_the_parameters_is_said_whole() {
    let output = evaluate(
        &[&bag("mcap_zstd")],
        &["-p", "device:=gpu", "-p", "control_rate_hz:=0"],
    );
    let words = words(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        words.contains("device: found \"gpu\"") && words.contains("control_rate_hz: found 0"),
        "{words}"
    );
}
