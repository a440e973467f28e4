// Runs a program of a reader and a writer on one emulated core after the other. The sources are reader.cpp and writer.cpp on
// the include path, their compile-time arguments READER_ARGS and WRITER_ARGS. Standard input is words of 32 bits:
//
//   alignment of DRAM reads
//   number of circular buffers, for each index, pages, bytes of a page
//   number of tensors, for each address, pages, bytes of a page, the same aligned
//   number of common arguments of the reader, these, and the same for the writer
//   number of cores, number of arguments of a kernel, for each core these for the reader and for the writer
//
// and then the bytes of all tensors but the last. Standard output is the bytes of the last, of which each page has to be
// written once.

#include "api/core_local_mem.h"
#include "api/dataflow/circular_buffer.h"
#include "api/tensor/noc_traits.h"

namespace reader {
constexpr uint32_t compile_time_args[] = {READER_ARGS};
#include "reader.cpp"
}  // namespace reader

namespace writer {
constexpr uint32_t compile_time_args[] = {WRITER_ARGS};
#include "writer.cpp"
}  // namespace writer

using namespace emulation;

static void read_bytes(void* target, size_t bytes) {
    if (fread(target, 1, bytes, stdin) != bytes) {
        fail("input ends early");
    }
}

static uint32_t read_word() {
    uint32_t word;
    read_bytes(&word, sizeof word);
    return word;
}

static uint32_t* read_words(uint32_t count) {
    uint32_t* words = static_cast<uint32_t*>(calloc(count + 1, sizeof(uint32_t)));
    read_bytes(words, count * sizeof(uint32_t));
    return words;
}

static uint32_t aligned(uint32_t address) {
    return (address + dram_alignment - 1) / dram_alignment * dram_alignment;
}

static void read_buffers() {
    uint32_t end = 0;
    for (uint32_t left = read_word(); left > 0; --left) {
        Buffer& buffer = buffers[read_word() % max_buffers];
        buffer.num_pages = read_word();
        buffer.page_bytes = read_word();
        buffer.address = aligned(end);
        end = buffer.address + buffer.num_pages * buffer.page_bytes;
        check(end <= l1_bytes, "circular buffers larger than a core's memory");
    }
}

static void read_tensors() {
    num_tensors = read_word();
    tensors = static_cast<Tensor*>(calloc(num_tensors, sizeof(Tensor)));
    for (uint32_t index = 0; index < num_tensors; ++index) {
        Tensor& tensor = tensors[index];
        tensor.address = read_word();
        tensor.num_pages = read_word();
        tensor.page_bytes = read_word();
        tensor.aligned_page_bytes = read_word();
        check(aligned(tensor.address) == tensor.address, "tensor at an address that is not aligned");
        check(aligned(tensor.page_bytes) == tensor.aligned_page_bytes, "page of another aligned size");
        tensor.data = static_cast<uint8_t*>(calloc(tensor.num_pages, tensor.page_bytes));
        tensor.writes = static_cast<uint32_t*>(calloc(tensor.num_pages, sizeof(uint32_t)));
    }
}

static void* run_processor(void* processor) {
    self = static_cast<Processor*>(processor);
    self->kernel_main();
    Locked locked;
    check(self->num_reads == 0 && self->num_writes == 0, "ends with transfers under way");
    check(!self->writes_flushed_not_landed, "ends before its writes have landed");
    self->finished = true;
    changed();
    return nullptr;
}

static void run_core() {
    pthread_t threads[2];
    for (Processor& processor : processors) {
        processor.finished = processor.waiting = false;
    }
    for (uint32_t index = 0; index < 2; ++index) {
        pthread_create(&threads[index], nullptr, run_processor, &processors[index]);
    }
    for (pthread_t thread : threads) {
        pthread_join(thread, nullptr);
    }
    for (Buffer& buffer : buffers) {
        check(buffer.pushed == buffer.popped && buffer.reserved == 0, "circular buffer that is not left empty");
        buffer.pushed = buffer.popped = buffer.waited = 0;
    }
    memset(written, 0, sizeof written);
}

int main() {
    dram_alignment = read_word();
    read_buffers();
    read_tensors();
    Processor& first = processors[0];
    Processor& second = processors[1];
    first.name = "reader";
    first.kernel_main = reader::kernel_main;
    first.compile_time_args = reader::compile_time_args;
    first.num_compile_time_args = sizeof reader::compile_time_args / sizeof(uint32_t);
    second.name = "writer";
    second.kernel_main = writer::kernel_main;
    second.compile_time_args = writer::compile_time_args;
    second.num_compile_time_args = sizeof writer::compile_time_args / sizeof(uint32_t);
    for (Processor& processor : processors) {
        processor.num_common_args = read_word();
        processor.common_args = read_words(processor.num_common_args);
    }
    const uint32_t num_cores = read_word();
    const uint32_t num_args = read_word();
    const uint32_t* args = read_words(num_cores * 2 * num_args);
    for (uint32_t index = 0; index + 1 < num_tensors; ++index) {
        read_bytes(tensors[index].data, size_t(tensors[index].num_pages) * tensors[index].page_bytes);
    }
    for (uint32_t core = 0; core < num_cores; ++core) {
        for (uint32_t index = 0; index < 2; ++index) {
            processors[index].args = args + (2 * core + index) * num_args;
            processors[index].num_args = num_args;
        }
        run_core();
    }
    const Tensor& output = tensors[num_tensors - 1];
    for (uint32_t page = 0; page < output.num_pages; ++page) {
        check(output.writes[page] == 1, "page of the output that is not written once");
    }
    fwrite(output.data, output.page_bytes, output.num_pages, stdout);
    return 0;
}
