//! Keys, TLS and addresses.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use pi0_node::policy::{RemoteOptions, open_remote};
use pi0_node::server::{ApiKey, Server, ServerError, ServerOptions};
use tempfile::TempDir;

use crate::running::{PATIENCE, Running, observation, options, remote, stand_in};

const KEY: &str = "a key of the tests";

fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let file = folder.path().join(name);
    fs::write(&file, text).unwrap();
    file
}

fn http(running: &Running, request: &str) -> String {
    let mut stream = TcpStream::connect(running.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn only_clients_with_the_key_are_served_and_anybody_may_ask_for_health() {
    let folder = tempfile::tempdir().unwrap();
    let key = file(&folder, "key", KEY);
    let with_key = ServerOptions {
        api_key: Some(ApiKey::read(&key).unwrap()),
        ..options()
    };
    let server = Running::start(stand_in(), with_key);
    let refused = open_remote(remote(server.address)).err().unwrap().to_string();
    assert!(
        refused.contains("401") && refused.contains("Api-Key"),
        "{refused}"
    );
    let wrong = RemoteOptions {
        api_key_file: Some(file(&folder, "wrong", "a key of the texts")),
        ..remote(server.address)
    };
    assert!(open_remote(wrong).is_err());
    let right = RemoteOptions {
        api_key_file: Some(key),
        ..remote(server.address)
    };
    open_remote(right)
        .unwrap()
        .predict(&observation(1, "wave"))
        .unwrap();
    let health = http(&server, "GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n");
    assert!(
        health.starts_with("HTTP/1.1 200 OK\r\n") && health.ends_with("OK\n"),
        "{health}"
    );
    server.stop().unwrap();
}

#[test]
fn an_address_that_others_reach_needs_a_key_unless_none_is_wanted() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let open = ServerOptions {
        address: "0.0.0.0:0".parse().unwrap(),
        ..options()
    };
    let refused = runtime.block_on(Server::bind(open.clone()));
    assert!(matches!(refused.err(), Some(ServerError::OpenToAll(_))));
    let wanted = ServerOptions {
        is_open_to_all: true,
        ..open
    };
    assert!(runtime.block_on(Server::bind(wanted)).is_ok());
}

#[test]
fn a_server_with_tls_is_trusted_by_its_authority_alone() {
    let folder = tempfile::tempdir().unwrap();
    let certified = |name: &str| {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = file(&folder, &format!("{name}.pem"), &certified.cert.pem());
        let key = file(
            &folder,
            &format!("{name}_key.pem"),
            &certified.signing_key.serialize_pem(),
        );
        (certificate, key)
    };
    let (ours, other) = (certified("ours"), certified("other"));
    let with_tls = ServerOptions {
        tls_files: Some(ours.clone()),
        ..options()
    };
    let server = Running::start(stand_in(), with_tls);
    let trusting = |ca_file: Option<PathBuf>| RemoteOptions {
        server: format!("wss://localhost:{}", server.address.port()),
        ca_file,
        ..remote(server.address)
    };
    let mut client = open_remote(trusting(Some(ours.0))).unwrap();
    client.predict(&observation(1, "wave")).unwrap();
    for stranger in [Some(other.0), None] {
        let refused = open_remote(trusting(stranger)).err().unwrap().to_string();
        assert!(refused.contains("certificate"), "{refused}");
    }
    // Without TLS nothing is served.
    assert!(open_remote(remote(server.address)).is_err());
    drop(client);
    server.stop().unwrap();
}

#[test]
fn files_and_addresses_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = |server: &str| RemoteOptions {
        server: server.to_owned(),
        ..remote("127.0.0.1:1")
    };
    for (options, words) in [
        (server("http://here:1"), "expected ws://host:port"),
        (server("ws://"), "expected ws://host:port"),
        (server("ws://127.0.0.1:1"), "refused"),
        (
            RemoteOptions {
                api_key_file: Some(folder.path().join("missing")),
                ..server("ws://127.0.0.1:1")
            },
            "missing cannot be read",
        ),
        (
            RemoteOptions {
                ca_file: Some(file(&folder, "empty.pem", "no certificate")),
                ..server("wss://127.0.0.1:1")
            },
            "no certificate in PEM",
        ),
        (
            RemoteOptions {
                ca_file: Some(folder.path().join("ca.pem")),
                ..server("ws://127.0.0.1:1")
            },
            "only wss:// has certificates",
        ),
    ] {
        let refused = open_remote(options).err().unwrap().to_string();
        assert!(refused.contains(words), "{words} in {refused}");
    }
}
