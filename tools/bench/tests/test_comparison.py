import pytest

from comparison import Program, fastest, machine_name, peak_fraction, slower_types, summary, table


def program(name, chunk_s, peak_gb=1.0, ready_s=()):
    return Program(name, chunk_s, int(0.9e9 * peak_gb), int(1e9 * peak_gb), list(ready_s))


F32 = program("LeRobot, float32", [30.0, 90.0, 31.0], 16.8)
BF16 = program("LeRobot, bfloat16", [180.0], 9.7)


def test_speed_is_told_against_the_faster_baseline_by_medians():
    ours = program("bf16", [10.0, 12.0, 100.0], 7.0, [3.0, 2.0, 9.0])
    int8 = program("int8", [10.0], 4.0, [1.0])
    assert fastest([BF16, F32]) is F32
    assert summary(ours, int8, [BF16, F32], 0.87654) == {
        "bf16_speedup": 2.58,
        "int8_speedup": 3.1,
        "bf16_gb": 7.0,
        "int8_gb": 4.0,
        "ready_s": 3.0,
        "gemm_peak_fraction": 0.877,
    }


def test_the_table_shows_what_varied_and_the_baseline_s_own_ratio_is_one():
    ours = program("ours", [10.0, 12.0], 7.0, [3.0])
    assert table([ours], [F32]).splitlines()[2:] == [
        "| LeRobot, float32 | 31.0 s | 30.0 to 90.0 s | 1.00 | 15.12 GB | 16.80 GB | – |",
        "| ours | 11.0 s | 10.0 to 12.0 s | 2.82 | 6.30 GB | 7.00 GB | 3.0 s |",
    ]


def test_a_type_is_left_out_only_where_its_products_are_far_slower():
    assert slower_types({"float32": 110.0, "bfloat16": 330.0}) == {
        "float32": "PyTorch's products run at 110 GFLOP/s in float32 and at 330 in bfloat16"
    }
    assert slower_types({"float32": 110.0, "bfloat16": 70.0}) == {}
    assert list(slower_types({"float32": 110.0, "bfloat16": 8.0})) == ["bfloat16"]


def test_the_peak_is_the_fastest_product_of_any_program():
    assert peak_fraction([80.0, 90.0, 85.0], [95.0, 90.0, 99.0], 70.0) == pytest.approx(85 / 99)
    assert peak_fraction([80.0], [95.0], 100.0) == pytest.approx(0.8)


def test_a_machine_is_named_by_its_processor_cores_and_instructions():
    x86 = "processor : 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 avx512f\n\nprocessor : 1\nmodel name : AMD EPYC\n"
    assert machine_name(x86, 2) == "AMD EPYC, 2 cores, avx2 avx512f"
    arm = "processor : 0\nFeatures : fp asimd asimddp\nCPU implementer : 0x41\nCPU part : 0xd0c\n"
    assert machine_name(arm, 4) == "0x41/0xd0c, 4 cores, asimd asimddp"
