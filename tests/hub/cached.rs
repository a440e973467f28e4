//! The cache is used before the hub, and without it.

use std::fs;

use crate::server::{COMMIT, REPOSITORY};
use crate::setup::Setup;

#[test]
fn a_model_that_is_cached_needs_no_hub() {
    let mut setup = Setup::new();
    let folder = setup.find_whole(REPOSITORY);
    setup.server.take_asked();
    for endpoint in [setup.server.endpoint(), "http://127.0.0.1:1".to_owned()] {
        setup.hub.endpoint = endpoint;
        for revision in ["", "@main", "@9e55186", &format!("@{COMMIT}")] {
            assert_eq!(setup.find_whole(&format!("{REPOSITORY}{revision}")), folder);
        }
    }
    setup.hub.is_offline = true;
    assert_eq!(setup.find_whole(REPOSITORY), folder);
    assert_eq!(setup.server.take_asked(), []);
}

#[test]
fn without_a_network_the_part_that_is_cached_is_used() {
    let mut setup = Setup::new();
    let folder = setup.find_whole(REPOSITORY);
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    setup.hub.endpoint = "http://127.0.0.1:1".to_owned();
    assert_eq!(setup.find(REPOSITORY).unwrap(), folder);
}

#[test]
fn what_is_not_cached_is_said_to_be_so() {
    let mut setup = Setup::new();
    setup.hub.endpoint = "http://127.0.0.1:1".to_owned();
    let message = setup.refusal(REPOSITORY);
    assert!(
        message.contains("http://127.0.0.1:1 cannot be reached"),
        "{message}"
    );
    assert!(message.contains("there is no folder of this name"), "{message}");
    setup.hub.is_offline = true;
    let message = setup.refusal(&format!("{REPOSITORY}@v1.0"));
    assert!(message.contains("HF_HUB_OFFLINE is set"), "{message}");
    assert!(
        message.contains("`hf download lerobot/pi0_small --revision v1.0`"),
        "{message}"
    );
}
