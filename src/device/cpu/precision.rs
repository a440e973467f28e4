//! Types that weights are stored in.

/// How weights are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Precision {
    /// The weights as they are.
    #[default]
    F32,
    /// Half the memory; weights are rounded to 8 bits of mantissa.
    Bf16,
    /// A quarter of the memory; the weights of each output are rounded to 255 steps.
    Int8,
}

impl Precision {
    /// All types, the most precise first.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    /// Name as in parameters: f32, bf16 or int8.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}
