"""What the documents show of the API, the stores and the experiments."""

from statistics import median

from benchmarks import provenance
from benchmarks.figures.markdown import percent, read, table

Rows = list[list[object]]


def cache() -> str:
    """CPU of an answer: computed, kept in memory, kept in Redis."""
    ways = read("cache")["cpu_us"]
    rows: Rows = [[name, *(f"{us / 1000:.2f}" for us in one.values())] for name, one in ways.items()]
    return table(["variant, ms of CPU an answer", "computed", "`memory`", "Redis"], rows, "cache")


def rules() -> str:
    """Milliseconds of CPU of filters and rules."""
    found = read("rules")
    small, large = found["10000 items"], found["100000 items"]
    rows: Rows = [[what, f"{small[what]:.3f}", f"{large[what]:.3f}"] for what in small]
    return table(["ms of CPU", "10,000 items", "100,000 items"], rows, "rules")


def stores() -> str:
    """Durable events a second, look-ups, and what kills cost."""
    found, kills = read("store"), read("store_kill")
    rows: Rows = []
    for title, name in (("SQLite", "sqlite"), ("PostgreSQL", "postgresql")):
        one, killed = found[name], kills[name]
        rates = [f"{one[kind]['events_per_s']:,}" for kind in ("single", "batches_of_100")]
        history = f"{one['reading']['history_p50_us'] / 1000:.2f}"
        lost = f"{killed['lost']} of {killed['acknowledged']:,}"
        rows.append([title, *rates, history, f"{killed['kills']}", lost, killed["duplicated"]])
    header = ["store", "events a second, one at a time", "in batches of 100", "a user's history, ms", "writers killed"]
    return table([*header, "acknowledged events lost", "stored twice"], rows, "store", "store_kill")


def load() -> str:
    """Requests a second beside a bare FastAPI, and where the latency ends."""
    found = read("serving_load")
    rows: Rows = [
        [f"{name}, {workers} worker{'s' if workers != '1' else ''}", f"{sorted(one['per_second'])[1]:,}",
         percent(one["share_of_hello"]), one["p50_ms"], one["p99_ms"]]
        for workers, ways in found["throughput"].items()
        for name, one in ways.items()
    ]  # fmt: skip
    header = ["16 connections, closed loop", "requests a second", "of hello", "p50, ms", "p99, ms"]
    return table(header, rows, "serving_load")


def beside_naive() -> str:
    """Answers a second and CPU beside the service that a team would write itself."""
    rows: Rows = [
        [name, f"{median(one['per_second']):,.0f}", f"{one['of_naive']:.2f}", f"{median(one['cpu_us']):,.0f}",
         f"{median(one['p99_ms']):.1f}"]
        for name, one in read("serving_beside_naive")["ways"].items()
    ]  # fmt: skip
    header = ["8 connections, one core", "answers a second", "of naive", "CPU an answer, us", "p99, ms"]
    return table(header, rows, "serving_beside_naive")


def serving() -> str:
    """One line each of the other benchmarks of serving."""
    cost, events, soak, swap = (read(f"serving_{name}") for name in ("cost", "events", "soak", "swap"))
    exposures, conformance = read("serving_exposures"), read("serving_conformance")
    cases = sum(one["cases"] for one in conformance.get("seeds", {"1": conformance}).values())
    per_second = events["workers"]["1"]["events_per_second"]
    rows: Rows = [
        ["CPU of one recommend call, ms", f"{cost['api_us'] / 1000:.2f}"],
        ["the same job in raw ASGI, ms", f"{cost['raw_us'] / 1000:.2f}"],
        ["durable events a second, one at a time", f"{sorted(per_second['batches_of_1'])[1]:,}"],
        ["in batches of 100", f"{sorted(per_second['batches_of_100'])[1]:,}"],
        [
            "exposures called written and lost by kill -9",
            f"{exposures['acknowledged_and_lost']} of {exposures['acknowledged']:,}",
        ],
        ["answers that failed while releases changed", f"{swap['failed']} of {swap['all']['requests']:,}"],
        ["answers that mixed two releases", swap["mixed_answers"]],
        [
            "growth of memory after the first tenth of a soak",
            percent(soak["growth_of_own"], 1),
        ],
        ["generated requests held against the OpenAPI document", f"{cases:,}"],
    ]
    names = ("cost", "events", "exposures", "swap", "soak", "conformance")
    return table(["API", "measured"], rows, *(f"serving_{name}" for name in names))


