//! The graph of a program for the card: its operations, what they move and compute, and the memory they need.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::busy_cores::{Cores, busy_cores, tiles};
use crate::device::{DeviceError, Result};

/// Operations and memory of a program for a card.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// In the order in which they would be dispatched.
    pub operations: Vec<Operation>,
    /// Tensors sent to the card.
    pub uploads: usize,
    /// Bytes sent to the card.
    pub uploaded_bytes: u64,
    /// Operations before each tensor that is read back.
    pub read_backs: Vec<usize>,
    /// The most bytes of DRAM that tensors made by this program hold at once, over all banks.
    pub peak_dram_bytes: u64,
    /// The most bytes of one core's L1 that an operation's buffers hold.
    pub peak_l1_bytes_per_core: u64,
}

/// One program of the card.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// TT-NN's name, without what all of them end in.
    pub name: String,
    /// Bytes of inputs and outputs in DRAM.
    pub bytes: u64,
    /// Floating-point operations of a product or of attention, a multiplication and an addition being two; 0
    /// for others.
    pub flops: f64,
    /// Passes over the mantissas of the factors: 1 in LoFi, 4 in HiFi4, and 4 where TT-NN names no fidelity.
    pub passes: u32,
    /// Whether accumulators are f32.
    pub f32_sums: bool,
    /// Cores that share a product or attention, as if evenly; for other operations an upper bound.
    pub busy_cores: f64,
    /// Cores of the program.
    pub cores: usize,
    /// Columns and rows of the first rectangle of them.
    pub grid: (u32, u32),
    /// Tensors that it is given.
    pub inputs: Vec<OperationInput>,
    /// Tiles of what it makes.
    pub output_tiles: usize,
    /// TT-NN's own arguments, as text.
    pub arguments: String,
}

/// A tensor that an operation is given.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationInput {
    /// Shape.
    pub shape: Vec<usize>,
    /// Bytes in DRAM.
    pub dram_bytes: u64,
    /// Whether each core has a block of it in its own L1.
    pub is_sharded: bool,
}

impl OperationInput {
    fn of(tensor: &Value) -> Self {
        Self {
            shape: shape(tensor),
            dram_bytes: dram_bytes(tensor),
            is_sharded: memory_config(tensor).contains("_SHARDED"),
        }
    }

    /// Number of tiles.
    pub fn tiles(&self) -> usize {
        tiles(&self.shape)
    }
}

impl Graph {
    /// Reads TT-NN's list of nodes.
    pub(super) fn read(json: &str) -> Result<Self> {
        let nodes: Vec<Value> = serde_json::from_str(json).map_err(|error| {
            DeviceError::Unavailable(format!("TT-NN's graph is no list of nodes: {error}"))
        })?;
        let by_counter: HashMap<u64, &Value> = nodes
            .iter()
            .filter_map(|node| Some((node["counter"].as_u64()?, node)))
            .collect();
        let mut graph = Self::default();
        let mut memory = Memory::default();
        let mut open: Vec<Option<Begun>> = Vec::new();
        for node in &nodes {
            let name = node["params"]["name"].as_str().unwrap_or_default();
            match node["node_type"].as_str().unwrap_or_default() {
                "function_start" => {
                    let operation = operation_name(node).map(|name| {
                        graph.operations.push(Operation::new(name, node, &by_counter));
                        Begun {
                            index: graph.operations.len() - 1,
                            start: node,
                            made: Vec::new(),
                        }
                    });
                    if operation.is_some() {
                        memory.next_operation();
                    }
                    open.push(operation);
                    match name {
                        "Tensor::cpu" => graph.read_backs.push(graph.operations.len()),
                        "Tensor::to_device" | "tt::tt_metal::copy_to_device" => graph.uploads += 1,
                        _ => {}
                    }
                }
                "function_end" => {
                    let linked = tensors(&node["connections"], &by_counter);
                    if matches!(name, "Tensor::to_device" | "tt::tt_metal::copy_to_device") {
                        graph.uploaded_bytes += sum_dram_bytes(&linked);
                    }
                    match open.pop() {
                        Some(Some(begun)) => {
                            let operation = &mut graph.operations[begun.index];
                            begun.end(operation, linked, memory.operation_cores);
                        }
                        _ if name == "tt::tt_metal::create_device_tensor" => {
                            if let Some(begun) = open.iter_mut().flatten().last() {
                                begun.made.extend(linked);
                            }
                        }
                        _ => {}
                    }
                }
                "buffer_allocate" => memory.allocate(&node["params"]),
                "buffer_deallocate" => memory.free(&node["params"]),
                "circular_buffer_allocate" | "dataflow_buffer_allocate" => {
                    memory.operation_l1 += number(&node["params"]["size"]);
                    memory.peak_l1 = memory.peak_l1.max(memory.operation_l1 + memory.l1_tensors);
                    memory.add_cores(&node["params"]);
                }
                _ => {}
            }
        }
        graph.peak_dram_bytes = memory.peak_dram;
        graph.peak_l1_bytes_per_core = memory.peak_l1;
        Ok(graph)
    }
}

