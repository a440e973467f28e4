"""pi0_node beside LeRobot: from single measurements to tables, ratios and one line of JSON."""

from dataclasses import dataclass
from statistics import median

INSTRUCTION_SETS = (
    "avx2",
    "avx_vnni",
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
# Those that multiply bf16, on x86-64 and on Arm.
BF16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}

# Stages whose shares of peak are told, and what pi0_bench calls one of each.
STAGES = {"vision": "vision, a camera", "prefix": "prefix", "step": "denoising step"}


@dataclass(frozen=True)
class PeakShares:
    """A program's instructions, what they reach on registers in GFLOP/s, and each stage's share of that: medians.

    All None where the device could not measure them.
    """

    kernel: str | None
    instruction_peak: float | None
    stages: dict[str, float | None]


@dataclass(frozen=True)
class Program:
    """What was measured of one program: chunk_s has one time a chunk; bytes are the most of all its processes."""

    name: str
    chunk_s: list[float]
    resident_bytes: int
    peak_resident_bytes: int
    ready_s: list[float]


def processor(cpuinfo):
    """The processor's name and what it multiplies with, from the text of /proc/cpuinfo."""
    values = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        values.setdefault(key.strip(), value.strip())
    # Arm names neither a model nor flags, but an implementer and features.
    name = values.get("model name") or f"{values.get('CPU implementer', '?')}/{values.get('CPU part', '?')}"
    there = (values.get("flags") or values.get("Features") or "").split()
    return name, [instructions for instructions in INSTRUCTION_SETS if instructions in there]


def machine_name(cpuinfo, cores):
    """The processor's name, its cores and what it multiplies with, from the text of /proc/cpuinfo."""
    name, instructions = processor(cpuinfo)
    return f"{name}, {cores} cores, {' '.join(instructions) or 'no vector instructions known here'}"


def emulated_types(gflops, cpuinfo, at_least=0.5):
    """Types that PyTorch emulates, each with why: bfloat16 or none.

    Other types are never left out for the speed of their products: where the processor multiplies bf16, those in
    bfloat16 are the faster ones, and LeRobot's chunk may still be faster in float32.
    """
    _, instructions = processor(cpuinfo)
    if BF16_INSTRUCTIONS.intersection(instructions) or gflops["bfloat16"] >= at_least * gflops["float32"]:
        return {}
    return {
        "bfloat16": "the processor has no instructions for it, and PyTorch's products run at "
        f"{gflops['bfloat16']:.0f} GFLOP/s in bfloat16 and at {gflops['float32']:.0f} in float32"
    }


def peak_shares(reports):
    """reports: what pi0_bench found in each process; a stage's share is of the peak that the same process measured."""
    return PeakShares(
        reports[0]["kernel"],
        measured_median(report["instruction_peak"] for report in reports),
        {
            name: measured_median(report["stages"][stage]["peak_fraction"] for report in reports)
            for name, stage in STAGES.items()
        },
    )


def measured_median(values):
    """None where one was not measured."""
    values = list(values)
    return None if None in values else median(values)


def rounded(value, digits):
    return None if value is None else round(value, digits)


def speed(gflops):
    return "–" if gflops is None else f"{gflops:.0f}"


def percent(share):
    return "–" if share is None else f"{100 * share:.0f} %"


def fastest(programs):
    return min(programs, key=lambda program: median(program.chunk_s))


def speedup(program, baselines):
    """How many times as fast a program is as the fastest of the baselines, by medians."""
    return median(fastest(baselines).chunk_s) / median(program.chunk_s)


def markdown(header, rows):
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def table(programs, baselines):
    """Markdown: the baselines first."""
    rows = []
    for program in [*baselines, *programs]:
        times = program.chunk_s
        rows.append(
            [
                program.name,
                f"{median(times):.1f} s",
                f"{min(times):.1f} to {max(times):.1f} s",
                f"{speedup(program, baselines):.2f}",
                f"{program.resident_bytes / 1e9:.2f} GB",
                f"{program.peak_resident_bytes / 1e9:.2f} GB",
                f"{median(program.ready_s):.1f} s" if program.ready_s else "–",
            ]
        )
    header = ["", "chunk, median", "fastest to slowest", "times as fast", "resident", "at most", "ready"]
    return markdown(header, rows)


def shares_table(shares):
    """Markdown. shares: PeakShares by the precision of weights."""
    return markdown(
        ["weights", "kernel", "instruction's peak, GFLOP/s", *STAGES.values()],
        [
            [
                precision,
                of.kernel or "–",
                speed(of.instruction_peak),
                *(percent(of.stages[stage]) for stage in STAGES),
            ]
            for precision, of in shares.items()
        ],
    )


def summary(programs, baselines, shares):
    """The values of the last line. Memory is the most that a process had at any time.

    programs and shares are by the precision of weights, baselines by LeRobot's type. What is told against LeRobot's
    bfloat16 is None where that was not measured. gemm_peak_fraction is another name of prefix_share.
    """
    bf16, int8 = programs["bf16"], programs["int8"]
    types = list(baselines.values())
    in_bf16 = [baselines["bfloat16"]] if "bfloat16" in baselines else []
    return {
        "bf16_speedup": round(speedup(bf16, types), 2),
        "int8_speedup": round(speedup(int8, types), 2),
        "bf16_speedup_over_bf16": round(speedup(bf16, in_bf16), 2) if in_bf16 else None,
        "int8_speedup_over_bf16": round(speedup(int8, in_bf16), 2) if in_bf16 else None,
        "bf16_gb": round(bf16.peak_resident_bytes / 1e9, 2),
        "int8_gb": round(int8.peak_resident_bytes / 1e9, 2),
        "ready_s": round(median(bf16.ready_s), 2),
        "gemm_peak_fraction": rounded(shares["bf16"].stages["prefix"], 3),
        **share_values("", shares["bf16"]),
        **share_values("int8_", shares["int8"]),
    }


def share_values(prefix, shares):
    return {
        f"{prefix}kernel": shares.kernel,
        f"{prefix}instruction_peak": rounded(shares.instruction_peak, 1),
        **{f"{prefix}{stage}_share": rounded(share, 3) for stage, share in shares.stages.items()},
    }
