// Records Tensix instructions in a thread's replay buffer, and runs them again: tt-isa-documentation, REPLAY.md.
#pragma once

#include <cstdint>

namespace lltt {

enum ExecBool : bool { NoExec = false, Exec = true };

constexpr std::uint32_t replay_word(std::uint32_t start, std::uint32_t length, bool executes, bool records) {
    return (0x04u << 24) | (start << 14) | (length << 4) | (std::uint32_t(executes) << 1) | std::uint32_t(records);
}

// Issues a word that is known after inlining, or else stores it to the thread's instruction buffer.
__attribute__((always_inline)) inline void issue(std::uint32_t word) {
    if (__builtin_constant_p(word)) {
        asm volatile(".ttinsn %0" ::"i"(word));
    } else {
        reinterpret_cast<volatile std::uint32_t *>(0xFFE40000u)[0] = word;
    }
}

// The instructions that follow, `length` of them, are kept at `start`.
template <ExecBool executes = NoExec>
__attribute__((always_inline)) inline void record(std::uint32_t start, std::uint32_t length) {
    issue(replay_word(start, length, executes, true));
}

__attribute__((always_inline)) inline void replay(std::uint32_t start, std::uint32_t length) {
    issue(replay_word(start, length, false, false));
}

constexpr std::uint32_t replay_insn(std::uint32_t start, std::uint32_t length) {
    return replay_word(start, length, false, false);
}

}  // namespace lltt
