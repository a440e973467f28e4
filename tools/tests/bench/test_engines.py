import pytest

from pi0_tools.bench.engines import few_rows, joint_gflops, table_by_layer, table_by_rows

PRODUCTS = {
    "rows": [1, 64],
    "layers": {
        "small": {"inputs": 10, "outputs": 10, "gflops": [5.0, 50.0]},
        "large": {"inputs": 10, "outputs": 30, "gflops": [10.0, 100.0]},
    },
}
SLOW = {
    "rows": [1, 64],
    "layers": {
        "small": {"inputs": 10, "outputs": 10, "gflops": [5.0, None]},
        "large": {"inputs": 10, "outputs": 30, "gflops": [10.0, None]},
    },
}


def test_the_joint_speed_is_all_work_over_all_time():
    assert joint_gflops(PRODUCTS, 0) == pytest.approx(400 / (100 / 5 + 300 / 10))
    assert joint_gflops(SLOW, 1) is None


def test_what_was_not_measured_is_a_dash():
    assert table_by_rows({"ours": PRODUCTS, "other": SLOW}).splitlines() == [
        "| GFLOP/s | 1 rows | 64 rows |",
        "| --- | --- | --- |",
        "| ours | 8 | 80 |",
        "| other | 8 | – |",
    ]
    assert table_by_layer({"ours": PRODUCTS, "other": SLOW}, 64).splitlines()[2:] == [
        "| small | 10 → 10 | 50 | – |",
        "| large | 10 → 30 | 100 | – |",
    ]


def test_a_type_that_was_measured_at_few_rows_is_named_with_why():
    assert few_rows({"bfloat16": "it is slow"}) == [
        "PyTorch in bfloat16 was measured at no more than 64 rows: it is slow."
    ]
    assert few_rows({}) == []
