//! The same cache as the Python package `huggingface_hub` has: each reads what the other downloaded. Not run by
//! itself: PI0_HUGGINGFACE_HUB_PYTHON=/path/to/python cargo test --test hub -- --ignored

use std::fs;
use std::process::Command;

use crate::server::{COMMIT, Faults, REPOSITORY, files_of};
use crate::setup::{Setup, small_checkpoint};

/// Runs `snapshot_download` in Python against the server, with these further arguments. The folder that it returns.
fn snapshot_download(setup: &Setup, arguments: &str) -> String {
    let python = std::env::var("PI0_HUGGINGFACE_HUB_PYTHON").expect("a Python that has huggingface_hub");
    let output = Command::new(python)
        .arg("-c")
        .arg(format!(
            "from huggingface_hub import snapshot_download; print(snapshot_download('{REPOSITORY}', {arguments}))"
        ))
        .env("HF_ENDPOINT", setup.server.endpoint())
        .env("HF_HUB_CACHE", &setup.hub.cache)
        .env("HF_HUB_DISABLE_XET", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs PI0_HUGGINGFACE_HUB_PYTHON"]
fn huggingface_hub_reads_what_was_downloaded_here() {
    let setup = Setup::new();
    let folder = setup.find_whole(REPOSITORY);
    setup.server.take_asked();
    for revision in ["main", COMMIT] {
        let arguments = format!("revision='{revision}', local_files_only=True");
        assert_eq!(snapshot_download(&setup, &arguments), folder.to_str().unwrap());
    }
    assert_eq!(setup.server.take_asked(), []);
    // Online it downloads only what no policy needs.
    assert_eq!(snapshot_download(&setup, ""), folder.to_str().unwrap());
    let asked = setup.server.take_asked().into_iter();
    let mut received: Vec<String> = asked
        .filter(|asked| asked.what.contains("GET"))
        .map(|asked| asked.what)
        .collect();
    received.retain(|what| {
        files_of(&small_checkpoint())
            .keys()
            .any(|file| what.contains(file))
    });
    assert_eq!(received, [] as [String; 0]);
}

#[test]
#[ignore = "needs PI0_HUGGINGFACE_HUB_PYTHON"]
fn what_huggingface_hub_downloaded_needs_no_hub_here() {
    let mut setup = Setup::new();
    let folder = snapshot_download(&setup, "revision='v1.0'");
    setup.hub.is_offline = true;
    for revision in ["v1.0", COMMIT, "9e55186"] {
        assert_eq!(
            setup.find_whole(&format!("{REPOSITORY}@{revision}")).to_str(),
            Some(&*folder)
        );
    }
}

#[test]
#[ignore = "needs PI0_HUGGINGFACE_HUB_PYTHON"]
fn both_complete_what_the_other_began() {
    let setup = Setup::new();
    snapshot_download(&setup, "allow_patterns=['config.json', 'tokenizer.json']");
    let folder = setup.find_whole(REPOSITORY);
    fs::remove_file(fs::canonicalize(folder.join("model.safetensors")).unwrap()).unwrap();
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    setup.server.set_faults(Faults {
        breaks: Some((1000, 1)),
        ..Faults::default()
    });
    snapshot_download(&setup, "");
    setup.find_whole(REPOSITORY);
}
