"""One function with Poisson arrivals through SimFaaS and through `peek replay`: the same cold-start probability, how much sooner.

SimFaaS (Mahmoudi and Khazaei, CLOSER 2021; PyPI `simfaas`) simulates exactly this: exponential service times, cold and
warm, and a fixed expiration. An invocation that finds no idle instance starts one.
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

# Rates and times of SimFaaS's own example: 0.9 requests a second, 1.991 s warm, 2.244 s cold; its 600 s of expiration give
# hardly any cold start, and so nothing to compare: 20 s give some 5 %.
ARRIVALS_PER_S = 0.9
WARM_S = 1.991
COLD_S = 2.244
EXPIRATION_S = 20

# Runs of SimFaaS, of so many seconds each: their spread is the interval.
RUNS = 5
RUN_S = 20_000

# Requests of ours: few would take longer to start the process than to replay.
REQUESTS = 400_000

# Student's t for 95 % and RUNS - 1 degrees of freedom.
STUDENT = 2.776


def theirs():
    """Cold-start probability of each run, and CPU seconds per request."""
    from simfaas.ServerlessSimulator import ServerlessSimulator

    found, requests, begun = [], 0, time.process_time()
    for _ in range(RUNS):
        simulator = ServerlessSimulator(
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
    """Cold starts, invocations, and CPU seconds per invocation, the whole process counted."""
    trace = pathlib.Path(directory) / "poisson.csv"
    draw = random.Random(2021)
    with trace.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["time_s", "function", "tenant", "duration_ms", "memory_mib", "cold_extra_ms"])
        now = 0.0
        for _ in range(REQUESTS):
            now += draw.expovariate(ARRIVALS_PER_S)
            warm = draw.expovariate(1 / WARM_S)
            # Cold service is exponential, too: the same draw, longer.
            rows.writerow([f"{now:.9f}", "f", "t", f"{warm * 1e3:.6f}", 128, f"{warm * (COLD_S / WARM_S - 1) * 1e3:.6f}"])
    begun = children_s()
    command = [binary, "replay", "--json", "--trace", trace, "--policies", f"fixed:{EXPIRATION_S}", "--cold-ms", "0"]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    took = children_s() - begun
    totals = json.loads(said)["policies"][0]
    assert totals["cold"] + totals["warm"] == REQUESTS, totals
    return totals["cold"], totals["invocations"], took / REQUESTS


def children_s():
    """CPU time of all children that have ended, s."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(binary, row):
    """Prints both, and asserts what docs/SPECIFICATION.md promises."""
    print("one function, Poisson arrivals, fixed expiration, against SimFaaS")
    found, theirs_s = theirs()
    mean = statistics.mean(found)
    half = STUDENT * statistics.stdev(found) / math.sqrt(len(found))
    with tempfile.TemporaryDirectory() as directory:
        cold, invocations, ours_s = ours(binary, directory)
    fraction = cold / invocations
    # Cold starts come in clusters: the design effect is bounded by the runs of theirs, scaled to our length.
    own = half * math.sqrt(RUNS * RUN_S * ARRIVALS_PER_S / invocations)
    row("cold-start probability, SimFaaS", f"{mean:.4f} +- {half:.4f}")
    row("cold-start probability, peek replay", f"{fraction:.4f} +- {own:.4f}", "within the interval")
    row("SimFaaS, CPU time per request", f"{theirs_s * 1e6:.1f} us")
    row("peek replay, CPU time per invocation", f"{ours_s * 1e6:.2f} us")
    row("times faster", f"{theirs_s / ours_s:.0f}", "at least 100")
    assert abs(fraction - mean) <= math.hypot(half, own), "not the same scenario"
    assert theirs_s / ours_s >= 100, "not 100 times faster"
