"""Draws success against added inference latency, a line for each way of joining chunks, as SVG."""

from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 52, 110, 14, 44
COLOURS = {
    "replace": "#1f6feb",
    "blend": "#d68a16",
    "ensemble": "#969696",
    "inpaint": "#8250df",
    "rtc": "#1a7f37",
}
# Where every point is above this, the axis begins there.
HIGH_PERCENT = 80
# Lines that lie on one another stay visible.
DODGE_PX = 2.0


def success(rows):
    """By strategy and latency, the share of all episodes of all skills that were done."""
    done, episodes = {}, {}
    for row in rows:
        point = row["strategy"], row["added_latency_ms"]
        done[point] = done.get(point, 0) + row["episodes"] - len(row["failed_seeds"])
        episodes[point] = episodes.get(point, 0) + row["episodes"]
    return {point: done[point] / episodes[point] for point in done}


def plot(rows):
    points = success(rows)
    latencies = sorted({latency for _, latency in points})
    strategies = [strategy for strategy in COLOURS if any(name == strategy for name, _ in points)]
    longest = max([*latencies, 1])
    lowest_percent = HIGH_PERCENT if 100 * min(points.values()) >= HIGH_PERCENT else 0

    def x(latency):
        return LEFT + (WIDTH - LEFT - RIGHT) * latency / longest

    def y(share):
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share) / (1 - lowest_percent / 100)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for percent in range(lowest_percent, 101, (100 - lowest_percent) // 5):
        height = y(percent / 100)
        parts.append(f'<path d="M{LEFT} {height:.1f}H{WIDTH - RIGHT}" stroke="#e1e4e8"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{percent} %</text>')
    for latency in latencies:
        parts.append(f'<text x="{x(latency):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{latency}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">added inference latency in ms</text>')
    for index, strategy in enumerate(strategies):
        dodge = DODGE_PX * (index - (len(strategies) - 1) / 2)
        line = [
            (x(latency) + dodge, y(points[strategy, latency])) for latency in latencies if (strategy, latency) in points
        ]
        path = "L".join(f"{across:.1f} {up:.1f}" for across, up in line)
        colour = COLOURS[strategy]
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3" fill="{colour}"/>' for across, up in line]
        legend = TOP + 14 + 20 * index
        parts.append(f'<path d="M{WIDTH - RIGHT + 12} {legend}h16" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 34}" y="{legend + 4}">{escape(strategy)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
