//! The Rust types that parameters have.

use super::ParameterValue;
use super::policy_device::PolicyDevice;
use super::runtime_settings::SecondGoal;
use crate::control::{BlendingStrategy, OutputKind, RtcMode};
use crate::device::{AttentionSoftmax, Precision, TuningLevel};
use crate::observation::{ChannelOrder, ExtraStateKind, Transport};
use crate::policy::{
    ActionMode, Crop, DeltaFrame, ImageBars, OpenpiNormalisation, PrefixAttentionSchedule, Resize,
    RobotPreset, StateInPrompt,
};
use crate::pose::{PositionAxes, RotationRepresentation};
use crate::protocol::{KeyPreset, PictureFormat};

/// A Rust type that a parameter can have.
pub trait Typed: Clone {
    /// The texts of every value, where the type is an enumeration.
    const CHOICES: &'static [&'static str] = &[];
    /// What the type demands of a value beyond its ROS type, in words.
    const SHAPE: &'static str = "";

    /// The value as ROS holds it.
    fn to_value(&self) -> ParameterValue;

    /// None for a value of another ROS type or shape.
    fn from_value(value: &ParameterValue) -> Option<Self>;
}

macro_rules! ros_types {
    ($($type:ty = $variant:ident),+ $(,)?) => {$(
        impl Typed for $type {
            fn to_value(&self) -> ParameterValue {
                ParameterValue::$variant(self.clone())
            }

            fn from_value(value: &ParameterValue) -> Option<Self> {
                match value {
                    ParameterValue::$variant(value) => Some(value.clone()),
                    _ => None,
                }
            }
        }
    )+};
}

ros_types! {
    bool = Bool,
    f64 = Double,
    String = String,
    Vec<String> = StringArray,
    Vec<f64> = DoubleArray,
}

macro_rules! whole_numbers {
    ($($type:ty),+) => {$(
        impl Typed for $type {
            fn to_value(&self) -> ParameterValue {
                ParameterValue::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
            }

            fn from_value(value: &ParameterValue) -> Option<Self> {
                match value {
                    ParameterValue::Integer(value) => Self::try_from(*value).ok(),
                    _ => None,
                }
            }
        }
    )+};
}

whole_numbers!(u8, u64, usize);

