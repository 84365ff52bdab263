"""A picture of what scripts/bench has measured: a group of bars a workload, longest is best."""
from xml.sax.saxutils import escape

COLOURS = {"dmnbd": "#1f77b4", "dmnbd-tls": "#1f77b4", "floor": "#bbbbbb", "nbdkit-memory": "#ff7f0e",
           "nbdkit-file": "#ffbb78", "nbdkit-tls": "#ff7f0e", "qemu-nbd": "#2ca02c",
           "nbd-server": "#9467bd"}
UNITS = {"iops": "IOPS", "mib_per_s": "MiB/s", "p50_us": "us (less is better)"}
LEFT, WIDTH, BAR, GAP = 130, 420, 14, 34


def svg(results):
    parts, y = [], 10
    for result in results:
        figure = result["figure"]
        most = max(values[figure] for values in result["servers"].values())
        y += 14
        parts.append(f'<text x="4" y="{y}" class="name">{escape(result["what"])}</text>')
        y += 6
        for server, values in result["servers"].items():
            value = values[figure]
            colour = COLOURS[server.partition("/")[0]]
            parts.append(f'<text x="{LEFT - 6}" y="{y + 11}" class="server">{server}</text>')
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{WIDTH * value / most:.1f}" '
                         f'height="{BAR - 2}" fill="{colour}"/>')
            parts.append(f'<text x="{LEFT + WIDTH * value / most + 6:.1f}" y="{y + 11}">'
                         f'{value:,.0f} {UNITS[figure]}</text>')
            y += BAR
        y += GAP - BAR
    style = "text{font:11px sans-serif}.name{font-weight:bold}.server{text-anchor:end}"
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 170}" height="{y}">'
            f'<style>{style}</style><rect width="100%" height="100%" fill="white"/>'
            + "".join(parts) + "</svg>\n")