/// An operation whose end was not read yet.
struct Begun<'a> {
    index: usize,
    start: &'a Value,
    /// Tensors made so far.
    made: Vec<&'a Value>,
}

impl Begun<'_> {
    /// Outputs are linked from the end of the operation that makes them, but for those of some that have
    /// several.
    fn end(self, operation: &mut Operation, linked: Vec<&Value>, cores: Cores) {
        let outputs = match linked.is_empty() {
            true => self.made,
            false => linked,
        };
        let written = sum_dram_bytes(&outputs);
        operation.bytes += match operation.name.as_str() {
            // The cache comes out whole; only the tokens were written, and are counted.
            "UpdateKVCache" => 0,
            // As much is read of the table as is written.
            "Embeddings" => 2 * written,
            _ => written,
        };
        let shapes: Vec<Vec<usize>> = operation.inputs.iter().map(|input| input.shape.clone()).collect();
        operation.output_tiles = outputs.into_iter().map(|output| tiles(&shape(output))).sum();
        let arguments = arguments(self.start);
        let output_tiles = operation.output_tiles;
        operation.busy_cores = busy_cores(&operation.name, cores, &shapes, output_tiles, arguments);
        (operation.cores, operation.grid) = (cores.count, cores.first);
    }
}

#[derive(Default)]
struct Memory {
    dram: u64,
    peak_dram: u64,
    l1_tensors: u64,
    operation_l1: u64,
    peak_l1: u64,
    /// Cores that have buffers of the operation.
    operation_cores: Cores,
}

impl Memory {
    fn next_operation(&mut self) {
        self.operation_l1 = 0;
        self.operation_cores = Cores::default();
    }

    fn add_cores(&mut self, buffer: &Value) {
        let cores = buffer["core_range_set"].as_str().and_then(Cores::read);
        if let Some(cores) = cores.filter(|cores| cores.count > self.operation_cores.count) {
            self.operation_cores = cores;
        }
    }

    fn allocate(&mut self, buffer: &Value) {
        match buffer["type"].as_str() {
            Some("DRAM") => {
                self.dram += number(&buffer["size"]);
                self.peak_dram = self.peak_dram.max(self.dram);
            }
            _ => {
                self.l1_tensors += number(&buffer["max_size_per_bank"]);
                self.peak_l1 = self.peak_l1.max(self.operation_l1 + self.l1_tensors);
            }
        }
    }

    fn free(&mut self, buffer: &Value) {
        // Memory from before the capture may be freed in it.
        match buffer["type"].as_str() {
            Some("DRAM") => self.dram = self.dram.saturating_sub(number(&buffer["size"])),
            _ => {
                let size = number(&buffer["max_size_per_bank"]);
                self.l1_tensors = self.l1_tensors.saturating_sub(size);
            }
        }
    }
}