/// Gives an enumeration the texts of its values, in one table for both directions and for the allowed values.
macro_rules! choices {
    ($($type:ty { $($variant:ident = $text:expr),+ $(,)? })+) => {$(
        impl Typed for $type {
            const CHOICES: &'static [&'static str] = &[$($text),+];

            fn to_value(&self) -> ParameterValue {
                let text = match self {
                    $(Self::$variant => $text),+
                };
                ParameterValue::String(text.to_owned())
            }

            fn from_value(value: &ParameterValue) -> Option<Self> {
                match value {
                    $(ParameterValue::String(text) if text == $text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    )+};
}

choices! {
    AttentionSoftmax { Exact = "exact", Approximate = "approximate" }
    TuningLevel { None = "none", Layout = "layout", All = "all" }
    PolicyDevice { Auto = "auto", Cpu = "cpu", Tenstorrent = "tenstorrent", Remote = "remote" }
    KeyPreset { Aloha = "aloha", Droid = "droid", Libero = "libero" }
    PictureFormat { Raw = "raw", Jpeg = "jpeg", Png = "png" }
    Precision { F32 = Precision::F32.name(), Bf16 = Precision::Bf16.name(), Int8 = Precision::Int8.name() }
    SecondGoal { Refuse = "refuse", Replace = "replace" }
    Transport { Raw = "raw", Compressed = "compressed" }
    ChannelOrder { Unknown = "unknown", Rgb = "rgb", Bgr = "bgr" }
    ActionMode {
        Absolute = "absolute",
        Relative = "relative",
        Increment = "increment",
        Velocity = "velocity",
    }
    DeltaFrame { Base = "base", Tool = "tool" }
    RotationRepresentation {
        AxisAngle = "axis_angle",
        QuaternionXyzw = "quaternion_xyzw",
        QuaternionWxyz = "quaternion_wxyz",
        SixD = "rotation_6d",
        SixDRows = "rotation_6d_rows",
        Rpy = "rpy",
        Yaw = "yaw",
        None = "none",
    }
    PositionAxes { Xyz = "xyz", Xy = "xy", X = "x" }
    ExtraStateKind { Array = "array", Odometry = "odometry" }
    OutputKind { Trajectory = "trajectory", Array = "array", Pose = "pose", Twist = "twist" }
    PrefixAttentionSchedule {
        Linear = PrefixAttentionSchedule::Linear.name(),
        Exp = PrefixAttentionSchedule::Exp.name(),
        Ones = PrefixAttentionSchedule::Ones.name(),
        Zeros = PrefixAttentionSchedule::Zeros.name(),
    }
    RobotPreset { None = "none", Aloha = "aloha", AlohaBefore202507 = "aloha_before_2025_07" }
}

/// Gives a choice that may be left to the checkpoint the texts of its values, and `auto`.
macro_rules! automatic_choices {
    ($($type:ident { $($variant:ident = $text:expr),+ $(,)? })+) => {$(
        impl Typed for Option<$type> {
            const CHOICES: &'static [&'static str] = &["auto", $($text),+];

            fn to_value(&self) -> ParameterValue {
                let text = match self {
                    None => "auto",
                    $(Some($type::$variant) => $text),+
                };
                ParameterValue::String(text.to_owned())
            }

            fn from_value(value: &ParameterValue) -> Option<Self> {
                match value {
                    ParameterValue::String(text) if text == "auto" => Some(None),
                    $(ParameterValue::String(text) if text == $text => Some(Some($type::$variant)),)+
                    _ => None,
                }
            }
        }
    )+};
}

automatic_choices! {
    BlendingStrategy {
        Replace = BlendingStrategy::Replace.name(),
        Blend = BlendingStrategy::Blend.name(),
        Ensemble = BlendingStrategy::Ensemble.name(),
        Inpaint = BlendingStrategy::Inpaint.name(),
        Rtc = BlendingStrategy::Rtc.name(),
    }
    RtcMode { Guided = "guided", Trained = "trained" }
    OpenpiNormalisation { Quantiles = "quantiles", MeanStd = "mean_std" }
    Resize { Plain = "plain", Antialiased = "antialias" }
    ImageBars { Black = "-1", BelowBlack = "-3" }
    StateInPrompt { None = "none", Values = "values", Padded = "padded" }
}

/// Values of an action that are relative, in openpi's notation (`make_bool_mask`): counts of values, negative for those
/// that are not.
impl Typed for Vec<bool> {
    const SHAPE: &'static str = "counts of values, none of them 0, 1000 values at most";

    fn to_value(&self) -> ParameterValue {
        let runs = self.chunk_by(|a, b| a == b).map(|run| {
            let count = i64::try_from(run.len()).unwrap_or(i64::MAX);
            if run[0] { count } else { -count }
        });
        ParameterValue::IntegerArray(runs.collect())
    }

    fn from_value(value: &ParameterValue) -> Option<Self> {
        let ParameterValue::IntegerArray(runs) = value else {
            return None;
        };
        let mut mask = Vec::new();
        for run in runs {
            let count = run.unsigned_abs();
            if count == 0 || mask.len() as u64 + count.min(1001) > 1000 {
                return None;
            }
            mask.resize(mask.len() + count as usize, *run > 0);
        }
        Some(mask)
    }
}

/// Positions at two ends of a joint's way.
impl Typed for Option<[f64; 2]> {
    const SHAPE: &'static str = "two finite numbers that differ, or none";

    fn to_value(&self) -> ParameterValue {
        ParameterValue::DoubleArray(self.map_or_else(Vec::new, Vec::from))
    }

    fn from_value(value: &ParameterValue) -> Option<Self> {
        match value {
            ParameterValue::DoubleArray(ends) => match ends[..] {
                [] => Some(None),
                [first, last] if first.is_finite() && last.is_finite() && first != last => {
                    Some(Some([first, last]))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// A point.
impl Typed for Option<[f64; 3]> {
    const SHAPE: &'static str = "three numbers, or none";

    fn to_value(&self) -> ParameterValue {
        ParameterValue::DoubleArray(self.map_or_else(Vec::new, Vec::from))
    }

    fn from_value(value: &ParameterValue) -> Option<Self> {
        match value {
            ParameterValue::DoubleArray(numbers) => match numbers[..] {
                [] => Some(None),
                [x, y, z] if !(x.is_nan() || y.is_nan() || z.is_nan()) => Some(Some([x, y, z])),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Typed for Option<Crop> {
    const SHAPE: &'static str = "x, y, width and height in whole pixels, or none";

    fn to_value(&self) -> ParameterValue {
        let numbers = self.map_or_else(Vec::new, |crop| vec![crop.x, crop.y, crop.width, crop.height]);
        ParameterValue::IntegerArray(numbers.into_iter().map(i64::from).collect())
    }

    fn from_value(value: &ParameterValue) -> Option<Self> {
        let ParameterValue::IntegerArray(numbers) = value else {
            return None;
        };
        let pixels: Vec<u32> = numbers
            .iter()
            .map(|&number| u32::try_from(number))
            .collect::<Result<_, _>>()
            .ok()?;
        match pixels[..] {
            [] => Some(None),
            [x, y, width, height] if width > 0 && height > 0 => Some(Some(Crop { x, y, width, height })),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_every_choice_is_its_own<T: Typed + PartialEq + std::fmt::Debug>() {
        for text in T::CHOICES {
            let value = ParameterValue::String((*text).to_owned());
            assert_eq!(T::from_value(&value).unwrap().to_value(), value);
        }
        assert_eq!(T::from_value(&ParameterValue::String("other".to_owned())), None);
    }

    #[test]
    fn every_text_of_an_enumeration_is_read_as_the_value_that_is_written_so() {
        assert_every_choice_is_its_own::<PolicyDevice>();
        assert_every_choice_is_its_own::<KeyPreset>();
        assert_every_choice_is_its_own::<PictureFormat>();
        assert_every_choice_is_its_own::<Precision>();
        assert_every_choice_is_its_own::<Transport>();
        assert_every_choice_is_its_own::<ActionMode>();
        assert_every_choice_is_its_own::<OutputKind>();
        assert_every_choice_is_its_own::<DeltaFrame>();
        assert_every_choice_is_its_own::<RotationRepresentation>();
        assert_every_choice_is_its_own::<PositionAxes>();
        assert_every_choice_is_its_own::<ExtraStateKind>();
        assert_every_choice_is_its_own::<RobotPreset>();
        assert_every_choice_is_its_own::<Option<BlendingStrategy>>();
        assert_every_choice_is_its_own::<Option<OpenpiNormalisation>>();
        assert_every_choice_is_its_own::<Option<Resize>>();
        assert_every_choice_is_its_own::<Option<ImageBars>>();
    }

    #[test]
    fn relative_values_are_counted_as_openpi_counts_them() {
        let mask = |runs: &[i64]| Vec::<bool>::from_value(&ParameterValue::IntegerArray(runs.to_vec()));
        assert_eq!(mask(&[]), Some(Vec::new()));
        let aloha = mask(&[6, -1, 6, -1]).unwrap();
        let absolute: Vec<usize> = (0..aloha.len()).filter(|value| !aloha[*value]).collect();
        assert_eq!((aloha.len(), absolute), (14, vec![6, 13]));
        assert_eq!(aloha.to_value(), ParameterValue::IntegerArray(vec![6, -1, 6, -1]));
        for runs in [&[0][..], &[6, 0], &[1001], &[600, -600], &[i64::MIN]] {
            assert_eq!(mask(runs), None, "{runs:?}");
        }
    }

    #[test]
    fn a_crop_has_an_area_and_lies_in_a_frame() {
        let crop =
            |numbers: &[i64]| Option::<Crop>::from_value(&ParameterValue::IntegerArray(numbers.to_vec()));
        assert_eq!(crop(&[]), Some(None));
        let expected = Crop {
            x: 1,
            y: 2,
            width: 3,
            height: 4,
        };
        assert_eq!(crop(&[1, 2, 3, 4]), Some(Some(expected)));
        for numbers in [
            &[1, 2, 3][..],
            &[0, 0, 0, 5],
            &[-1, 0, 5, 5],
            &[0, 0, i64::MAX, 5],
        ] {
            assert_eq!(crop(numbers), None, "{numbers:?}");
        }
    }

    #[test]
    fn ends_are_two_finite_numbers_that_differ() {
        let ends =
            |numbers: &[f64]| Option::<[f64; 2]>::from_value(&ParameterValue::DoubleArray(numbers.to_vec()));
        assert_eq!(ends(&[]), Some(None));
        assert_eq!(ends(&[0.5, -1.0]), Some(Some([0.5, -1.0])));
        for numbers in [
            &[1.0][..],
            &[1.0, 1.0],
            &[0.0, f64::INFINITY],
            &[f64::NAN, 0.0],
            &[1.0, 2.0, 3.0],
        ] {
            assert_eq!(ends(numbers), None, "{numbers:?}");
        }
    }
}
