#!/usr/bin/env python3
"""Draws a Grafana dashboard from the answers of a Prometheus, as one SVG.

Reads the file of the dashboard: layout, titles, units, thresholds and queries are those of the file. `make dashboards` runs it.
"""

import argparse
import datetime
import json
import math
import re
import urllib.parse
import urllib.request
from html import escape

WIDTH, MARGIN, GAP, COLUMNS = 1000, 12, 8, 24
HEADER, ROW = 58, 25
# Average width of a letter, as a part of the size of the font.
LETTER = 0.58
# Names of series are cut there.
LONGEST_NAME = 44

LIGHT = ["#2560b8", "#c4570a", "#227a46", "#7a47ab", "#bd2f3c", "#0c7a8a", "#86690f", "#b03a7c"]
DARK = ["#6ea6f5", "#f59a52", "#5cc684", "#bd94e8", "#f27a83", "#45c0d1", "#d8b64a", "#ee85bd"]


class Prometheus:
    """The HTTP API."""

    def __init__(self, url, start, end, scrape_seconds):
        self.url, self.start, self.end = url.rstrip("/"), start, end
        self.step = max(scrape_seconds, round((end - start) / 150))
        # As Grafana calculates it.
        self.rate_interval = max(4 * scrape_seconds, self.step + scrape_seconds)

    def ask(self, path, **parameters):
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]["result"]

    def expression(self, target):
        expression = target["expr"].replace("$__rate_interval", f"{self.rate_interval}s")
        return re.sub(r"\$\w+", ".*", expression)

    def now(self, target):
        """Labels and value of each series at the end."""
        answer = self.ask("query", query=self.expression(target), time=self.end)
        return [(one["metric"], float(one["value"][1])) for one in answer]

    def range(self, target):
        """Labels and points of each series; a point without a number is left out."""
        answer = self.ask(
            "query_range", query=self.expression(target), start=self.start, end=self.end, step=self.step
        )
        series = []
        for one in answer:
            points = [(time, float(value)) for time, value in one["values"]]
            series.append((one["metric"], [point for point in points if math.isfinite(point[1])]))
        return [one for one in series if one[1]]


