//! Camera images to the patches of SigLIP's first layer, by a kernel of our own (kernels/patches).
//!
//! TT-NN has no operation that unfolds an image into tiles. On the host this is a conversion and two changes of layout of
//! every pixel; on the card it is a table and addresses. The numbers are the same, bit for bit: the bfloat16 nearest to what
//! preprocessing made of the frame. The frames of a camera travel as its bytes until one was
//! resampled, and from then on as bfloat16.

use std::sync::Arc;

use half::bf16;
use tt_metal_sys as tt;
use tt_metal_sys::{Dtype, Layout};

use super::tensor::{PixelType, TILE, Values};
use super::{TenstorrentDevice, TenstorrentTensor, expect_count};
use crate::device::patches::image_shape;
use crate::device::{DeviceError, PatchGrid, Result};

/// Addresses of a read from DRAM to a core agree in their remainder by this (Blackhole; Wormhole by half of it).
const READ_ALIGNMENT: usize = 64;
const TILE_BYTES: usize = TILE * TILE * size_of::<u16>();
const TABLE_BYTES: usize = 256 * size_of::<u16>();

const READER: &str = concat!(
    include_str!("../../../kernels/patches/patch_tile.h"),
    include_str!("../../../kernels/patches/reader.cpp")
);
const WRITER: &str = concat!(
    include_str!("../../../kernels/patches/patch_tile.h"),
    include_str!("../../../kernels/patches/writer.cpp")
);

/// An image on its way to the card: `[3 · image_size, image_size]`.
#[derive(Debug, PartialEq)]
enum Pixels {
    /// Each stands for its [`BYTE_VALUES`].
    Bytes(Vec<u8>),
    /// Bits of bfloat16.
    Bf16(Vec<u16>),
}

/// What preprocessing makes of each of a camera's bytes, in its arithmetic.
static BYTE_VALUES: [f32; 256] = {
    let mut values = [0.0; 256];
    let mut byte = 0;
    while byte < values.len() {
        values[byte] = byte as f32 / 255.0 * 2.0 - 1.0;
        byte += 1;
    }
    values
};

/// [`BYTE_VALUES`] on the card, `[1, 256]`.
pub(super) fn upload_byte_values(card: &tt::Device) -> Result<tt::Tensor> {
    let shape = [1, BYTE_VALUES.len()];
    Ok(card.upload(&BYTE_VALUES, &shape, Dtype::Bf16, Layout::RowMajor)?)
}

fn whole_bytes(image: &[f32]) -> Option<Vec<u8>> {
    let byte = |&value: &f32| {
        // Out of range it becomes the nearest byte, whose value is another.
        let byte = ((value + 1.0) * 127.5 + 0.5) as u8;
        (BYTE_VALUES[usize::from(byte)] == value).then_some(byte)
    };
    image.iter().map(byte).collect()
}

impl Pixels {
    /// Bytes when each value is exactly that of one.
    fn of(image: &[f32]) -> Self {
        whole_bytes(image).map_or_else(|| Self::bf16(image), Self::Bytes)
    }

    fn bf16(image: &[f32]) -> Self {
        let bits = |value: &f32| bf16::from_f32(*value).to_bits();
        Self::Bf16(image.iter().map(bits).collect())
    }

    fn pixel_type(&self) -> PixelType {
        match self {
            Self::Bytes(_) => PixelType::Byte,
            Self::Bf16(_) => PixelType::Bf16,
        }
    }

    fn upload(&self, card: &tt::Device, shape: &[usize]) -> tt::Result<tt::Tensor> {
        match self {
            Self::Bytes(bytes) => card.upload(bytes, shape, Dtype::U8, Layout::RowMajor),
            Self::Bf16(bits) => card.upload(bits, shape, Dtype::U16, Layout::RowMajor),
        }
    }

    fn overwrite(&self, card: &tt::Device, image: &TenstorrentTensor, queue: tt::Queue) -> tt::Result<()> {
        let (place, shape) = (&image.tensor, &image.on_card);
        match self {
            Self::Bytes(bytes) => card.overwrite(place, bytes, shape, Dtype::U8, Layout::RowMajor, queue),
            Self::Bf16(bits) => card.overwrite(place, bits, shape, Dtype::U16, Layout::RowMajor, queue),
        }
    }
}

impl PixelType {
    fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Bf16 => 2,
        }
    }
}

