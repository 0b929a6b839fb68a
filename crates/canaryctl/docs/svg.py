"""Draws text with ANSI colors, from the standard input, as an SVG picture."""

import html
import re
import sys

COLUMN, ROW, MARGIN = 8.4, 18, 14
COLORS = {"32": "#56b870", "33": "#e3a13a", "91": "#f0645a", "94": "#6cabf5"}
BACKGROUND, TEXT = "#14171c", "#d7dae0"


def style(codes):
    """Returns the fill, and further attributes of a text."""
    fill, extra = TEXT, ""
    if match := re.search(r"38;2;(\d+);(\d+);(\d+)", codes):
        fill = "#%02x%02x%02x" % tuple(map(int, match.groups()))
        codes = codes.replace(match.group(), "")
    for code in codes.split(";"):
        fill = COLORS.get(code, fill)
        if code == "1":
            extra += ' font-weight="bold"'
        if code == "2":
            extra += ' opacity="0.6"'
    return fill, extra


def spans(line):
    """Splits a line into (column, codes, text)."""
    column, codes = 0, ""
    for part in re.split(r"(\x1b\[[\d;]*m)", line):
        if part.startswith("\x1b"):
            codes = part[2:-1]
        elif part:
            yield column, codes, part
            column += len(part)


def main():
    lines = sys.stdin.read().splitlines()
    columns = max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in lines)
    width, height = columns * COLUMN + 2 * MARGIN, len(lines) * ROW + 2 * MARGIN
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14">'
    )
    print("<title>canaryctl watch</title>")
    print(f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>')
    for row, line in enumerate(lines):
        y = MARGIN + (row + 0.75) * ROW
        for column, codes, text in spans(line):
            if not text.strip() and "7" not in codes.split(";"):
                continue
            x, length = MARGIN + column * COLUMN, len(text) * COLUMN
            fill, extra = style(codes)
            if "7" in codes.split(";"):
                print(f'<rect x="{x:.1f}" y="{y - 13:.1f}" width="{length:.1f}" height="{ROW}" fill="{fill}"/>')
                fill = BACKGROUND
            print(
                f'<text x="{x:.1f}" y="{y:.1f}" textLength="{length:.1f}" fill="{fill}"{extra}>'
                # Viewers do not agree on when SVG keeps spaces.
                f"{html.escape(text).replace(' ', chr(160))}</text>"
            )
    print("</svg>")


main()