impl Operation {
    fn new(name: &str, node: &Value, by_counter: &HashMap<u64, &Value>) -> Self {
        let inputs = tensors(&node["input_tensors"], by_counter);
        let mut seen = HashSet::new();
        let distinct = inputs
            .iter()
            .filter(|input| seen.insert(input["counter"].as_u64()));
        let shapes: Vec<Vec<usize>> = inputs.iter().copied().map(shape).collect();
        Self {
            flops: flops(name, &shapes),
            passes: passes(node),
            f32_sums: arguments(node).any(|argument| argument.contains("fp32_dest_acc_en=1")),
            busy_cores: 0.0,
            cores: 0,
            grid: (0, 0),
            inputs: inputs.iter().copied().map(OperationInput::of).collect(),
            output_tiles: 0,
            arguments: arguments(node).collect::<Vec<_>>().join(" "),
            bytes: match (name, &inputs[..]) {
                ("UpdateKVCache", [_, tokens, ..]) => dram_bytes(tokens) + tensor_bytes(tokens),
                ("Embeddings", [indices, ..]) => dram_bytes(indices),
                // Its output is the last of its inputs.
                ("GenericOp", [.., output]) => distinct
                    .filter(|input| input["params"]["address"] != output["params"]["address"])
                    .map(|input| dram_bytes(input))
                    .sum(),
                _ => distinct.map(|input| dram_bytes(input)).sum(),
            },
            name: name.to_owned(),
        }
    }
}

/// The name of a node that is one program on the card, not a function around it.
fn operation_name(node: &Value) -> Option<&str> {
    let name = node["params"]["name"].as_str()?;
    let short = name.rsplit("::").next().unwrap_or(name);
    short
        .strip_suffix("DeviceOperation")
        .or_else(|| short.strip_suffix("Operation"))
}

fn flops(name: &str, shapes: &[Vec<usize>]) -> f64 {
    let elements = |shape: &[usize]| shape.iter().product::<usize>();
    let flops = match (name, shapes) {
        ("Matmul" | "MinimalMatmul", [x, weight, ..]) => {
            2 * elements(x) * weight.last().copied().unwrap_or_default()
        }
        ("SDPA", [queries, keys, ..]) if keys.len() == 4 => 4 * elements(queries) * keys[2],
        _ => 0,
    };
    flops as f64
}

fn arguments(node: &Value) -> impl Iterator<Item = &str> {
    let arguments = node["arguments"].as_array().into_iter().flatten();
    arguments.filter_map(Value::as_str)
}

/// Passes by the operation's compute kernel config, which is among its arguments as text.
fn passes(node: &Value) -> u32 {
    const FIDELITY: &str = "math_fidelity=";
    let fidelity = arguments(node).find_map(|argument| {
        let start = argument.find(FIDELITY)? + FIDELITY.len();
        argument[start..].split(',').next()
    });
    match fidelity {
        Some("LoFi") => 1,
        Some("HiFi2") => 2,
        Some("HiFi3") => 3,
        _ => 4,
    }
}

/// Tensors of a list of counters.
fn tensors<'a>(list: &Value, by_counter: &HashMap<u64, &'a Value>) -> Vec<&'a Value> {
    let counters = list.as_array().into_iter().flatten().filter_map(Value::as_u64);
    let nodes = counters.filter_map(|counter| by_counter.get(&counter).copied());
    nodes.filter(|node| node["node_type"] == "tensor").collect()
}

fn sum_dram_bytes(tensors: &[&Value]) -> u64 {
    tensors.iter().copied().map(dram_bytes).sum()
}

/// Bytes of a tensor that go through DRAM.
fn dram_bytes(tensor: &Value) -> u64 {
    match memory_config(tensor).contains("BufferType::L1") {
        true => 0,
        false => tensor_bytes(tensor),
    }
}

fn memory_config(tensor: &Value) -> &str {
    tensor["params"]["memory_config"].as_str().unwrap_or_default()
}

fn tensor_bytes(tensor: &Value) -> u64 {
    let params = &tensor["params"];
    let size = number(&params["size"]);
    // TT-NN counts a byte a value; 16 values share one more for their exponent.
    match params["dtype"].as_str() {
        Some("DataType::BFLOAT8_B") => size + size / 16,
        _ => size,
    }
}

/// Reads a number, as such or as text.
fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .or_else(|| value.as_str()?.parse().ok())
        .unwrap_or_default()
}

