//! Connections that go wrong, on either side.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use pi0_node::policy::{
    ActionPrefix, Conditioning, Guidance, Policy, PolicyError, RemoteError, RemoteOptions, open_remote,
};
use pi0_node::protocol::{Answer, Array, Dtype, Timing, Value, encode};
use pi0_node::server::{ServerError, ServerOptions};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept, client::client_with_config};

use crate::running::{HORIZON, PATIENCE, Running, client, observation, options, remote, stand_in};

type Socket = WebSocket<TcpStream>;

/// A client that is none of ours.
pub fn connect(address: SocketAddr) -> Socket {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let config = WebSocketConfig::default();
    let (mut socket, _) = client_with_config(format!("ws://{address}"), stream, Some(config)).unwrap();
    assert!(
        matches!(socket.read().unwrap(), Message::Binary(_)),
        "the metadata"
    );
    socket
}

pub fn send(socket: &mut Socket, value: &Value<'_>) {
    socket.send(Message::binary(encode(value))).unwrap();
}

/// The text of the next message.
pub fn receive(socket: &mut Socket) -> String {
    match socket.read().unwrap() {
        Message::Text(text) => text.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn frame() -> Value<'static> {
    Array::new(Dtype::U8, vec![1, 1, 3], vec![0; 3]).unwrap().into()
}

/// An observation of the stand-in's robot that lacks the prompt.
pub fn without_prompt() -> Value<'static> {
    Value::map([
        ("images", Value::map([("top", frame())])),
        ("state", Array::of_f32(&[0.0, 0.0], vec![2]).into()),
    ])
}

