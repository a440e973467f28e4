import pytest

from pi0_tools.bench import kernel_speeds
from pi0_tools.bench.kernel_speeds import entries, left_out, lerobot_is_installed, most_rows, table


def kernel(level, precision, rows, gflops, peak=200.0):
    """Of two layers: at 51 rows both run at gflops, with more rows at twice that."""
    speeds = [gflops, 2 * gflops][: len(rows)]
    layers = {
        "small": {"inputs": 10, "outputs": 10, "gflops": speeds},
        "large": {"inputs": 10, "outputs": 30, "gflops": speeds},
    }
    return {"level": level, "precision": precision, "instruction_peak": peak, "rows": rows, "layers": layers}


SCALAR = kernel("scalar", "f32", [51], 10.0, peak=None)
BF16 = kernel("avx512_bf16", "bf16", [51, 532], 80.0)
ONEDNN = {"rows": [51, 532], "layers": {"one": {"inputs": 10, "outputs": 10, "gflops": [60.0, None]}}}


def test_every_kernel_has_an_entry_for_each_of_its_rows_with_its_share_of_its_own_peak_if_it_has_one():
    common = {"level": "avx512_bf16", "precision": "bf16", "peak": 200.0}
    assert entries([SCALAR, BF16], {"bf16": ONEDNN}) == [
        {
            "level": "scalar",
            "precision": "f32",
            "rows": 51,
            "gflops": pytest.approx(10.0),
            "peak": None,
            "share": None,
            "onednn": None,
        },
        {**common, "rows": 51, "gflops": pytest.approx(80.0), "share": pytest.approx(0.4), "onednn": 60.0},
        {**common, "rows": 532, "gflops": pytest.approx(160.0), "share": pytest.approx(0.8), "onednn": None},
    ]


def test_onednn_s_speed_is_the_one_at_the_same_rows_where_fewer_were_measured_here():
    onednn = {"rows": [1, 51], "layers": {"one": {"inputs": 10, "outputs": 10, "gflops": [5.0, 60.0]}}}
    assert entries([SCALAR], {"f32": onednn})[0]["onednn"] == 60.0


def test_what_was_not_measured_is_a_dash():
    assert table(entries([SCALAR, BF16], {"bf16": ONEDNN})).splitlines() == [
        "| kernel | weights | rows | GFLOP/s | instruction's peak | share | oneDNN |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| scalar | f32 | 51 | 10 | – | – | – |",
        "| avx512_bf16 | bf16 | 51 | 80 | 200 | 40 % | 60 |",
        "| avx512_bf16 | bf16 | 532 | 160 | 200 | 80 % | – |",
    ]


def test_a_level_that_was_measured_at_fewer_rows_is_named_once():
    assert most_rows([SCALAR, BF16]) is BF16
    assert left_out([SCALAR, kernel("scalar", "int8", [51], 10.0), BF16]) == [
        "scalar was measured at 51 rows only: the others would take minutes."
    ]
    assert left_out([BF16]) == []


def test_an_installation_of_lerobot_that_was_not_finished_is_none(tmp_path, monkeypatch):
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    monkeypatch.setattr(kernel_speeds, "LEROBOT_PYTHON", python)
    assert not lerobot_is_installed()
    (tmp_path / "requirements.txt").touch()
    assert lerobot_is_installed()
