//! Speeds of a chip.

/// Speeds of one chip, and the cores that TT-NN leaves for computing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chip {
    /// Product name.
    pub name: &'static str,
    /// Columns of cores that compute.
    pub columns: usize,
    /// Rows of cores that compute.
    pub rows: usize,
    /// Clock of the cores, in 10⁹ per second.
    pub clock_ghz: f64,
    /// Bandwidth of the DRAM by the data sheet, in 10⁹ bytes per second.
    pub dram_gb_per_s: f64,
    /// Bytes of DRAM that one core reads in a clock, tile by tile with a barrier a block.
    pub bytes_per_clock: f64,
}

/// Part of the DRAM's bandwidth that many cores get of a tensor whose tiles are spread over all banks: 344 of 512 GB/s
/// (tech_reports/Saturating_DRAM_bandwidth_Blackhole, "arbitrary cores"), at which tt-metal's π0.5 reads the weights of its expert
/// too (2.8 MB in 8.2 µs, 4.5 MB in 12.5 µs, `build_matmul_pcfg`).
const SPREAD_DRAM: f64 = 344.0 / 512.0;

impl Chip {
    /// A Wormhole chip. 11.6 bytes a clock are as much of the 22 that a core of it reads at best as 17.4 are of Blackhole's 33
    /// (tests/tt_metal/tt_metal/data_movement): not measured.
    pub const fn wormhole(name: &'static str, columns: usize, rows: usize) -> Self {
        Self {
            name,
            columns,
            rows,
            clock_ghz: 1.0,
            dram_gb_per_s: 288.0,
            bytes_per_clock: 17.4 * 22.0 / 33.0,
        }
    }

    /// A Blackhole chip. 17.4 bytes a clock were measured ("per-tile reads, barrier per block").
    pub const fn blackhole(name: &'static str, columns: usize, rows: usize, dram_gb_per_s: f64) -> Self {
        Self {
            name,
            columns,
            rows,
            clock_ghz: 1.35,
            dram_gb_per_s,
            bytes_per_clock: 17.4,
        }
    }

    /// Number of cores that compute.
    pub fn cores(&self) -> usize {
        self.columns * self.rows
    }

    /// Seconds of so many clocks.
    pub fn seconds(&self, clocks: f64) -> f64 {
        clocks / (self.clock_ghz * 1e9)
    }

    /// Seconds in which so many cores read so many bytes of DRAM.
    pub fn read_seconds(&self, bytes: f64, readers: f64) -> f64 {
        let by_readers = self.seconds(bytes / (readers.max(1.0) * self.bytes_per_clock));
        by_readers.max(self.dram_seconds(bytes))
    }

    /// Seconds in which all cores together move so many bytes from or to DRAM.
    pub fn dram_seconds(&self, bytes: f64) -> f64 {
        bytes / (self.dram_gb_per_s * 1e9 * SPREAD_DRAM)
    }
}
