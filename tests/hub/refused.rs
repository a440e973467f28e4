//! What the hub refuses, and what a cache does, in one message each.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::server::{GATED, REPOSITORY, Server, TOKEN};
use crate::setup::Setup;

fn refused_with(setup: &Setup, name: &str, words: &[&str]) {
    let message = setup.refusal(name);
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn a_wrong_name_is_neither_a_folder_nor_a_model() {
    let mut setup = Setup::new();
    let neither = "there is no folder of this name, and no model of this name on http://";
    refused_with(
        &setup,
        "lerobot/pi0_smal",
        &[neither, "set HF_TOKEN if the model is private"],
    );
    setup.hub.token = Some("hf_token".to_owned());
    refused_with(&setup, "lerobot/pi0_smal", &[neither, "that this token may read"]);
}

#[test]
fn a_wrong_revision_is_named() {
    let words = ["lerobot/pi0_small has no branch, tag or commit \"v9\""];
    refused_with(&Setup::new(), &format!("{REPOSITORY}@v9"), &words);
}

#[test]
fn a_gated_model_needs_its_licence_accepted_and_a_token() {
    let mut setup = Setup::new();
    let licence = format!(
        "accept its licence at {}/{GATED}, then set HF_TOKEN",
        setup.server.endpoint()
    );
    refused_with(&setup, GATED, &[&licence, "hf auth login"]);
    setup.hub.token = Some("hf_of_somebody_else".to_owned());
    refused_with(&setup, GATED, &[&licence, "the present token has no access"]);
    setup.hub.token = Some(TOKEN.to_owned());
    setup.find_whole(GATED);
}

#[test]
fn a_repository_without_a_policy_is_refused_with_its_files() {
    let mut setup = Setup::new();
    let files = ["README.md", "params/_METADATA", "pytorch_model.bin"];
    setup.server = Server::start(BTreeMap::from(files.map(|file| (file.to_owned(), Vec::new()))));
    setup.hub.endpoint = setup.server.endpoint();
    refused_with(
        &setup,
        REPOSITORY,
        &[
            "no weights in safetensors",
            "README.md, params/_METADATA, pytorch_model.bin",
        ],
    );
    assert!(!setup.hub.cache.exists());
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let setup = Setup::new();
    fs::write(&setup.hub.cache, "a file in the place of the folder").unwrap();
    refused_with(
        &setup,
        REPOSITORY,
        &["cannot be written", "set HF_HUB_CACHE to another folder"],
    );
}

#[test]
fn a_server_that_is_no_hub_is_said_to_be_none() {
    let mut setup = Setup::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    setup.hub.endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let page = "<html>Please log in to the guests' network";
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}",
            page.len()
        )
        .unwrap();
    });
    refused_with(
        &setup,
        REPOSITORY,
        &["does not answer as a hub does", "its listing"],
    );
    server.join().unwrap();
}