/// Reads the numbers of a tensor's `Shape([1, 2])`.
fn shape(tensor: &Value) -> Vec<usize> {
    let text = tensor["params"]["shape"].as_str().unwrap_or_default();
    let inner = text.trim_start_matches("Shape([").trim_end_matches("])");
    inner.split(", ").filter_map(|size| size.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A product of `[64, 32]` and a bfloat8_b weight `[32, 96]` between an upload and a read-back.
    const RECORDED: &str = r#"[
        {"counter": 0, "node_type": "capture_start", "params": null},
        {"counter": 1, "node_type": "function_start", "params": {"name": "Tensor::to_device"}},
        {"counter": 2, "node_type": "function_end", "params": {"name": "Tensor::to_device"}, "connections": [3]},
        {"counter": 3, "node_type": "tensor",
         "params": {"shape": "Shape([1, 1, 64, 32])", "size": 4096, "dtype": "DataType::BFLOAT16"}},
        {"counter": 4, "node_type": "tensor",
         "params": {"shape": "Shape([1, 1, 32, 96])", "size": 3072, "dtype": "DataType::BFLOAT8_B"}},
        {"counter": 5, "node_type": "function_start", "input_tensors": [3, 4],
         "arguments": ["MatmulParams(1, ComputeKernelConfig(math_fidelity=HiFi2,math_approx_mode=0))", "{Tensor()}"],
         "params": {"name": "ttnn::prim::MatmulDeviceOperation"}},
        {"counter": 6, "node_type": "function_start", "params": {"name": "tt::tt_metal::create_device_tensor"}},
        {"counter": 7, "node_type": "buffer_allocate", "params": {"type": "DRAM", "size": 12288}},
        {"counter": 8, "node_type": "function_end", "params": {"name": "tt::tt_metal::create_device_tensor"},
         "connections": [9]},
        {"counter": 9, "node_type": "tensor",
         "params": {"shape": "Shape([1, 1, 64, 96])", "size": 12288, "dtype": "DataType::BFLOAT16"}},
        {"counter": 10, "node_type": "circular_buffer_allocate",
         "params": {"size": 4096, "core_range_set": "{[0-0 - 2-0]}"}},
        {"counter": 11, "node_type": "dataflow_buffer_allocate", "params": {"size": "1024"}},
        {"counter": 12, "node_type": "function_end", "params": {"name": "ttnn::prim::MatmulDeviceOperation"},
         "connections": [9, 13]},
        {"counter": 13, "node_type": "function_start", "params": {"name": "Tensor::cpu"}},
        {"counter": 14, "node_type": "function_end", "params": {"name": "Tensor::cpu"}, "connections": []},
        {"counter": 15, "node_type": "buffer_deallocate", "params": {"type": "DRAM", "size": 12288}}
    ]"#;

    #[test]
    fn operations_bytes_flops_and_memory_are_counted() {
        let graph = Graph::read(RECORDED).unwrap();
        let input = |shape: [usize; 4], dram_bytes| OperationInput {
            shape: shape.into(),
            dram_bytes,
            is_sharded: false,
        };
        let product = Operation {
            name: "Matmul".to_owned(),
            bytes: 4096 + 3072 * 17 / 16 + 12288,
            flops: 2.0 * 64.0 * 32.0 * 96.0,
            passes: 2,
            f32_sums: false,
            busy_cores: 3.0,
            cores: 3,
            grid: (3, 1),
            inputs: vec![input([1, 1, 64, 32], 4096), input([1, 1, 32, 96], 3264)],
            output_tiles: 6,
            arguments:
                "MatmulParams(1, ComputeKernelConfig(math_fidelity=HiFi2,math_approx_mode=0)) {Tensor()}"
                    .to_owned(),
        };
        let expected = Graph {
            operations: vec![product],
            uploads: 1,
            uploaded_bytes: 4096,
            read_backs: vec![1],
            peak_dram_bytes: 12288,
            peak_l1_bytes_per_core: 5120,
        };
        assert_eq!(graph, expected);
    }

    /// A kernel of our own that makes 128 bytes of 64 and of 32, and is given its output.
    const GENERIC: &str = r#"[
        {"counter": 0, "node_type": "function_start", "input_tensors": [1, 2, 3, 4],
         "params": {"name": "GenericOpDeviceOperation"}},
        {"counter": 1, "node_type": "tensor", "params": {"address": 16, "size": 64, "dtype": "DataType::UINT8"}},
        {"counter": 2, "node_type": "tensor", "params": {"address": 80, "size": 32, "dtype": "DataType::UINT8"}},
        {"counter": 3, "node_type": "tensor", "params": {"address": 112, "size": 128, "dtype": "DataType::BFLOAT16"}},
        {"counter": 4, "node_type": "tensor", "params": {"address": 112, "size": 128, "dtype": "DataType::BFLOAT16"}},
        {"counter": 5, "node_type": "function_end", "params": {"name": "GenericOpDeviceOperation"}, "connections": [6]},
        {"counter": 6, "node_type": "tensor", "params": {"address": 112, "size": 128, "dtype": "DataType::BFLOAT16"}}
    ]"#;

    #[test]
    fn the_output_that_a_kernel_is_given_is_counted_once() {
        let graph = Graph::read(GENERIC).unwrap();
        assert_eq!(graph.operations[0].name, "GenericOp");
        assert_eq!(graph.operations[0].bytes, 64 + 32 + 128);
    }

    /// Tokens that are in L1, written into a cache in DRAM.
    const FROM_L1: &str = r#"[
        {"counter": 0, "node_type": "function_start", "input_tensors": [1, 2],
         "params": {"name": "UpdateKVCacheOperation"}},
        {"counter": 1, "node_type": "tensor",
         "params": {"size": 4096, "memory_config": "MemoryConfig(buffer_type=BufferType::DRAM)"}},
        {"counter": 2, "node_type": "tensor",
         "params": {"size": 512, "memory_config": "MemoryConfig(buffer_type=BufferType::L1)"}},
        {"counter": 3, "node_type": "function_end", "params": {"name": "UpdateKVCacheOperation"}, "connections": [1]}
    ]"#;

    #[test]
    fn what_stays_in_l1_is_not_counted_and_what_is_written_of_a_cache_is() {
        let graph = Graph::read(FROM_L1).unwrap();
        assert_eq!(graph.operations[0].bytes, 512);
    }

    /// A tensor cut into two, neither of which is linked from the end.
    const SEVERAL_OUTPUTS: &str = r#"[
        {"counter": 0, "node_type": "function_start", "input_tensors": [1],
         "params": {"name": "NlpCreateHeadsDeviceOperation"}},
        {"counter": 1, "node_type": "tensor", "params": {"shape": "Shape([1, 1, 32, 96])", "size": 6144}},
        {"counter": 2, "node_type": "function_start", "params": {"name": "tt::tt_metal::create_device_tensor"}},
        {"counter": 3, "node_type": "function_end", "params": {"name": "tt::tt_metal::create_device_tensor"},
         "connections": [4, 5]},
        {"counter": 4, "node_type": "tensor", "params": {"shape": "Shape([1, 2, 32, 32])", "size": 4096}},
        {"counter": 5, "node_type": "function_start", "params": {"name": "tt::tt_metal::create_device_tensor"}},
        {"counter": 6, "node_type": "function_end", "params": {"name": "tt::tt_metal::create_device_tensor"},
         "connections": [7]},
        {"counter": 7, "node_type": "tensor", "params": {"shape": "Shape([1, 1, 32, 32])", "size": 2048}},
        {"counter": 8, "node_type": "dataflow_buffer_allocate",
         "params": {"size": "64", "core_range_set": "{[0-0 - 7-7]}"}},
        {"counter": 9, "node_type": "function_end", "params": {"name": "NlpCreateHeadsDeviceOperation"},
         "connections": [10]}
    ]"#;

    #[test]
    fn several_outputs_count_though_they_are_not_linked() {
        let operation = &Graph::read(SEVERAL_OUTPUTS).unwrap().operations[0];
        assert_eq!((operation.bytes, operation.busy_cores), (2 * 6144, 3.0));
    }

    #[test]
    fn what_is_no_list_of_nodes_is_refused() {
        assert!(Graph::read("{").is_err());
    }
}