def faults() -> str:
    """What users notice while a part, file or client breaks and comes back."""
    found = {path.stem: read(path.stem) for path in sorted(provenance.RESULTS.glob("serving_fault_*.json"))}
    rows: Rows = []
    for one in found.values():
        if "left out" in one:
            rows.append([one["fault"], *["-"] * 6, one["left out"]])
            continue
        every = one["all"]
        shares = [percent(every[name], 2) for name in ("useful_share", "personalised_share_of_known")]
        failed, p99 = every["other_5xx_or_no_answer"], round(every["p99_ms"]["/v1/recommend"])
        again = one["sound_again_after_seconds"]
        rows.append([one["fault"], f"{every['requests']:,}", *shares, failed, p99, again, ", ".join(one["missed"])])
    header = [
        "fault",
        "requests",
        "full lists",
        "known users' own lists",
        "5xx not shed, or no answer",
        "p99 of lists, ms",
    ]
    return table([*header, "sound again after, s", "bars missed"], rows, *found)


def experiments() -> str:
    """What the readout promises, and how often it held."""
    a_a, a_b, ratio = read("experiments_a_a"), read("experiments_a_b"), read("experiments_sample_ratio")
    off_policy, speed = read("experiments_off_policy"), read("experiments_speed")
    looks, uplifts = a_a["twenty_looks"], a_b["uplifts"]
    accused, found = ratio["clean_runs_accused"], ratio["defects_found"]
    covered: Rows = [
        [f"95 % intervals that hold a planted uplift of {name}", percent(one["covered"], 1)]
        for name, one in uplifts.items()
        if name != "detectable"
    ]
    truth: Rows = [
        [f"off-policy intervals that hold the truth, {method}", percent(share, 1)]
        for method, share in off_policy["intervals_that_hold_the_truth"].items()
    ]
    rows: Rows = [
        [f"false alarms of CTR at 5 %, {a_a['experiments']:,} A/A tests", percent(a_a["false_alarms"]["ctr"], 1)],
        ["of a z-test over requests", percent(a_a["false_alarms_of_a_z_test_over_requests"], 1)],
        ["after twenty looks, fixed horizon", percent(looks["fixed"], 1)],
        ["after twenty looks, any time", percent(looks["anytime"], 1)],
        *covered,
        [f"power where {percent(a_b['planned_power'])} were planned", percent(uplifts["detectable"]["significant"], 1)],
        ["runs that lost 1 % of one arm's answers and were found", percent(max(found.values()), 1)],
        ["clean runs accused by the ratio of units", percent(accused["ratio of units"], 2)],
        *truth,
        ["an assignment, µs", speed["assignment_us"]],
    ]  # fmt: skip
    names = ("a_a", "a_b", "sample_ratio", "off_policy", "speed")
    return table(["promise", "measured"], rows, *(f"experiments_{name}" for name in names))


def story() -> str:
    """Variants over random on the simulated shop, and the model made worse."""
    found = read("story")
    rows: Rows = [
        [name, f"{one['uplift']:+.1%}", one["cpu_seconds_per_1000"] or ""] for name, one in found["variants"].items()
    ]
    curve = found["made_worse"]["curve"]
    variant = found["made_worse"]["variant"]
    rows += [
        [f"{variant}, {percent(float(quality))} as good", f"{one['uplift']:+.1%}", ""] for quality, one in curve.items()
    ]
    return table(["variant", "CTR over random", "CPU s / 1,000 answers"], rows, "story")


def structure() -> str:
    """Rooms, arrows and calls, before and now."""
    graph, calls = read("import_graph"), read("calls")
    rows: Rows = []
    for title, part in (("library", "library"), ("API", "api")):
        for what in ("rooms", "arrows", "cycles"):
            rows.append([f"{what} of the {title}", graph["before"][part][what], graph["now"][part][what]])
    rows.append(["arrows against the layers", "", graph["now"]["upward"]])
    for request in ("recommendation", "event", "item"):
        for what in ("calls", "files", "moves"):
            rows.append([f"{request}: {what}", calls["before"][request][what], calls["now"][request][what]])
    before = graph["before"]["revision"]
    return table(["", f"at `{before}`", "now"], rows, "import_graph", "calls")
