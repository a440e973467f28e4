"""pi0_node beside LeRobot: from single measurements to a table, ratios and one line of JSON."""

from dataclasses import dataclass
from statistics import median

INSTRUCTION_SETS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
)


@dataclass(frozen=True)
class Program:
    """What was measured of one program: chunk_s has one time a chunk; bytes are the most of all its processes."""

    name: str
    chunk_s: list[float]
    resident_bytes: int
    peak_resident_bytes: int
    ready_s: list[float]


def machine_name(cpuinfo, cores):
    """The processor's name, its cores and what it multiplies with, from the text of /proc/cpuinfo."""
    values = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        values.setdefault(key.strip(), value.strip())
    # Arm names neither a model nor flags, but an implementer and features.
    name = values.get("model name") or f"{values.get('CPU implementer', '?')}/{values.get('CPU part', '?')}"
    there = (values.get("flags") or values.get("Features") or "").split()
    sets = [name for name in INSTRUCTION_SETS if name in there]
    return f"{name}, {cores} cores, {' '.join(sets) or 'no vector instructions known here'}"


def slower_types(gflops, at_least=0.5):
    """The types in which PyTorch's products reach less than a share of the fastest's speed, each with why."""
    fastest = max(gflops, key=gflops.get)
    return {
        dtype: f"PyTorch's products run at {speed:.0f} GFLOP/s in {dtype} and at {gflops[fastest]:.0f} in {fastest}"
        for dtype, speed in gflops.items()
        if speed < at_least * gflops[fastest]
    }


def fastest(programs):
    return min(programs, key=lambda program: median(program.chunk_s))


def speedup(program, baselines):
    """How many times as fast a program is as the fastest of the baselines, by medians."""
    return median(fastest(baselines).chunk_s) / median(program.chunk_s)


def table(programs, baselines):
    """Markdown: the baselines first."""
    lines = [
        "| | chunk, median | fastest to slowest | times as fast | resident | at most | ready |",
        "|---|---|---|---|---|---|---|",
    ]
    for program in [*baselines, *programs]:
        times = program.chunk_s
        ready = f"{median(program.ready_s):.1f} s" if program.ready_s else "–"
        lines.append(
            f"| {program.name} | {median(times):.1f} s | {min(times):.1f} to {max(times):.1f} s "
            f"| {speedup(program, baselines):.2f} | {program.resident_bytes / 1e9:.2f} GB "
            f"| {program.peak_resident_bytes / 1e9:.2f} GB | {ready} |"
        )
    return "\n".join(lines)


def summary(bf16, int8, baselines, gemm_peak_fraction):
    """The values of the last line. Memory is the most that a process had at any time."""
    return {
        "bf16_speedup": round(speedup(bf16, baselines), 2),
        "int8_speedup": round(speedup(int8, baselines), 2),
        "bf16_gb": round(bf16.peak_resident_bytes / 1e9, 2),
        "int8_gb": round(int8.peak_resident_bytes / 1e9, 2),
        "ready_s": round(median(bf16.ready_s), 2),
        "gemm_peak_fraction": round(gemm_peak_fraction, 3),
    }


def peak_fraction(speeds, own_peaks, other_peak):
    """The median speed of a stage as a share of the fastest product that any program reached on the machine."""
    return median(speeds) / max(*own_peaks, other_peak)