impl TenstorrentDevice {
    pub(super) fn new_image(&self, pixels: &[f32], image_size: usize) -> Result<TenstorrentTensor> {
        let shape = image_shape(image_size);
        expect_count("upload_image", pixels, &shape)?;
        self.place_image(&Pixels::of(pixels), shape)
    }

    fn place_image(&self, pixels: &Pixels, shape: [usize; 3]) -> Result<TenstorrentTensor> {
        let [colours, rows, columns] = shape;
        let on_card = [1, 1, colours * rows, columns];
        let tensor = pixels.upload(&self.card, &on_card)?;
        let values = Values::Pixels(pixels.pixel_type());
        let counted = self.replays.count_tensor();
        let card = Arc::clone(&self.card);
        Ok(TenstorrentTensor::new(
            card, tensor, &shape, on_card, values, counted,
        ))
    }

    /// Once a camera's frame was no whole bytes, all of its frames travel as bfloat16: one that happens to be whole bytes, all
    /// black, would else end what is recorded.
    pub(super) fn write_image(
        &self,
        image: &mut TenstorrentTensor,
        pixel_type: PixelType,
        pixels: &[f32],
    ) -> Result<()> {
        expect_count("write", pixels, &image.shape)?;
        let pixels = match pixel_type {
            PixelType::Byte => Pixels::of(pixels),
            PixelType::Bf16 => Pixels::bf16(pixels),
        };
        if pixels.pixel_type() != pixel_type {
            *image = self.place_image(&pixels, image_shape(image.on_card[3]))?;
            return Ok(());
        }
        self.replays.write(image.place(), |queue| {
            Ok(pixels.overwrite(&self.card, image, queue)?)
        })
    }

    pub(super) fn unfold_on_card(
        &self,
        image: &TenstorrentTensor,
        grid: PatchGrid,
    ) -> Result<TenstorrentTensor> {
        grid.check(&image.shape)?;
        let Values::Pixels(pixel_type) = image.values else {
            return Err(DeviceError::shape("patches", "not uploaded as an image"));
        };
        let program = program(self.grid, grid, pixel_type);
        let rows = grid.num_patches().next_multiple_of(TILE);
        let width = grid.patch_dim();
        let patches = self.card.empty(&[1, 1, rows, width], Dtype::Bf16, Layout::Tile)?;
        let tensors = [&image.tensor, &self.byte_values, &patches];
        self.card.run_program("patches", &program, &tensors)?;
        Ok(self.matrix(patches, rows, width))
    }
}

