import xml.etree.ElementTree as ElementTree

import pytest

from pi0_tools.evaluation.delay import STRATEGIES, key, node_parameters
from pi0_tools.evaluation.delay_plot import COLOURS, plot, success


def result(strategy, latency_ms, skill, episodes, failed_seeds):
    return {
        "strategy": strategy,
        "added_latency_ms": latency_ms,
        "skill": skill,
        "episodes": episodes,
        "failed_seeds": failed_seeds,
    }


def test_the_success_of_a_strategy_is_that_of_all_skills_by_their_episodes():
    rows = [
        result("rtc", 200, "right_pick", 4, [201]),
        result("rtc", 200, "hand_over", 2, [200, 201]),
        result("rtc", 0, "right_pick", 4, []),
    ]
    assert success(rows) == {("rtc", 200): 0.5, ("rtc", 0): 1.0}


def test_the_plot_has_a_line_for_every_strategy_and_a_mark_for_every_latency():
    rows = [
        result(strategy, latency, "right_pick", 2, [200] if latency else [])
        for strategy in ("replace", "rtc")
        for latency in (0, 100, 500)
    ]
    drawing = ElementTree.fromstring(plot(rows))
    texts = {element.text for element in drawing.iter() if element.text and element.text.strip()}
    assert {"replace", "rtc", "0", "100", "500"} <= texts
    circles = [element for element in drawing.iter() if element.tag.endswith("circle")]
    assert len(circles) == 6
    heights = sorted({float(circle.get("cy")) for circle in circles})
    assert len(heights) == 2 and heights[0] < heights[1]


@pytest.mark.parametrize(("failed", "lowest"), [([], "80 %"), ([200], "80 %"), ([200, 201], "0 %")])
def test_the_axis_begins_at_80_percent_where_no_point_is_below(failed, lowest):
    rows = [result("rtc", latency, "right_pick", 5, failed) for latency in (0, 100)]
    drawing = ElementTree.fromstring(plot(rows))
    percents = {element.text: element.get("y") for element in drawing.iter() if (element.text or "").endswith("%")}
    assert max(percents, key=lambda text: float(percents[text])) == lowest
    assert len(percents) == 6
    (height,) = {float(element.get("cy")) for element in drawing.iter() if element.tag.endswith("circle")}
    share = 1 - len(failed) / 5
    assert f"{100 * share:.0f} %" in percents
    assert height == pytest.approx(float(percents[f"{100 * share:.0f} %"]) - 4, abs=0.1)


def test_every_strategy_has_a_colour():
    assert list(COLOURS) == STRATEGIES


def test_a_run_is_identified_by_everything_that_changes_its_result():
    keys = {
        key(strategy, latency, skill, first, episodes)
        for strategy in ("rtc", "blend")
        for latency in (0, 50)
        for skill in ("right_pick", "hand_over")
        for first in (200, 300)
        for episodes in (1, 50)
    }
    assert len(keys) == 32


def test_the_node_gets_the_latency_in_seconds():
    assert node_parameters("rtc", 50) == ("chunk_blending:=rtc", "added_inference_latency_s:=0.05")
    assert node_parameters("rtc", 0)[1] == "added_inference_latency_s:=0.0"
