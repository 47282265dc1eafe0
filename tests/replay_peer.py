"""One function with Poisson arrivals through SimFaaS and through `peek replay`: the same cold-start probability, how much sooner.

SimFaaS (Mahmoudi and Khazaei, CLOSER 2021; PyPI `simfaas`) simulates exactly this: exponential service times, cold and
warm, and a fixed expiration. An invocation that finds no idle instance starts one. SimFaaS reuses the instance that was
created last, Peek's scheduler the one that became idle last; for the comparison SimFaaS is told to do the latter.
"""

import csv
import json
import math
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

# Service times of SimFaaS's own example, and a function that is busy: SimFaaS looks at every instance for every event. Its
# 600 s of expiration would give hardly any cold start, and so nothing to compare.
ARRIVALS_PER_S = 200
WARM_S = 1.991
COLD_S = 2.244
EXPIRATION_S = 5

# Runs of SimFaaS, of so many seconds each, from an empty platform: their spread is the interval.
RUNS = 5
RUN_S = 60

# Runs of ours: functions of one trace, each a run like theirs.
FUNCTIONS = 25

# Student's t for 95 % and RUNS - 1 degrees of freedom.
STUDENT = 2.776


def theirs():
    """Cold-start probability of each run, and CPU seconds per request."""
    from simfaas.ServerlessSimulator import ServerlessSimulator

    class MostRecentlyIdle(ServerlessSimulator):
        def schedule_warm_instance(self, t):
            return max((it for it in self.servers if it.is_ready()), key=lambda it: it.next_departure)

    found, requests, begun = [], 0, time.process_time()
    for _ in range(RUNS):
        simulator = MostRecentlyIdle(
            arrival_rate=ARRIVALS_PER_S,
            warm_service_rate=1 / WARM_S,
            cold_service_rate=1 / COLD_S,
            expiration_threshold=EXPIRATION_S,
            max_time=RUN_S,
        )
        simulator.generate_trace(debug_print=False, progress=False)
        result = simulator.get_result_dict()
        found.append(result["prob_cold"])
        requests += result["reqs_total"]
    return found, (time.process_time() - begun) / requests


def ours(binary, directory):
    """Fraction of cold starts, and CPU seconds per invocation, the whole process counted."""
    trace = pathlib.Path(directory) / "poisson.csv"
    draw = random.Random(2021)
    arrivals = []
    for function in range(FUNCTIONS):
        now = draw.expovariate(ARRIVALS_PER_S)
        while now < RUN_S:
            arrivals.append((now, function, draw.expovariate(1 / WARM_S)))
            now += draw.expovariate(ARRIVALS_PER_S)
    arrivals.sort()
    with trace.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["time_s", "function", "tenant", "duration_ms", "memory_mib", "cold_extra_ms"])
        for at, function, warm in arrivals:
            # Cold service is exponential, too: the same draw, longer.
            extra = warm * (COLD_S / WARM_S - 1)
            rows.writerow([f"{at:.9f}", f"f{function}", f"t{function}", f"{warm * 1e3:.6f}", 128, f"{extra * 1e3:.6f}"])
    begun = children_s()
    command = [binary, "replay", "--json", "--trace", trace, "--policies", f"fixed:{EXPIRATION_S}", "--cold-ms", "0"]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    took = children_s() - begun
    totals = json.loads(said)["policies"][0]
    assert totals["cold"] + totals["warm"] == len(arrivals), totals
    return totals["cold_fraction"], took / len(arrivals)


def children_s():
    """CPU time of all children that have ended, s."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(binary, row):
    """Prints both, and asserts what docs/SPECIFICATION.md promises."""
    print("a function with Poisson arrivals, fixed expiration, against SimFaaS")
    found, theirs_s = theirs()
    mean = statistics.mean(found)
    half = STUDENT * statistics.stdev(found) / math.sqrt(len(found))
    with tempfile.TemporaryDirectory() as directory:
        fraction, ours_s = ours(binary, directory)
    own = half * math.sqrt(RUNS / FUNCTIONS)
    row("cold-start probability, SimFaaS", f"{mean:.4f} +- {half:.4f}")
    row("cold-start probability, peek replay", f"{fraction:.4f} +- {own:.4f}", "within the interval")
    row("SimFaaS, CPU time per request", f"{theirs_s * 1e6:.1f} us")
    row("peek replay, CPU time per invocation", f"{ours_s * 1e6:.2f} us")
    row("times faster", f"{theirs_s / ours_s:.0f}", "at least 100")
    assert abs(fraction - mean) <= math.hypot(half, own), "not the same scenario"
    assert theirs_s / ours_s >= 100, "not 100 times faster"
