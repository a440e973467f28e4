use proptest::prelude::*;

use super::*;
use crate::protocol::encode;

fn decoded(message: &[u8]) -> Result<Value<'_>, DecodeError> {
    decode(message, DecodeLimits::default())
}

/// Names of every type of elements.
const DTYPES: [&str; 14] = [
    "|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", ">f4", ">i8",
];

fn array() -> impl Strategy<Value = Value<'static>> {
    let shape = prop::collection::vec(0usize..4, 0..4);
    (0..DTYPES.len(), shape, any::<u8>()).prop_map(|(dtype, shape, byte)| {
        let dtype = Dtype::from_numpy(DTYPES[dtype]).unwrap();
        let bytes = shape.iter().product::<usize>() * dtype.size();
        Array::new(dtype, shape, vec![byte; bytes]).unwrap().into()
    })
}

fn value() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| Value::Integer(number.into())),
        any::<u64>().prop_map(|number| Value::Integer(number.into())),
        (-300i128..300).prop_map(Value::Integer),
        (-1e300f64..1e300).prop_map(Value::Float),
        ".{0,40}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Value::Bytes(bytes.into())),
        array(),
    ];
    leaf.prop_recursive(4, 64, 20, |inner| {
        let name = "[a-z/]{0,8}".prop_map(Cow::from);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::List),
            prop::collection::vec((name, inner), 0..20).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_is_decoded_as_it_was_encoded(value in value()) {
        let message = encode(&value);
        prop_assert_eq!(decoded(&message), Ok(value));
    }

    #[test]
    fn a_message_that_ends_early_is_refused(value in value(), share in 0.0..1.0f64) {
        let message = encode(&value);
        let end = (message.len() as f64 * share) as usize;
        prop_assert!(decoded(&message[..end]).is_err());
    }

    #[test]
    fn no_bytes_at_all_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decoded(&bytes);
    }

    #[test]
    fn a_changed_byte_does_not_panic(value in value(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut message = encode(&value);
        let place = place.index(message.len());
        message[place] = byte;
        let _ = decoded(&message);
    }
}

#[test]
fn maps_and_lists_are_not_deeper_than_the_limit() {
    let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
    assert!(decoded(&nested(16)).is_ok());
    assert_eq!(decoded(&nested(17)), Err(DecodeError::Depth(16)));
    assert_eq!(decoded(&nested(1_000_000)), Err(DecodeError::Depth(16)));
}

#[test]
fn a_length_that_the_message_does_not_have_is_refused_before_anything_is_allocated() {
    let limits = DecodeLimits {
        values: usize::MAX,
        ..DecodeLimits::default()
    };
    for marker in [0xdd, 0xdf, 0xdb, 0xc6] {
        let message = [marker, 0xff, 0xff, 0xff, 0xff, 0xc0];
        assert_eq!(
            decode(&message, limits),
            Err(DecodeError::Truncated { at: 6 }),
            "{marker:#x}"
        );
    }
}

#[test]
fn values_are_counted_over_all_maps_and_lists() {
    let limits = DecodeLimits { depth: 4, values: 5 };
    let list = |count: usize| Value::List(vec![Value::Nil; count]);
    assert!(decode(&encode(&Value::List(vec![list(1), list(2)])), limits).is_ok());
    let message = encode(&Value::List(vec![list(2), list(2)]));
    assert_eq!(decode(&message, limits), Err(DecodeError::Values(5)));
}

#[test]
fn bytes_behind_the_value_extensions_and_names_that_are_no_texts_are_refused() {
    assert_eq!(decoded(&[0xc0, 0xc0]), Err(DecodeError::Trailing(1)));
    assert!(matches!(
        decoded(&[0xd4, 1, 2]),
        Err(DecodeError::Type { at: 0, .. })
    ));
    assert!(matches!(decoded(&[0xc1]), Err(DecodeError::Type { at: 0, .. })));
    assert!(matches!(
        decoded(&[0x81, 0x01, 0xc0]),
        Err(DecodeError::Name { at: 1, .. })
    ));
    assert!(matches!(decoded(&[0xa1, 0xff]), Err(DecodeError::Text { at: 1 })));
}

/// The message of an array with these parts.
fn array_message(dtype: &'static str, shape: Value<'static>, data: Value<'static>) -> Vec<u8> {
    encode(&Value::map([
        ("__ndarray__", Value::Bool(true)),
        ("data", data),
        ("dtype", dtype.into()),
        ("shape", shape),
    ]))
}

fn bytes(count: usize) -> Value<'static> {
    Value::Bytes(vec![0; count].into())
}

fn lengths(lengths: &[i128]) -> Value<'static> {
    Value::List(lengths.iter().map(|&length| Value::Integer(length)).collect())
}

#[test]
fn an_array_that_is_none_is_refused_with_the_part() {
    assert!(decoded(&array_message("<f4", lengths(&[2]), bytes(8))).is_ok());
    for (message, part) in [
        (array_message("<f4", lengths(&[3]), bytes(8)), "[3]"),
        (array_message("<f4", lengths(&[-2]), bytes(8)), "shape"),
        (
            array_message("<f4", lengths(&[i128::from(i64::MAX), 4]), bytes(8)),
            "8 bytes",
        ),
        (array_message("<f4", Value::Nil, bytes(8)), "shape"),
        (array_message("<f4", lengths(&[2]), "12345678".into()), "data"),
        (array_message("|O", lengths(&[1]), bytes(8)), "\"|O\""),
        (encode(&Value::map([("__ndarray__", Value::Bool(true))])), "dtype"),
        (
            encode(&Value::map([
                ("__npgeneric__", Value::Bool(true)),
                ("dtype", "|O".into()),
            ])),
            "\"|O\"",
        ),
        (
            encode(&Value::map([
                ("__npgeneric__", Value::Bool(true)),
                ("dtype", "<f4".into()),
            ])),
            "data",
        ),
    ] {
        let refused = decoded(&message).unwrap_err().to_string();
        assert!(refused.contains(part), "{part} in {refused}");
    }
}
