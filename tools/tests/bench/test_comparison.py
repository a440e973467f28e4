import pytest

from pi0_tools.bench.comparison import (
    STAGES,
    PeakShares,
    Program,
    emulated_types,
    fastest,
    machine_name,
    peak_shares,
    shares_table,
    summary,
    table,
)


def program(name, chunk_s, peak_gb=1.0, ready_s=()):
    return Program(name, chunk_s, int(0.9e9 * peak_gb), int(1e9 * peak_gb), list(ready_s))


def report(kernel, peak, vision, prefix, step):
    """What pi0_bench prints, with a share of the peak for each stage."""
    fractions = zip(STAGES.values(), (vision, prefix, step), strict=True)
    stages = {stage: {"peak_fraction": fraction} for stage, fraction in fractions}
    return {"kernel": kernel, "instruction_peak": peak, "stages": {**stages, "chunk": {"peak_fraction": 0.1}}}


F32 = program("LeRobot, float32", [30.0, 90.0, 31.0], 16.8)
BF16 = program("LeRobot, bfloat16", [180.0], 9.7)
OWN = {"bf16": program("bf16", [10.0, 12.0, 100.0], 7.0, [3.0, 2.0, 9.0]), "int8": program("int8", [10.0], 4.0, [1.0])}
SHARES = {
    "bf16": PeakShares("avx512_bf16", 412.34, {"vision": 0.61, "prefix": 0.87654, "step": 0.4}),
    "int8": PeakShares("avx512_vnni", 800.0, {"vision": 0.5, "prefix": 0.7, "step": 0.3}),
}


def test_speed_is_told_against_the_faster_baseline_and_against_bfloat16_by_medians():
    assert fastest([BF16, F32]) is F32
    assert summary(OWN, {"float32": F32, "bfloat16": BF16}, SHARES) == {
        "bf16_speedup": 2.58,
        "int8_speedup": 3.1,
        "bf16_speedup_over_bf16": 15.0,
        "int8_speedup_over_bf16": 18.0,
        "bf16_gb": 7.0,
        "int8_gb": 4.0,
        "ready_s": 3.0,
        "gemm_peak_fraction": 0.877,
        "kernel": "avx512_bf16",
        "instruction_peak": 412.3,
        "vision_share": 0.61,
        "prefix_share": 0.877,
        "step_share": 0.4,
        "int8_kernel": "avx512_vnni",
        "int8_instruction_peak": 800.0,
        "int8_vision_share": 0.5,
        "int8_prefix_share": 0.7,
        "int8_step_share": 0.3,
    }


def test_nothing_is_told_against_bfloat16_where_it_was_not_measured():
    values = summary(OWN, {"float32": F32}, SHARES)
    assert (values["bf16_speedup"], values["bf16_speedup_over_bf16"]) == (2.58, None)
    assert (values["int8_speedup"], values["int8_speedup_over_bf16"]) == (3.1, None)


def test_a_stage_s_share_is_of_the_peak_of_its_own_run_and_the_median_run_counts():
    runs = [
        report("avx512_bf16", 400.0, 0.5, 0.8, 0.3),
        report("avx512_bf16", 300.0, 0.7, 0.6, 0.5),
        report("avx512_bf16", 410.0, 0.6, 0.9, 0.4),
    ]
    assert peak_shares(runs) == PeakShares("avx512_bf16", 400.0, {"vision": 0.6, "prefix": 0.8, "step": 0.4})


def test_a_device_without_a_peak_has_no_shares():
    shares = peak_shares([report(None, None, None, None, None)] * 2)
    assert shares == PeakShares(None, None, {"vision": None, "prefix": None, "step": None})
    assert shares_table({"bf16": shares}).splitlines()[2] == "| bf16 | – | – | – | – | – |"
    values = summary(OWN, {"float32": F32}, {"bf16": shares, "int8": SHARES["int8"]})
    assert values["gemm_peak_fraction"] is values["instruction_peak"] is values["step_share"] is None


def test_the_table_of_shares_has_a_line_for_each_precision():
    assert shares_table(SHARES).splitlines() == [
        "| weights | kernel | instruction's peak, GFLOP/s | vision, a camera | prefix | denoising step |",
        "| --- | --- | --- | --- | --- | --- |",
        "| bf16 | avx512_bf16 | 412 | 61 % | 88 % | 40 % |",
        "| int8 | avx512_vnni | 800 | 50 % | 70 % | 30 % |",
    ]


def test_the_table_shows_what_varied_and_the_baseline_s_own_ratio_is_one():
    ours = program("ours", [10.0, 12.0], 7.0, [3.0])
    assert table([ours], [F32]).splitlines()[2:] == [
        "| LeRobot, float32 | 31.0 s | 30.0 to 90.0 s | 1.00 | 15.12 GB | 16.80 GB | – |",
        "| ours | 11.0 s | 10.0 to 12.0 s | 2.82 | 6.30 GB | 7.00 GB | 3.0 s |",
    ]


def cpuinfo(flags):
    return f"model name : a processor\nflags : fpu avx2 {flags}\n"


@pytest.mark.parametrize("instructions", ["avx512f avx512_bf16", "amx_bf16"])
def test_every_type_is_measured_where_the_processor_multiplies_bf16(instructions):
    for gflops in ({"float32": 110.0, "bfloat16": 8.0}, {"float32": 110.0, "bfloat16": 900.0}):
        assert emulated_types(gflops, cpuinfo(instructions)) == {}
    assert emulated_types({"float32": 110.0, "bfloat16": 8.0}, "Features : asimd bf16\n") == {}


def test_bfloat16_is_emulated_where_the_processor_lacks_it_and_its_products_are_far_slower():
    reasons = emulated_types({"float32": 110.0, "bfloat16": 8.0}, cpuinfo("avx512f"))
    assert reasons == {
        "bfloat16": "the processor has no instructions for it, and PyTorch's products run at 8 GFLOP/s in bfloat16 and "
        "at 110 in float32"
    }
    assert emulated_types({"float32": 110.0, "bfloat16": 70.0}, cpuinfo("avx512f")) == {}


def test_a_machine_is_named_by_its_processor_cores_and_instructions():
    x86 = "processor : 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 avx512f\n\nprocessor : 1\nmodel name : AMD EPYC\n"
    assert machine_name(x86, 2) == "AMD EPYC, 2 cores, avx2 avx512f"
    arm = "processor : 0\nFeatures : fp asimd asimddp\nCPU implementer : 0x41\nCPU part : 0xd0c\n"
    assert machine_name(arm, 4) == "0x41/0xd0c, 4 cores, asimd asimddp"
