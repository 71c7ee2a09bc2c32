"""Folds what `perf script` prints and draws it: a flame graph as one SVG without script, and a table of where time goes.

    perf script --no-inline -i perf.data | python tests/load/flame.py TITLE OUT.svg

The width of a box is its share of the samples; a box that is too narrow to see is left out. Hover over a box for its
name and share.
"""

import collections
import html
import re
import sys

WIDTH, ROW, PAD = 1200, 17, 30
SHARE_MIN = 0.002
CHARS_PER_PIXEL = 1 / 6.6
# What a sample is counted as: the first of these that is found in its stack, from the inside out.
PARTS = (("aes-gcm", r"aes_gcm|gcm_|chacha"), ("copy in user space", r"^__memmove|^__memcpy"),
         ("hash and checksum", r"sha\d|crc|md5"), ("receive", r"sys_recv|sys_read|tcp_recvmsg"),
         ("send", r"sys_write|sys_send|tcp_sendmsg"), ("page faults and madvise", r"exc_page_fault|sys_madvise|sys_munmap"),
         ("allocator", r"^_?mi_|^malloc|^free|^_int_"), ("waiting and waking", r"sys_epoll|sys_futex"),
         ("other of the kernel", r"_64_after_hwframe|^asm_"))


def stacks(lines) -> collections.Counter:
    """How often each stack was seen; a stack is a tuple of names, the outermost first."""
    counted, stack = collections.Counter(), []
    for line in lines:
        if frame := re.match(r"\s+[0-9a-f]+ (.*?)(?:\+0x[0-9a-f]+)? \(", line):
            stack.append(plain(frame[1]))
        elif not line.strip() and stack:
            counted[tuple(reversed(stack))] += 1
            stack = []
    if stack:
        counted[tuple(reversed(stack))] += 1
    return counted


def plain(name: str) -> str:
    """A name without its generic parameters and hash."""
    name = re.sub(r"::h[0-9a-f]{16}$", "", name)
    while name != (shorter := re.sub(r"(?<!^)<[^<>]*>", "", name)):
        name = shorter
    return name[:90]


class Box:
    def __init__(self):
        self.count, self.inner = 0, {}


def tree(counted) -> Box:
    root = Box()
    for stack, count in counted.items():
        root.count += count
        box = root
        for name in stack:
            box = box.inner.setdefault(name, Box())
            box.count += count
    return root


def draw(box: Box, whole: int, left: float, depth: int, out: list) -> None:
    for name, inner in sorted(box.inner.items()):
        share = inner.count / whole
        if share >= SHARE_MIN:
            out.append((depth, left, share, name))
            draw(inner, whole, left, depth + 1, out)
        left += share


def svg(title: str, counted) -> str:
    root, boxes = tree(counted), []
    draw(root, root.count, 0, 0, boxes)
    height = PAD + ROW * (1 + max(depth for depth, *_ in boxes))
    rows = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="11">',
            f'<rect width="100%" height="100%" fill="#fff"/><text x="6" y="18">{html.escape(title)}, {root.count} samples</text>']
    for depth, left, share, name in boxes:
        x, width = left * WIDTH, share * WIDTH
        y, shown = height - ROW * (depth + 1), html.escape(name)
        hue = 200 if re.search(r"^_|sys_|tcp|skb|^ip_|net|sock|irq", name) and "::" not in name else 30
        text = html.escape(name[:int(width * CHARS_PER_PIXEL)]) if width > 25 else ""
        rows.append(f'<g><title>{shown} {share:.1%}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}" '
                    f'fill="hsl({hue + sum(map(ord, name)) % 25},70%,75%)"/><text x="{x + 2:.1f}" y="{y + 12}">{text}</text></g>')
    return "\n".join([*rows, "</svg>", ""])


def parts(counted) -> list[tuple[str, float]]:
    """The share of each of PARTS, and of the rest."""
    shares, whole = collections.Counter(), sum(counted.values())
    for stack, count in counted.items():
        found = (part for name in reversed(stack) for part, pattern in PARTS[:3] if re.search(pattern, name))
        part = next(found, None) or next((part for part, pattern in PARTS if any(re.search(pattern, n) for n in stack)), "the gateway's own code")
        shares[part] += count
    return [(part, count / whole) for part, count in shares.most_common()]


def main() -> int:
    counted = stacks(sys.stdin)
    if not counted:
        print("flame: no samples", file=sys.stderr)
        return 1
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.write(svg(sys.argv[1], counted))
    for part, share in parts(counted):
        print(f"| {part} | {share:.0%} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
