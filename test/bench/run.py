"""One measurement of how dmnbd's cost grows: two servers, exports or loads of it in turn, or dmcore
alone. What is compared is dmnbd with itself."""
import json
import statistics
import subprocess
from dataclasses import dataclass, field

from servers import AREA_MIB, SERVER_CORE

ROWS, ROW_SECTORS = 100_000, 8
PARTS = 1024  # Of a request of 4 MiB, over rows or chunks of 4 KiB.
SECTOR = 512
SPARE_BLOCKS = 512  # Bad, and never written: with or without retries dust has a list to look at.

TABLE = """version: 1
shards: {shards}
stores:
  disk: {{ type: memory, size: {sectors}s }}
  worn: {{ type: memory, size: {worn_sectors}s }}
devices:
  one: {{ table: "0 {sectors} linear disk 0" }}
  many:
    table: |
{rows}
  dust:
    table:
      - target: dust
        args: {{ device: worn, block_size: 512B, bad_blocks: [{spare}], enabled: true }}
  retried: {{ retry: {{}}, table: [ {{ target: linear, args: {{ device: dust }} }} ] }}
exports: {{ one: one, many: many, retried: retried }}
listen: [ "unix:{folder}/{name}" ]
control: {{ unix: {folder}/{name}.control }}
"""


def table(folder, name, shards, rows):
    sectors, worn = rows * ROW_SECTORS, AREA_MIB * (1 << 20) // SECTOR
    return TABLE.format(folder=folder, name=name, shards=shards, sectors=sectors,
                        rows="\n".join(f"      {at} {ROW_SECTORS} linear disk {at}"
                                       for at in range(0, sectors, ROW_SECTORS)),
                        worn_sectors=worn + SPARE_BLOCKS, spare=f"{worn}-{worn + SPARE_BLOCKS - 1}")


@dataclass
class Run:
    """One measurement: its figures, each a (label, value, unit), and the bars."""
    servers: object
    rounds: int
    seconds: float
    figures: list = field(default_factory=list)
    bars: list = field(default_factory=list)

    def in_turn(self, unit, cases):
        """The second case beside the first: `cases` are functions by label that give a number."""
        samples = {label: [] for label in cases}
        for number in range(self.rounds):
            for label in list(cases)[::1 if number % 2 == 0 else -1]:
                samples[label].append(cases[label]())
        for label, taken in samples.items():
            self.note(label, statistics.median(taken), unit)
        first, second = samples.values()
        return statistics.median(b / a for a, b in zip(first, second))

    def note(self, label, value, unit):
        self.figures.append((label, value, unit))

    def judge(self, what, value, bar, more=False):
        reached = value >= bar if more else value <= bar
        sign = "at least" if more else "at most"
        self.bars.append((f"{what} {value:.4g}, bar {sign} {bar:g}", reached))

    def start(self, name, shards=1, rows=ROWS, cores=SERVER_CORE):
        self.servers.tables[name] = table(self.servers.folder, name, shards, rows)
        self.servers.start(name, cores)

    def load(self, server, words, figure, **cores):
        words = words + ["--seconds", str(self.seconds)]
        return self.servers.run(server, words, **cores)[figure]

    def micro(self, names):
        """Nanoseconds of one bio, or one part, in dmcore alone: the least of some repetitions."""
        done = subprocess.run(
            ["taskset", "-c", SERVER_CORE, str(self.servers.build / "test/micro"),
             f"--benchmark_filter=^({'|'.join(names)})$", "--benchmark_format=json",
             "--benchmark_enable_random_interleaving=true", "--benchmark_min_time=0.05",
             f"--benchmark_repetitions={2 * self.rounds}"],
            capture_output=True, text=True, check=False)
        if done.returncode != 0 or "error_occurred" in done.stdout:
            raise SystemExit(f"bench: micro: {done.stderr}{done.stdout}")
        times = {name: [] for name in names}
        for each in json.loads(done.stdout)["benchmarks"]:
            if each["run_type"] == "iteration":
                times[each["name"]].append(each["cpu_time"])
        least = {name: min(taken) / (PARTS if name == "parts" else 1)
                 for name, taken in times.items()}
        for name, time in least.items():
            self.note(f"micro {name}", time, "ns")
        return least