/// The program for tensors pixels, byte values and patches. Tiles are divided among all cores, those that do not divide
/// among the first.
fn program((columns, rows): (u32, u32), grid: PatchGrid, pixel_type: PixelType) -> tt::Program {
    let PatchGrid {
        image_size,
        patch_size,
    } = grid;
    let tiles = grid.num_patches().div_ceil(TILE) * grid.patch_dim().div_ceil(TILE);
    let cores = (columns * rows) as usize;
    let first_tile = |core: usize| core * (tiles / cores) + core.min(tiles % cores);
    let core_args: Vec<Vec<u32>> = (0..cores)
        .map(|core| {
            let (first, next) = (first_tile(core), first_tile(core + 1));
            vec![first as u32, (next - first) as u32]
        })
        .collect();

    // A tile's patches lie in at most so many rows of patches, and its values in at most so many rows of a patch.
    let touched = |length: usize| (TILE - 1).div_ceil(length) + 1;
    let row_stride = (image_size * pixel_type.bytes()).next_multiple_of(READ_ALIGNMENT);
    let page_bytes = touched(image_size / patch_size) * touched(patch_size) * row_stride;

    let compile_time_args = [image_size, patch_size, pixel_type.bytes(), row_stride].map(|arg| arg as u32);
    let kernel = |source, tensors: &[usize]| tt::Kernel {
        source,
        compile_time_args: compile_time_args.to_vec(),
        tensors: tensors.to_vec(),
        core_args: core_args.clone(),
    };
    let buffer = |index, pages, page_bytes: usize, dtype| tt::CircularBuffer {
        index,
        pages,
        page_bytes: page_bytes as u32,
        dtype,
    };
    tt::Program {
        columns,
        rows,
        reader: kernel(READER, &[0]),
        writer: kernel(WRITER, &[2, 1]),
        circular_buffers: vec![
            buffer(0, 2, page_bytes, Dtype::U8),
            buffer(1, 1, TABLE_BYTES, Dtype::Bf16),
            buffer(2, 1, TILE_BYTES, Dtype::Bf16),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tenstorrent::emulation::{
        BLACKHOLE_DRAM_ALIGNMENT, Pages, WORMHOLE_DRAM_ALIGNMENT, run,
    };
    use crate::device::{CpuDevice, Device, Precision};
    use crate::policy::prepare_image;

    const PI0: PatchGrid = PatchGrid {
        image_size: 224,
        patch_size: 14,
    };

    /// An image whose every pixel is that of a byte, or not.
    fn image(grid: PatchGrid, bytes: bool) -> Vec<f32> {
        let value = |index: usize| match bytes {
            true => BYTE_VALUES[(index * 131 + index / 97) % 256],
            false => (index as f32 * 0.37).sin(),
        };
        (0..3 * grid.image_size.pow(2)).map(value).collect()
    }

    fn bytes_of(words: impl IntoIterator<Item = u16>) -> Vec<u8> {
        words.into_iter().flat_map(u16::to_ne_bytes).collect()
    }

    /// What the program makes of an image, or what it was refused for.
    fn unfold(
        image: &[f32],
        grid: PatchGrid,
        cores: (u32, u32),
        dram_alignment: usize,
        change: impl FnOnce(&mut tt::Program),
    ) -> std::result::Result<Vec<f32>, String> {
        let pixels = Pixels::of(image);
        let tokens = grid.num_patches().next_multiple_of(TILE);
        let padded_width = grid.patch_dim().next_multiple_of(TILE);
        let mut program = program(cores, grid, pixels.pixel_type());
        change(&mut program);
        let tensors = [
            Pages {
                page_bytes: grid.image_size * pixels.pixel_type().bytes(),
                bytes: match pixels {
                    Pixels::Bytes(bytes) => bytes,
                    Pixels::Bf16(bits) => bytes_of(bits),
                },
            },
            Pages {
                page_bytes: TABLE_BYTES,
                bytes: bytes_of(BYTE_VALUES.map(|value| bf16::from_f32(value).to_bits())),
            },
            Pages {
                page_bytes: TILE_BYTES,
                bytes: vec![0; tokens * padded_width * size_of::<u16>()],
            },
        ];
        let written = run(&program, &tensors, dram_alignment)?;
        let (bits, _) = written.as_chunks();
        let values: Vec<f32> = bits
            .iter()
            .map(|bits| bf16::from_bits(u16::from_ne_bytes(*bits)).to_f32())
            .collect();
        Ok((0..tokens * padded_width)
            .map(|index| values[in_tiles(index / padded_width, index % padded_width, padded_width)])
            .collect())
    }

    /// Where a value of a matrix in tiles lies: tile by tile along the rows, each in four faces.
    fn in_tiles(row: usize, column: usize, width: usize) -> usize {
        const FACE: usize = TILE / 2;
        let tile = row / TILE * (width / TILE) + column / TILE;
        let (row, column) = (row % TILE, column % TILE);
        let face = row / FACE * 2 + column / FACE;
        (tile * 4 + face) * FACE * FACE + row % FACE * FACE + column % FACE
    }

    /// The CPU device's patches, rounded to bfloat16, with zeros up to the next tile.
    fn expected(image: &[f32], grid: PatchGrid) -> Vec<f32> {
        let cpu = CpuDevice::new(Precision::F32, 1).unwrap();
        let image = cpu.upload_image(image, grid.image_size).unwrap();
        let patches = cpu.read_back(&cpu.patches(&image, grid).unwrap()).unwrap();
        let padded_width = grid.patch_dim().next_multiple_of(TILE);
        let mut padded = Vec::new();
        for patch in patches.chunks(grid.patch_dim()) {
            padded.extend(patch.iter().map(|value| bf16::from_f32(*value).to_f32()));
            padded.resize(padded.len().next_multiple_of(padded_width), 0.0);
        }
        padded.resize(padded.len().next_multiple_of(TILE * padded_width), 0.0);
        padded
    }

    fn check(grid: PatchGrid, bytes: bool, cores: (u32, u32), dram_alignment: usize) {
        let image = image(grid, bytes);
        let patches = unfold(&image, grid, cores, dram_alignment, |_| {}).unwrap();
        assert!(patches == expected(&image, grid), "{grid:?}, bytes: {bytes}");
    }

    #[test]
    fn the_kernel_s_patches_of_bytes_are_the_cpu_device_s_in_bfloat16() {
        check(PI0, true, (8, 8), WORMHOLE_DRAM_ALIGNMENT);
    }

    #[test]
    fn the_kernel_s_patches_of_bfloat16_are_the_cpu_device_s() {
        check(PI0, false, (11, 10), BLACKHOLE_DRAM_ALIGNMENT);
    }

    #[test]
    fn images_and_patches_of_any_size_are_unfolded() {
        for (image_size, patch_size) in [(120, 20), (33, 8), (40, 1), (64, 40), (90, 3)] {
            let grid = PatchGrid {
                image_size,
                patch_size,
            };
            check(grid, true, (3, 2), BLACKHOLE_DRAM_ALIGNMENT);
            check(grid, false, (8, 8), WORMHOLE_DRAM_ALIGNMENT);
        }
    }

    #[test]
    fn the_emulation_refuses_what_a_card_would_do_wrong() {
        let image = image(PI0, true);
        let changed = |what: &'static str, by: &'static str, problem: &str| {
            let refused = unfold(&image, PI0, (8, 8), WORMHOLE_DRAM_ALIGNMENT, |program| {
                let mut replaced = false;
                for kernel in [&mut program.reader, &mut program.writer] {
                    if kernel.source.contains(what) && !replaced {
                        kernel.source = kernel.source.replacen(what, by, 1).leak();
                        replaced = true;
                    }
                }
                assert!(replaced, "{what}");
            });
            let refused = refused.err();
            assert!(
                refused.as_ref().is_some_and(|refused| refused.contains(problem)),
                "{what} as {by}: {refused:?}"
            );
        };
        changed(
            "noc.async_read_barrier();",
            "",
            "pushes pages that are being read",
        );
        changed("cb_rows.reserve_back(1);", "", "reads outside of reserved pages");
        changed("cb_rows.push_back(1);", "", "waits for ever");
        changed("cb_rows.wait_front(1);", "", "loads outside of waited-for pages");
        changed("invalidate_l1_cache();", "", "loads past a stale cache");
        changed(
            "noc.async_writes_flushed();",
            "",
            "pops pages that are being sent",
        );
        changed("noc.async_write_barrier();", "", "before its writes have landed");
        changed("cb_rows.pop_front(1);", "", "waits for ever");
        changed(
            "cb_tile.wait_front(1);",
            "",
            "sends what is outside of waited-for pages",
        );
        changed(
            "offset += row_stride;",
            "offset += 230;",
            "do not agree in their alignment",
        );
        changed("offset += row_stride;", "", "two transfers of one place");
        changed(
            "image_size * pixel_bytes, {.page_id",
            "32, {.page_id",
            "loads what nothing wrote",
        );
        changed(
            "column < tile_side; ++column",
            "column < 31; ++column",
            "sends what nothing wrote",
        );
        changed(
            "{.page_id = index}",
            "{.page_id = index + 1}",
            "page beyond the tensor",
        );
    }

    #[test]
    fn a_tile_s_faces_in_another_order_are_found() {
        let image = image(PI0, true);
        let transposed = unfold(&image, PI0, (8, 8), WORMHOLE_DRAM_ALIGNMENT, |program| {
            let source = program.writer.source;
            let other = source.replace("row / 16 * 2 + column / 16", "column / 16 * 2 + row / 16");
            assert_ne!(source, other);
            program.writer.source = other.leak();
        });
        assert!(transposed.unwrap() != expected(&image, PI0));
    }

    #[test]
    fn a_frame_of_the_model_s_size_travels_as_bytes_and_a_resampled_one_does_not() {
        let frame = |side: u32| {
            image::RgbImage::from_fn(side, side, |x, y| image::Rgb([x, y, x * y].map(|v| v as u8)))
        };
        let prepared = |side| prepare_image(&frame(side), None, 30).unwrap();
        assert!(matches!(Pixels::of(&prepared(30)), Pixels::Bytes(_)));
        assert!(matches!(Pixels::of(&prepared(41)), Pixels::Bf16(_)));
    }

    #[test]
    fn only_values_that_are_whole_bytes_travel_as_bytes() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(Pixels::of(&BYTE_VALUES), Pixels::Bytes(all));
        for other in [BYTE_VALUES[7].next_up(), 0.0, -1.5, 2.0, f32::NAN] {
            let bits = bf16::from_f32(other).to_bits();
            assert_eq!(
                Pixels::of(&[1.0, other]),
                Pixels::Bf16(vec![bf16::ONE.to_bits(), bits])
            );
        }
    }
}
