//! Messages that openpi's own `msgpack_numpy` packed (`tools/pi0_tools/reference/make_openpi_messages.py`).

use std::fs;
use std::path::Path;

use pi0_node::protocol::{
    Answer, Array, DecodeLimits, Dtype, KeyPreset, ObservationKeys, Value, decode, encode,
};

fn message(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/openpi/messages");
    fs::read(folder.join(format!("{name}.msgpack"))).unwrap()
}

fn decoded(message: &[u8]) -> Value<'_> {
    decode(message, DecodeLimits::default()).unwrap()
}

const OBSERVATIONS: [(&str, KeyPreset); 3] = [
    ("aloha", KeyPreset::Aloha),
    ("droid", KeyPreset::Droid),
    ("libero", KeyPreset::Libero),
];

#[test]
fn arrays_of_every_type_are_the_numbers_that_numpy_had() {
    let message = message("arrays");
    let value = decoded(&message);
    let Value::Map(entries) = &value else {
        panic!("{value:?}")
    };
    let array = |name: &str| match value.get(name) {
        Some(Value::Array(array)) => array.clone(),
        other => panic!("{name}: {other:?}"),
    };
    let mut seen = 0;
    for (name, _) in entries {
        let Some(dtype) = name.strip_prefix("array_") else {
            continue;
        };
        let array = array(name);
        let expected = (0..12).map(|value| f64::from(i32::abs(value - 3)));
        let expected: Vec<f64> = match dtype {
            "?" => expected.map(|value| value.min(1.0)).collect(),
            _ => expected.collect(),
        };
        assert_eq!(array.to_f64(), expected, "{name}");
        assert_eq!(array.shape(), [2, 3, 2], "{name}");
        seen += 1;
    }
    assert_eq!(seen, 15);
    let strided = array("not_contiguous");
    assert_eq!(strided.shape(), [2, 2, 3]);
    assert_eq!(
        strided.to_f32(),
        [-3.0, -1.0, 1.0, 3.0, 5.0, 7.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0]
    );
    assert_eq!(
        (array("scalar_array").shape(), array("scalar_array").to_f64()),
        (&[][..], vec![0.25])
    );
    assert_eq!(
        (array("no_elements").shape(), array("no_elements").dtype()),
        (&[0, 7][..], Dtype::F32)
    );
}

#[test]
fn a_message_is_packed_to_the_bytes_that_openpi_packs_it_to() {
    for name in [
        "arrays", "aloha", "droid", "libero", "numbers", "texts", "nested", "answer",
    ] {
        let message = message(name);
        assert_eq!(encode(&decoded(&message)), message, "{name}");
    }
}

#[test]
fn numbers_texts_and_scalars_are_those_that_python_had() {
    let numbers = [0, 127, 128, -1, -33, 1i128 << 31, -(1 << 63), (1 << 64) - 1];
    let mut expected: Vec<Value<'_>> = numbers.map(Value::Integer).into();
    expected.extend([Value::Float(0.1), Value::Bool(true), Value::Nil]);
    assert_eq!(decoded(&message("numbers")), Value::List(expected));
    let expected = Value::map([
        ("f4", Value::Float(0.5)),
        ("i8", Value::Integer(-7)),
        ("bool", Value::Bool(true)),
        ("f8", Value::Float(1e300)),
    ]);
    assert_eq!(decoded(&message("scalars")), expected);
    let texts = message("texts");
    let Value::List(texts) = decoded(&texts) else {
        panic!("no list")
    };
    assert_eq!(texts[1].text(), Some("öpen the drawer"));
    assert_eq!(texts[3], Value::Bytes(b"\x00\xff".as_slice().into()));
}

#[test]
fn the_examples_of_openpi_s_robots_are_observations() {
    let slots = ["base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb"];
    for (name, preset) in OBSERVATIONS {
        let message = message(name);
        let observation = decoded(&message);
        let cameras = if name == "aloha" { 3 } else { 2 };
        let keys = ObservationKeys::new(preset, slots[..cameras].iter().map(|&slot| (slot, false)));
        let images = keys.images(&observation).unwrap();
        let expected: Vec<u8> = (0..60).collect();
        assert_eq!(images["base_0_rgb"].as_raw(), &expected, "{name}");
        assert_eq!(images["base_0_rgb"].dimensions(), (5, 4), "{name}");
        if name == "aloha" {
            // In planes, as numbers from 0 to 1 and as bytes.
            for (slot, most) in [("left_wrist_0_rgb", 1), ("right_wrist_0_rgb", 0)] {
                let values = images[slot].iter().zip(&expected);
                assert!(values.into_iter().all(|(a, b)| a.abs_diff(*b) <= most), "{slot}");
            }
        } else {
            assert_eq!(
                images["left_wrist_0_rgb"].as_raw()[..15],
                expected[45..],
                "{name}"
            );
        }
        let state = keys.state(&observation).unwrap();
        let ends = match name {
            "aloha" => (14, -1.0, 1.0),
            "droid" => (8, 0.0, 0.75),
            _ => (8, 0.0, 0.7),
        };
        assert_eq!((state.len(), state[0], state[state.len() - 1]), ends, "{name}");
        assert_eq!(
            keys.prompt(&observation).unwrap().as_deref(),
            Some("do something"),
            "{name}"
        );
    }
}

#[test]
fn an_observation_is_written_as_openpi_s_clients_write_it() {
    for (name, preset) in OBSERVATIONS {
        let message = message(name);
        let theirs = decoded(&message);
        let cameras: &[&str] = match name {
            "aloha" => &["cam_high", "cam_left_wrist", "cam_right_wrist"],
            "droid" => &["exterior_image_1_left", "wrist_image_left"],
            _ => &["image", "wrist_image"],
        };
        let keys = ObservationKeys::new(preset, cameras.iter().map(|&camera| (camera, false)));
        let state = keys.state(&theirs).unwrap();
        let picture = Array::new(Dtype::U8, vec![1, 1, 3], vec![0; 3]).unwrap();
        let pictures = cameras.iter().map(|&camera| (camera, picture.clone().into()));
        let ours = keys.observation(pictures, &state, "do something");
        assert_eq!(names(&ours), names(&theirs), "{name}");
        assert_eq!(keys.state(&ours).unwrap(), state);
    }
}

/// Names of all values, with those of maps in maps.
fn names(value: &Value<'_>) -> Vec<String> {
    let Value::Map(entries) = value else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (name, value) in entries {
        all.push(name.to_string());
        all.extend(names(value).into_iter().map(|inner| format!("{name} > {inner}")));
    }
    all.sort();
    all
}

#[test]
fn an_answer_of_openpi_s_server_is_read() {
    let message = message("answer");
    let answer = Answer::from_value(&decoded(&message)).unwrap();
    assert_eq!(answer.shape, [3, 2]);
    for (value, expected) in answer.actions.iter().zip([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0]) {
        assert!((value - expected).abs() < 1e-6);
    }
    assert_eq!(answer.timing.server.as_micros(), 13_250);
    assert_eq!(answer.timing.previous_total.unwrap().as_millis(), 14);
    assert_eq!(answer.timing.policy.as_micros(), 12_500);
}
