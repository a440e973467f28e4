//! What is downloaded, and how it survives a bad connection.

use std::fs;
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use pi0_node::checkpoint::hub::HubError;
use pi0_node::checkpoint::{Checkpoint, folder_of};

use crate::server::{COMMIT, Faults, OLD_NAME, REPOSITORY};
use crate::setup::{Setup, small_checkpoint};

/// Ranges that the content network was asked for.
fn ranges(setup: &Setup) -> Vec<Option<String>> {
    let asked = setup.server.take_asked().into_iter();
    let of_weights = asked.filter(|asked| asked.is_of_cdn && asked.what.contains("model.safetensors"));
    of_weights.map(|asked| asked.range).collect()
}

#[test]
fn a_policy_is_downloaded_into_the_layout_of_the_hub_s_cache() {
    let setup = Setup::new();
    let folder = setup.find_whole(REPOSITORY);
    assert_eq!(folder, setup.model_cache().join("snapshots").join(COMMIT));
    assert_eq!(
        fs::read_to_string(setup.model_cache().join("refs/main")).unwrap(),
        COMMIT
    );
    let link = fs::read_link(folder.join("assets/robot/norm_stats.json")).unwrap();
    assert!(link.starts_with("../../../../blobs"), "{link:?}");
    assert!(
        fs::read_link(folder.join("config.json"))
            .unwrap()
            .starts_with("../../blobs")
    );
    for other in ["README.md", "pytorch_model.bin", "training_state"] {
        assert!(!folder.join(other).exists(), "{other}");
    }
    assert!(Checkpoint::open(&folder).is_ok());
}

#[test]
fn a_revision_is_downloaded_under_its_own_name() {
    for (revision, reference) in [
        ("v1.0", true),
        ("refs/pr/1", true),
        ("9e55186", true),
        (COMMIT, false),
    ] {
        let setup = Setup::new();
        let folder = setup.find_whole(&format!("{REPOSITORY}@{revision}"));
        assert!(folder.ends_with(COMMIT));
        let refs = setup.model_cache().join("refs");
        assert_eq!(refs.join(revision).exists(), reference, "{revision}");
        assert!(!refs.join("main").exists());
    }
}

#[test]
fn a_renamed_model_is_found_through_relative_redirects() {
    Setup::new().find_whole(OLD_NAME);
}

#[test]
fn the_token_goes_to_the_hub_and_to_nobody_else() {
    let mut setup = Setup::new();
    setup.hub.token = Some("hf_token".to_owned());
    setup.find_whole(REPOSITORY);
    let asked = setup.server.take_asked();
    assert!(asked.iter().any(|asked| asked.is_of_cdn));
    for asked in asked {
        assert_eq!(asked.has_token, !asked.is_of_cdn, "{asked:?}");
    }
}

#[test]
fn a_transfer_that_breaks_goes_on_where_it_broke() {
    let setup = Setup::new();
    setup.server.set_faults(Faults {
        breaks: Some((1000, 3)),
        ..Faults::default()
    });
    setup.find_whole(REPOSITORY);
    let asked = ranges(&setup);
    let expected = [
        None,
        Some("bytes=1000-"),
        Some("bytes=2000-"),
        Some("bytes=3000-"),
    ];
    assert_eq!(asked, expected.map(|range| range.map(str::to_owned)));
}

#[test]
fn a_transfer_that_was_interrupted_goes_on_in_the_next_start() {
    let setup = Setup::new();
    let folder = setup.find_whole(REPOSITORY);
    let blob = fs::canonicalize(folder.join("model.safetensors")).unwrap();
    let bytes = fs::read(&blob).unwrap();
    fs::remove_file(&blob).unwrap();
    let incomplete = blob.with_extension("incomplete");
    fs::write(&incomplete, &bytes[..5000]).unwrap();
    setup.server.take_asked();
    setup.find_whole(REPOSITORY);
    assert_eq!(ranges(&setup), [Some("bytes=5000-".to_owned())]);
    assert!(!incomplete.exists());
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    let setup = Setup::new();
    setup.server.set_faults(Faults {
        breaks: Some((1000, 2)),
        ignores_ranges: true,
        ..Faults::default()
    });
    setup.find_whole(REPOSITORY);
}