/// Waits until the condition is met.
fn until(what: &str, mut is_met: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_met() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A client whose link is watched.
fn watched(options: RemoteOptions) -> (Box<dyn Policy + Send>, Arc<Mutex<Option<String>>>) {
    let mut client = open_remote(options).unwrap();
    let lost = Arc::<Mutex<Option<String>>>::default();
    let seen = Arc::clone(&lost);
    client.report_server(Box::new(move |reason| *seen.lock().unwrap() = reason));
    (client, lost)
}

#[test]
fn messages_that_are_no_observations_are_told_and_end_the_connection_with_1011() {
    let server = Running::start(stand_in(), options());
    for (message, words) in [
        (vec![0xc1], "type Reserved"),
        (encode(&Value::map([])), "no camera top"),
        (encode(&without_prompt()), "no prompt"),
        (
            encode(&Value::map([("images", Value::map([("top", Value::Nil)]))])),
            "camera top",
        ),
    ] {
        let mut socket = connect(server.address);
        socket.send(Message::binary(message)).unwrap();
        let text = receive(&mut socket);
        assert!(text.contains(words), "{words} in {text}");
        let Message::Close(Some(frame)) = socket.read().unwrap() else {
            panic!("it is not closed");
        };
        assert_eq!(u16::from(frame.code), 1011);
    }
    server.stop().unwrap();
}

#[test]
fn a_message_that_is_too_long_ends_the_connection() {
    let short = ServerOptions {
        max_message_bytes: 1000,
        ..options()
    };
    let server = Running::start(stand_in(), short);
    let mut socket = connect(server.address);
    socket.send(Message::binary(vec![0; 1001])).unwrap();
    let Message::Close(Some(frame)) = socket.read().unwrap() else {
        panic!("it is not closed");
    };
    assert_eq!(u16::from(frame.code), 1009);
    server.stop().unwrap();
}

#[test]
fn clients_that_say_nothing_and_those_that_send_too_slowly_are_dropped() {
    let impatient = ServerOptions {
        client_patience: Duration::from_millis(200),
        ..options()
    };
    let server = Running::start(stand_in(), impatient);
    // Says nothing at all, not even what it wants.
    let mut mute = TcpStream::connect(server.address).unwrap();
    mute.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    mute.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // Begins a message of 100 bytes, sends one byte at a time, and answers no ping.
    let mut slow = connect(server.address);
    let stream = slow.get_mut();
    stream.write_all(&[0x82, 0x80 | 100, 0, 0, 0, 0]).unwrap();
    let began = Instant::now();
    while stream.write_all(&[0]).is_ok() {
        assert!(began.elapsed() < PATIENCE, "it is not dropped");
        thread::sleep(Duration::from_millis(50));
    }
    server.stop().unwrap();
}

#[test]
fn a_client_whose_connection_lives_may_wait_with_its_next_observation() {
    let impatient = ServerOptions {
        client_patience: Duration::from_millis(150),
        ..options()
    };
    let server = Running::start(stand_in(), impatient);
    let mut client = open_remote(RemoteOptions {
        max_silence: Duration::from_millis(100),
        ..remote(server.address)
    })
    .unwrap();
    client.predict(&observation(1, "wave")).unwrap();
    thread::sleep(Duration::from_millis(600));
    client.predict(&observation(1, "wave")).unwrap();
    server.stop().unwrap();
}

#[test]
fn a_policy_that_panics_ends_the_server() {
    let server = Running::start(stand_in(), options());
    client(&server).predict(&observation(1, "panic")).unwrap_err();
    assert!(matches!(server.ended(), Err(ServerError::PolicyEnded)));
}

#[test]
fn a_server_that_ends_is_lost_until_it_is_there_again() {
    let server = Running::start(stand_in(), options());
    let address = server.address;
    let (mut client, lost) = watched(remote(address));
    client.predict(&observation(1, "wave")).unwrap();
    server.stop().unwrap();
    until("the loss is noticed without a request", || {
        lost.lock().unwrap().is_some()
    });
    let error = client.predict(&observation(1, "wave")).unwrap_err();
    assert!(
        matches!(error, PolicyError::Remote(RemoteError::Lost { .. })),
        "{error}"
    );
    let again = ServerOptions { address, ..options() };
    let server = Running::start(stand_in(), again);
    until("it is found again", || lost.lock().unwrap().is_none());
    client.predict(&observation(1, "wave")).unwrap();
    server.stop().unwrap();
}

#[test]
fn another_policy_at_the_same_address_is_not_the_one_that_was_lost() {
    let server = Running::start(stand_in(), options());
    let address = server.address;
    let (client, lost) = watched(remote(address));
    server.stop().unwrap();
    until("the loss is noticed", || lost.lock().unwrap().is_some());
    let mut other = crate::common::stand_in::StandIn {
        info: crate::running::info(),
        predict: |_: &pi0_node::Observation| unreachable!("nobody asks"),
    };
    other.info.description = "another".to_owned();
    let server = Running::start(Box::new(other), ServerOptions { address, ..options() });
    until("the other one is seen", || {
        let reason = lost.lock().unwrap().clone();
        reason.is_some_and(|reason| reason.contains("another policy than before"))
    });
    drop(client);
    server.stop().unwrap();
}

/// A server that answers as `answer` does, every connection on a thread, with the number of the connection from 0.
fn scripted(answer: impl Fn(usize, &mut Socket) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                let mut socket = accept(stream.unwrap()).unwrap();
                socket.send(Message::binary(encode(&Value::map([])))).unwrap();
                answer(number, &mut socket);
            });
        }
    });
    address
}

fn answer_with(socket: &mut Socket, value: f32) {
    let answer = Answer {
        actions: vec![value; 2 * HORIZON],
        shape: [HORIZON, 2],
        timing: Timing::default(),
    };
    // The client may have left.
    let _ = socket.send(Message::binary(encode(&answer.to_value())));
}