def number(value):
    """A number with at most three digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds(value):
    for unit, size in [("days", 86400), ("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3), ("µs", 1e-6)]:
        # Five minutes are more readable as minutes, one and a half as seconds.
        if abs(value) >= size * (2 if unit in ("days", "h", "min") else 1):
            return f"{number(value / size)} {unit}"
    return f"{number(value)} s"


def with_unit(value, unit):
    if unit == "s":
        return seconds(value)
    if unit == "reqps":
        return f"{number(value)}/s"
    if unit == "dateTimeAsIso":
        moment = datetime.datetime.fromtimestamp(value / 1000, datetime.timezone.utc)
        return moment.strftime("%Y-%m-%d %H:%M")
    return number(value)


def ticks(highest, is_time, is_whole):
    """Two to five round values from 0 to at least the highest one."""
    if highest <= 0:
        return [0, 1]
    steps = [base * 10.0**power for power in range(-9, 10) for base in (1, 2, 2.5, 5)]
    if is_time and highest > 120:
        steps = [size * base for size in (60, 3600, 86400) for base in (1, 2, 5, 10, 15, 30)]
    elif is_whole:
        steps = [step for step in steps if step >= 1 and step % 1 == 0]
    step = min(one for one in steps if highest / one <= 4)
    return [step * index for index in range(math.ceil(highest / step - 1e-9) + 1)]


def width_of(text, size):
    return len(text) * size * LETTER


def shortened(text, longest):
    return text if len(text) <= longest else text[: max(longest - 1, 1)].rstrip() + "…"


def name_of(labels, template):
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found.group(1), ""), template or "").strip()


def text(x, y, content, kind, anchor="start"):
    anchor = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}"{anchor}>{escape(content)}</text>'


class Panel:
    """A panel and its place."""

    def __init__(self, panel):
        place = panel["gridPos"]
        column = (WIDTH - 2 * MARGIN + GAP) / COLUMNS
        self.x, self.y = MARGIN + place["x"] * column, HEADER + place["y"] * ROW
        self.width, self.height = place["w"] * column - GAP, place["h"] * ROW - GAP
        self.panel, self.defaults = panel, panel["fieldConfig"]["defaults"]
        self.unit = self.defaults.get("unit", "short")

    def draw(self, prometheus):
        frame = f'<rect class="panel" x="{self.x:.0f}" y="{self.y:.0f}" width="{self.width:.0f}" height="{self.height:.0f}" rx="5"/>'
        title = text(self.x + 14, self.y + 21, self.panel["title"], "title")
        inside = {"stat": self.stat, "timeseries": self.curves, "table": self.table}[self.panel["type"]]
        return [frame, title, *inside(prometheus)]

    def nothing(self):
        return [text(self.x + self.width / 2, self.y + self.height / 2 + 8, "No data", "small", "middle")]

    def stat(self, prometheus):
        found = prometheus.now(self.panel["targets"][0])
        if not found:
            return self.nothing()
        value, color = found[0][1], "plain"
        for step in self.defaults.get("thresholds", {}).get("steps", []):
            if step["value"] is None or value >= step["value"]:
                color = step["color"]
        return [text(self.x + 14, self.y + 66, with_unit(value, self.unit), f"stat {color}")]

    def curves(self, prometheus):
        series = []
        for target in self.panel["targets"]:
            for labels, points in prometheus.range(target):
                series.append((name_of(labels, target.get("legendFormat")), points))
        if not series:
            return self.nothing()
        values = [value for _, points in series for _, value in points]
        is_whole = self.unit == "short" and all(value % 1 == 0 for value in values)
        values = ticks(max(values), self.unit == "s", is_whole)
        legend, lines = self.legend([name for name, _ in series])
        labels = [with_unit(value, self.unit) for value in values]
        left = self.x + 16 + max(width_of(label, 11) for label in labels)
        right, top = self.x + self.width - 14, self.y + 34
        bottom = self.y + self.height - 30 - 16 * lines
        drawn = []
        for value, label in zip(values, labels):
            y = bottom - (bottom - top) * value / values[-1]
            drawn.append(f'<path class="grid" d="M{left:.0f} {y:.1f}H{right:.0f}"/>')
            drawn.append(text(left - 6, y + 4, label, "small", "end"))
        span = prometheus.end - prometheus.start
        minutes = next(one for one in (1, 2, 5, 10, 15, 30, 60) if span / 60 / one <= (right - left) / 62)
        moment = math.ceil(prometheus.start / 60 / minutes) * 60 * minutes
        while moment <= prometheus.end:
            x = left + (right - left) * (moment - prometheus.start) / span
            label = datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%H:%M")
            if x + 16 < self.x + self.width:
                drawn.append(text(x, bottom + 16, label, "small", "middle"))
            moment += 60 * minutes
        for index, (_, points) in enumerate(series):
            place = [
                (left + (right - left) * (time - prometheus.start) / span, bottom - (bottom - top) * value / values[-1], time)
                for time, value in points
            ]
            drawn.append(f'<path class="line s{index % len(LIGHT)}" d="{path(place, prometheus.step * 1.5)}"/>')
        return drawn + legend

    def legend(self, names):
        """The names of the series below the curves, and how many lines they take."""
        names = [shortened(name, LONGEST_NAME) for name in names]
        x, line, drawn, lines = self.x + 14, 0, [], []
        for index, name in enumerate(names):
            width = 18 + width_of(name, 11.5) + 14
            if x + width > self.x + self.width and x > self.x + 14:
                x, line = self.x + 14, line + 1
            lines.append((index, name, x, line))
            x += width
        for index, name, x, line in lines:
            y = self.y + self.height - 12 - 16 * (lines[-1][3] - line)
            drawn.append(f'<path class="key s{index % len(LIGHT)}" d="M{x:.0f} {y - 4:.0f}h12"/>')
            drawn.append(text(x + 17, y, name, "legend"))
        return drawn, lines[-1][3] + 1

    def table(self, prometheus):
        found = prometheus.now(self.panel["targets"][0])
        if not found:
            return self.nothing()
        hidden, renamed = set(), {}
        for transformation in self.panel.get("transformations", []):
            options = transformation["options"]
            hidden |= {name for name, is_hidden in options.get("excludeByName", {}).items() if is_hidden}
            renamed.update(options.get("renameByName", {}))
        columns = sorted({label for labels, _ in found for label in labels} - hidden)
        rows = [[labels.get(column, "") for column in columns] + [with_unit(value, self.unit)] for labels, value in found]
        columns = [renamed.get(column, column) for column in [*columns, "Value"]]
        fitting = int((self.height - 56) / 19)
        longest = [max(len(row[index]) for row in [columns, *rows]) + 3 for index in range(len(columns))]
        letters = int((self.width - 24) / (12 * LETTER))
        while sum(longest) > letters:
            longest[longest.index(max(longest))] -= 1
        drawn = []
        for number_of_row, row in enumerate([columns, *rows[:fitting]]):
            x, y = self.x + 14, self.y + 44 + 19 * number_of_row
            for cell, letters in zip(row, longest):
                drawn.append(text(x, y, shortened(cell, letters - 2), "head" if number_of_row == 0 else "cell"))
                x += letters * 12 * LETTER
            if number_of_row == 0:
                drawn.append(f'<path class="grid" d="M{self.x + 12:.0f} {y + 6:.0f}H{self.x + self.width - 12:.0f}"/>')
        return drawn


def path(place, longest_pause):
    """The line through points, without those inside of a level stretch, and with gaps."""
    drawn, last = [], None
    for index, (x, y, time) in enumerate(place):
        following = place[index + 1] if index + 1 < len(place) else None
        begins = last is None or time - last[2] > longest_pause
        is_level = (
            not begins and following and following[2] - time <= longest_pause
            and abs(y - last[1]) < 0.05 and abs(y - following[1]) < 0.05
        )
        if begins:
            drawn.append(f"M{x:.1f} {y:.1f}")
            if not following or following[2] - time > longest_pause:
                drawn.append("h.1")
        elif not is_level:
            drawn.append(f"L{x:.1f} {y:.1f}")
        last = (x, y, time)
    return "".join(drawn)


def style():
    def series(colors):
        return " ".join(f".s{index} {{ stroke: {color} }}" for index, color in enumerate(colors))

    return f"""<style>
    text {{ fill: #1d2733; font: 12px system-ui, "Segoe UI", Helvetica, Arial, sans-serif }}
    .page {{ fill: #eef1f5 }} .panel {{ fill: #ffffff; stroke: #d3dae3 }}
    .name {{ font-size: 19px; font-weight: 600 }} .title, .head {{ font-weight: 600 }} .title {{ font-size: 13px }}
    .small, .note {{ font-size: 11px; fill: #56657a }} .legend {{ font-size: 11.5px }} .note {{ font-size: 12px }}
    .stat {{ font-size: 24px; font-weight: 600 }} .green {{ fill: #1f7a41 }} .red {{ fill: #bd2f3c }}
    .grid {{ stroke: #e3e8ee; fill: none }} .line {{ fill: none; stroke-width: 1.6; stroke-linejoin: round; stroke-linecap: round }}
    .key {{ fill: none; stroke-width: 3 }}
    {series(LIGHT)}
    @media (prefers-color-scheme: dark) {{
      text {{ fill: #e4ebf3 }} .page {{ fill: #0d131b }} .panel {{ fill: #151e29; stroke: #2b3848 }}
      .small, .note {{ fill: #9fb0c3 }} .grid {{ stroke: #263342 }} .green {{ fill: #5cc684 }} .red {{ fill: #f27a83 }}
      {series(DARK)}
    }}
  </style>"""


def draw(dashboard, prometheus):
    panels = [Panel(panel) for panel in dashboard["panels"]]
    height = max(panel.y + panel.height for panel in panels) + MARGIN
    start, end = (
        datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%H:%M") for moment in (prometheus.start, prometheus.end)
    )
    described = f"{dashboard['description']}: panels drawn from the answers of Prometheus."
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-labelledby="title description">',
        f'<title id="title">{escape(dashboard["title"])}</title>',
        f'<desc id="description">{escape(described)}</desc>',
        style(),
        f'<rect class="page" width="{WIDTH}" height="{height:.0f}" rx="8"/>',
        text(MARGIN + 4, 36, dashboard["title"], "name"),
        text(WIDTH - MARGIN - 4, 36, f"{start} to {end} UTC", "note", "end"),
    ]
    for panel in panels:
        drawn += panel.draw(prometheus)
    return "\n".join([*drawn, "</svg>", ""])


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--prometheus", required=True, metavar="URL")
    arguments.add_argument("--start", required=True, type=float, metavar="SECONDS", help="since 1970")
    arguments.add_argument("--end", required=True, type=float, metavar="SECONDS")
    arguments.add_argument("--scrape-seconds", default=2, type=int)
    arguments.add_argument("--out", required=True, metavar="FILE")
    arguments.add_argument("dashboard", metavar="FILE")
    options = arguments.parse_args()
    with open(options.dashboard, encoding="utf-8") as file:
        dashboard = json.load(file)
    prometheus = Prometheus(options.prometheus, options.start, options.end, options.scrape_seconds)
    with open(options.out, "w", encoding="utf-8") as file:
        file.write(draw(dashboard, prometheus))


if __name__ == "__main__":
    main()
