//! The Rust types that parameters have.

use super::ParameterValue;
use crate::control::{BlendingStrategy, OutputKind};
use crate::device::Precision;
use crate::observation::Transport;
use crate::policy::{ActionMode, Crop, DeviceChoice, StateInPrompt};

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
    DeviceChoice { Auto = "auto", Cpu = "cpu", Tenstorrent = "tenstorrent" }
    Precision { F32 = Precision::F32.name(), Bf16 = Precision::Bf16.name(), Int8 = Precision::Int8.name() }
    Transport { Raw = "raw", Compressed = "compressed" }
    ActionMode { Absolute = "absolute", Relative = "relative", Increment = "increment" }
    OutputKind { Trajectory = "trajectory", Array = "array" }
    BlendingStrategy { Replace = "replace", Blend = "blend", Ensemble = "ensemble", Inpaint = "inpaint" }
}

/// `auto` is the absence of a choice.
impl Typed for Option<StateInPrompt> {
    const CHOICES: &'static [&'static str] = &["auto", "none", "values", "padded"];

    fn to_value(&self) -> ParameterValue {
        let index = match self {
            None => 0,
            Some(StateInPrompt::None) => 1,
            Some(StateInPrompt::Values) => 2,
            Some(StateInPrompt::Padded) => 3,
        };
        ParameterValue::String(Self::CHOICES[index].to_owned())
    }

    fn from_value(value: &ParameterValue) -> Option<Self> {
        let ParameterValue::String(text) = value else {
            return None;
        };
        match text.as_str() {
            "auto" => Some(None),
            "none" => Some(Some(StateInPrompt::None)),
            "values" => Some(Some(StateInPrompt::Values)),
            "padded" => Some(Some(StateInPrompt::Padded)),
            _ => None,
        }
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
        assert_every_choice_is_its_own::<DeviceChoice>();
        assert_every_choice_is_its_own::<Precision>();
        assert_every_choice_is_its_own::<Transport>();
        assert_every_choice_is_its_own::<ActionMode>();
        assert_every_choice_is_its_own::<OutputKind>();
        assert_every_choice_is_its_own::<BlendingStrategy>();
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