/// Reads until the next observation; false when the client has left.
fn observed(socket: &mut Socket) -> bool {
    loop {
        match socket.read() {
            Ok(Message::Binary(_)) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

#[test]
fn a_late_answer_is_never_that_of_the_next_observation() {
    let address = scripted(|number, socket| {
        if number == 0 {
            // The first chunk of a server that tells nothing, then one in time and one too late.
            for value in [0.0, 1.0] {
                assert!(observed(socket));
                answer_with(socket, value);
            }
            assert!(observed(socket));
            thread::sleep(Duration::from_millis(400));
            answer_with(socket, 2.0);
        } else {
            while observed(socket) {
                answer_with(socket, 3.0);
            }
        }
    });
    let strict = RemoteOptions {
        deadline: Duration::from_millis(150),
        ..remote(address)
    };
    let (mut client, lost) = watched(strict);
    assert_eq!(client.predict(&observation(1, "wave")).unwrap().values()[0], 1.0);
    let began = Instant::now();
    let error = client.predict(&observation(1, "wave")).unwrap_err().to_string();
    assert!(
        began.elapsed() < Duration::from_millis(350),
        "the deadline is not waited beyond"
    );
    assert!(error.contains("does not answer in time"), "{error}");
    assert!(lost.lock().unwrap().is_some());
    let mut newest = None;
    until("it is answered again", || {
        newest = client.predict(&observation(1, "wave")).ok();
        newest.is_some()
    });
    assert_eq!(newest.unwrap().values()[0], 3.0);
}

#[test]
fn a_server_that_tells_nothing_is_asked_for_a_chunk_and_takes_neither_pngs_nor_prefixes() {
    let address = scripted(|_, socket| {
        while observed(socket) {
            answer_with(socket, 1.0);
        }
    });
    let mut client = open_remote(remote(address)).unwrap();
    assert_eq!(client.info().action_horizon, HORIZON);
    let guided = Conditioning::Guided {
        guidance: Guidance::default(),
        inference_delay: 1,
    };
    for conditioning in [Conditioning::Inpainted, guided] {
        let prefix = ActionPrefix {
            actions: pi0_node::ActionChunk::new(vec![0.0; 2], 2),
            conditioning,
        };
        let refused = client
            .predict_after(&observation(1, "wave"), &prefix)
            .unwrap_err();
        assert!(matches!(refused, PolicyError::CannotContinue(_)));
        let refused = refused.to_string();
        assert!(
            refused.contains("chunk_blending") && refused.contains(&address.to_string()),
            "{refused}"
        );
    }
    let compressed = RemoteOptions {
        images: pi0_node::protocol::PictureFormat::Png,
        ..remote(address)
    };
    let refused = open_remote(compressed).err().unwrap().to_string();
    assert!(refused.contains("set server_images to raw"), "{refused}");
    let wrong = RemoteOptions {
        action_dim: 7,
        ..remote(address)
    };
    let refused = open_remote(wrong).err().unwrap().to_string();
    assert!(refused.contains("actions have 2 values, expected 7"), "{refused}");
}

#[test]
fn actions_that_are_no_numbers_or_of_another_shape_are_refused() {
    let address = scripted(|_, socket| {
        assert!(observed(socket));
        answer_with(socket, 0.0);
        assert!(observed(socket));
        answer_with(socket, f32::NAN);
        assert!(observed(socket));
        let short = Answer {
            actions: vec![0.0; 2],
            shape: [1, 2],
            timing: Timing::default(),
        };
        socket.send(Message::binary(encode(&short.to_value()))).unwrap();
        observed(socket);
    });
    let mut client = open_remote(remote(address)).unwrap();
    let error = client.predict(&observation(1, "wave")).unwrap_err();
    assert!(error.is_not_finite(), "{error}");
    let error = client.predict(&observation(1, "wave")).unwrap_err().to_string();
    assert!(error.contains("[1, 2], expected [4, 2]"), "{error}");
}

#[test]
fn a_server_that_falls_silent_without_a_word_is_lost_within_the_longest_silence() {
    let address = scripted(|number, socket| {
        assert!(observed(socket));
        answer_with(socket, 0.0);
        if number == 0 {
            // Neither reads nor writes: as after a cable was pulled.
            thread::sleep(PATIENCE);
        }
    });
    let (_client, lost) = watched(RemoteOptions {
        max_silence: Duration::from_millis(200),
        ..remote(address)
    });
    let began = Instant::now();
    until("the loss is noticed", || lost.lock().unwrap().is_some());
    assert!(
        began.elapsed() < Duration::from_millis(1000),
        "{:?}",
        began.elapsed()
    );
}
