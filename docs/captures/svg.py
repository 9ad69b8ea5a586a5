#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A terminal's screen (as of `tmux capture-pane -e`, on standard input) as a picture: SVG on standard output."""
import re
import sys
from xml.sax.saxutils import escape

WIDTH, HEIGHT, PAD = 8.4, 18, 10
COLORS = {31: "#ff6b68", 32: "#8ae234", 33: "#fce94f", 36: "#6fc3df"}
PLAIN, GROUND = "#d3d7cf", "#1c1f22"


def runs(line, state):
    """Pieces of a line with their attributes: (column, text, bold, reverse, color). They hold over the line's end."""
    bold, reverse, color = state
    column = 0
    for codes, text in re.findall(r"\x1b\[([0-9;]*)m|([^\x1b]+)", line):
        if text:
            yield column, text, bold, reverse, color
            column += len(text)
            continue
        for code in [int(c or 0) for c in codes.split(";")]:
            if code == 0:
                bold = reverse = False
                color = PLAIN
            elif code in (1, 22):
                bold = code == 1
            elif code in (7, 27):
                reverse = code == 7
            elif code in COLORS:
                color = COLORS[code]
            elif code == 39:
                color = PLAIN
    state[:] = bold, reverse, color


def picture(lines):
    columns = max([len(re.sub(r"\x1b\[[0-9;]*m", "", l)) for l in lines] + [1])
    width, height = columns * WIDTH + 2 * PAD, len(lines) * HEIGHT + 2 * PAD
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
           f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14">')
    yield f'<rect width="100%" height="100%" rx="6" fill="{GROUND}"/>'
    state = [False, False, PLAIN]
    for i, line in enumerate(lines):
        y = PAD + i * HEIGHT
        for column, text, bold, reverse, color in runs(line, state):
            x, length = PAD + column * WIDTH, len(text) * WIDTH
            if reverse:
                yield f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{HEIGHT}" fill="{color}"/>'
            if not text.strip():
                continue
            yield (f'<text x="{x:.1f}" y="{y + 14}" textLength="{length:.1f}" xml:space="preserve" '
                   f'fill="{GROUND if reverse else color}"{" font-weight=" + chr(34) + "bold" + chr(34) if bold else ""}>'
                   f"{escape(text)}</text>")
    yield "</svg>"


def main():
    lines = [l.rstrip("\n") for l in sys.stdin]
    while lines and not lines[-1].strip():
        lines.pop()
    print("\n".join(picture(lines)))


main()
