//! Rotations equal SciPy's (`tools/pi0_tools/reference/make_rotations.py`).

use pi0_node::pose::{Rotation, RotationRepresentation};
use serde_json::Value;

fn cases() -> Vec<Value> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/rotations.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    let values = value.as_array().unwrap();
    values.iter().map(|number| number.as_f64().unwrap()).collect()
}

fn rotation(value: &Value) -> Rotation {
    Rotation::from_xyzw(numbers(value).try_into().unwrap())
}

#[test]
fn every_representation_is_read_as_scipy_writes_it() {
    use RotationRepresentation::*;
    for case in cases() {
        let expected = rotation(&case["quaternion_xyzw"]);
        for (representation, name) in [
            (AxisAngle, "axis_angle"),
            (QuaternionXyzw, "quaternion_xyzw"),
            (SixD, "rotation_6d"),
            (SixDRows, "rotation_6d_rows"),
            (Rpy, "rpy"),
        ] {
            let values = numbers(&case[name]);
            let found = representation.decode(&values);
            assert!(found.angle_to(expected) < 1e-7, "{name} of {case}: {found:?}");
            // Near half a turn the two directions of an axis are next to each other.
            let written = representation.encode(expected, &values);
            for (written, value) in written.iter().zip(&values) {
                assert!((written - value).abs() < 1e-7, "{name} of {case}: {written}");
            }
        }
        let [x, y, z, w] = expected.xyzw();
        assert!(QuaternionWxyz.decode(&[w, x, y, z]).angle_to(expected) < 1e-12);
    }
}

#[test]
fn products_rotated_vectors_and_the_way_between_two_rotations_are_scipy_s() {
    for case in cases() {
        let one = rotation(&case["quaternion_xyzw"]);
        let other = rotation(&case["other"]);
        assert!(
            (one * other).angle_to(rotation(&case["product"])) < 1e-9,
            "{case}"
        );
        let between = one.slerp(other, case["share"].as_f64().unwrap());
        assert!(between.angle_to(rotation(&case["slerp"])) < 1e-7, "{case}");
        let rotated = one.rotate(numbers(&case["vector"]).try_into().unwrap());
        for (found, expected) in rotated.iter().zip(numbers(&case["rotated"])) {
            assert!((found - expected).abs() < 1e-9, "{case}");
        }
    }
}

#[test]
fn weighted_means_are_scipy_s() {
    for case in cases() {
        let rotations = case["mean_of"].as_array().unwrap().iter().map(rotation);
        let weighted: Vec<(f64, Rotation)> = numbers(&case["weights"]).into_iter().zip(rotations).collect();
        let mean = Rotation::mean(&weighted, 1);
        let apart = mean.angle_to(rotation(&case["mean"]));
        assert!(apart < 1e-4, "{apart} rad apart: {case}");
    }
}