#[test]
fn a_transfer_that_brings_nothing_is_given_up_and_what_arrived_is_kept() {
    let setup = Setup::new();
    setup.server.set_faults(Faults {
        breaks: Some((0, usize::MAX)),
        ..Faults::default()
    });
    let message = setup.refusal(REPOSITORY);
    assert!(
        message.contains("the transfer of model.safetensors breaks off, 5 times in a row"),
        "{message}"
    );
    assert_eq!(ranges(&setup).len(), 5);
    assert!(!setup.model_cache().join("refs/main").exists());
    setup.server.set_faults(Faults::default());
    setup.find_whole(REPOSITORY);
}

#[test]
fn a_hub_that_is_busy_for_a_moment_is_asked_again() {
    let setup = Setup::new();
    setup.server.set_faults(Faults {
        unavailable: 3,
        ..Faults::default()
    });
    setup.find_whole(REPOSITORY);
}

#[test]
fn a_damaged_file_is_refused_and_downloaded_again_in_the_next_start() {
    let setup = Setup::new();
    setup.server.set_faults(Faults {
        damages: true,
        ..Faults::default()
    });
    let error = setup.find(REPOSITORY).unwrap_err();
    assert!(
        matches!(&error, HubError::Damaged { file, what: "its SHA-256", .. } if file == "model.safetensors"),
        "{error}"
    );
    setup.server.set_faults(Faults::default());
    setup.find_whole(REPOSITORY);
}

#[test]
fn what_is_there_is_not_downloaded_again() {
    let setup = Setup::new();
    let folder = setup.find_whole(REPOSITORY);
    setup.server.take_asked();
    fs::remove_file(folder.join("policy_preprocessor.json")).unwrap();
    setup.find_whole(REPOSITORY);
    let asked = setup.server.take_asked();
    assert!(!asked.iter().any(|asked| asked.is_of_cdn), "{asked:?}");
    assert!(
        !asked
            .iter()
            .any(|asked| asked.what.starts_with("GET") && asked.what.contains("resolve")),
        "{asked:?}"
    );
}

#[test]
fn several_at_once_share_one_download() {
    let setup = Setup::new();
    setup.server.set_faults(Faults {
        breaks: Some((2000, 3)),
        ..Faults::default()
    });
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                setup.find_whole(REPOSITORY);
            });
        }
    });
    let received = ranges(&setup).len();
    assert_eq!(received, 4, "three that broke and the last one");
    let incomplete = fs::read_dir(setup.model_cache().join("blobs")).unwrap();
    let mut names = incomplete.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(names.all(|name| !name.ends_with("incomplete")));
}

/// Set in the process of the test below that has the hub in its environment.
const MARK: &str = "PI0_NODE_TEST_HAS_A_HUB";

#[test]
fn a_checkpoint_is_opened_by_its_name() {
    if std::env::var_os(MARK).is_some() {
        let checkpoint = Checkpoint::open(format!("{REPOSITORY}@v1.0")).unwrap();
        assert!(checkpoint.folder().ends_with(COMMIT));
        assert!(pi0_node::open(format!("{REPOSITORY}@v1.0")).is_ok());
        return;
    }
    let setup = Setup::new();
    let name = "downloading::a_checkpoint_is_opened_by_its_name";
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(MARK, "1")
        .env("HF_ENDPOINT", setup.server.endpoint())
        .env("HF_HOME", setup.folder.path())
        .env_remove("HF_HUB_CACHE")
        .env_remove("HF_HUB_OFFLINE")
        .current_dir(setup.folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    setup.find_whole(&format!("{REPOSITORY}@v1.0"));
}

#[test]
fn a_folder_of_this_name_needs_no_hub() {
    let folder = small_checkpoint();
    assert_eq!(folder_of(&folder).unwrap(), folder);
    // Tests run in the package's folder.
    let relative = "tests/fixtures";
    assert_eq!(folder_of(relative).unwrap().to_str(), Some(relative));
}
