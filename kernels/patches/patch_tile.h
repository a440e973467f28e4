// A camera image to the patches that SigLIP's first layer multiplies: what reader and writer both know. It stands in front of
// each of them in the source that the card's compiler gets.
//
// In:  pixels  [3 · image_size, image_size], row-major, a page a row. A pixel is a byte that stands for
//              byte / 255 · 2 − 1, or two bytes that are a bfloat16.
//      table   [1, 256], bfloat16, row-major: what each byte stands for.
// Out: patches [tokens, 3 · patch_size²], bfloat16 in tiles, a page a tile of 2,048 bytes. A row is one patch:
//              channel by channel, each from top to bottom and from left to right. Tokens are the patches of the image, up to
//              the next tile; what fills up the last tiles is zero.
//
// Tiles of the output are divided among all cores. For each, the reader brings the rows of pixels that its patches touch,
// and the writer picks their pixels and writes the tile. Both run on the data movement processors: a byte becomes a number
// by looking it up, so the compute engine has nothing to do.
//
// Circular buffers, of every core:
//   c_0  rows of pixels, 2 pages of one tile's rows: as many as a tile can touch, each row_stride bytes. At π0's size (224
//        pixels a side in patches of 14) 12 rows of 256 bytes, of which a tile touches 8.   reader → writer
//   c_1  table, 1 page of 512 bytes                                                        writer → writer
//   c_2  tile, 1 page of 2,048 bytes                                                       writer → writer
// At π0's size 8,704 bytes with bytes as pixels.

constexpr uint32_t image_size = get_compile_time_arg_val(0);
constexpr uint32_t patch_size = get_compile_time_arg_val(1);
// Bytes of a pixel, and from one row of pixels in c_0 to the next.
constexpr uint32_t pixel_bytes = get_compile_time_arg_val(2);
constexpr uint32_t row_stride = get_compile_time_arg_val(3);
constexpr uint32_t first_accessor_arg = 4;

constexpr uint32_t cb_id_rows = 0;
constexpr uint32_t cb_id_table = 1;
constexpr uint32_t cb_id_tile = 2;

constexpr uint32_t tile_side = 32;
constexpr uint32_t patches_a_side = image_size / patch_size;
constexpr uint32_t patches_an_image = patches_a_side * patches_a_side;
constexpr uint32_t values_a_patch = 3 * patch_size * patch_size;
constexpr uint32_t tiles_a_row = (values_a_patch + tile_side - 1) / tile_side;

constexpr uint32_t at_most_a_tile(uint32_t count) { return count < tile_side ? count : tile_side; }

// Which patches and which of their values a tile holds, and which rows of pixels those touch. The values of a patch come in
// stretches of patch_size that lie in one row of pixels.
struct PatchTile {
    uint32_t first_patch;
    uint32_t num_patches;
    uint32_t first_value;
    uint32_t num_values;
    // Of patches in the image.
    uint32_t first_patch_row;
    uint32_t num_patch_rows;
    uint32_t first_stretch;
    uint32_t num_stretches;

    explicit PatchTile(uint32_t tile) {
        first_patch = tile / tiles_a_row * tile_side;
        num_patches = at_most_a_tile(patches_an_image - first_patch);
        first_value = tile % tiles_a_row * tile_side;
        num_values = at_most_a_tile(values_a_patch - first_value);
        first_patch_row = first_patch / patches_a_side;
        num_patch_rows = (first_patch + num_patches - 1) / patches_a_side + 1 - first_patch_row;
        first_stretch = first_value / patch_size;
        num_stretches = (first_value + num_values - 1) / patch_size + 1 - first_stretch;
    }

    // The page of the pixels that has a stretch of all patches of a patch row.
    uint32_t page(uint32_t patch_row, uint32_t stretch) const {
        const uint32_t channel = stretch / patch_size;
        const uint32_t row = patch_row * patch_size + stretch % patch_size;
        return channel * image_size + row;
    }
};
