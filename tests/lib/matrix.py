"""What is combined with what: the matrix of inits, cgroups, hierarchies and acts, as data, and a set that covers its pairs.

    rows = pairwise(PARAMETERS, why_not)      # every pair of values that can occur together is in one row, at least

No row is picked by hand: `exec` into a booted systemd on cgroup v2 was missed because three features were each tested alone.
"""

import itertools

PARAMETERS = {
    'hierarchy': ('v2', 'hybrid'),
    'cgroup': ('none', 'helper', 'systemd'),
    # none: the shell that a container without an init starts; command: one of its config.
    'init': ('none', 'command', 'busybox', 'systemd-252', 'systemd-257', 'openrc'),
    'act': ('start', 'exec', 'console', 'freeze', 'limits', 'ro bind', 'nesting', 'reboot'),
}

# What cannot be, and why.
IMPOSSIBLE = (
    ({'hierarchy': 'hybrid', 'cgroup': 'systemd'}, 'a scope is made by the user manager of a systemd host, which the hybrid machine is not'),
    ({'cgroup': 'none', 'act': 'limits'}, 'a limit of the whole container needs a cgroup; the refusal is tested by start_cgroup.py'),
    ({'hierarchy': 'v2', 'cgroup': 'none', 'init': 'systemd-252'}, 'systemd ends at once if it cannot make a cgroup on v2; the start is refused or says so'),
    ({'hierarchy': 'v2', 'cgroup': 'none', 'init': 'systemd-257'}, 'systemd ends at once if it cannot make a cgroup on v2; the start is refused or says so'),
    ({'hierarchy': 'hybrid', 'cgroup': 'none', 'init': 'systemd-252'}, 'systemd needs a cgroup of its own'),
    ({'hierarchy': 'hybrid', 'cgroup': 'none', 'init': 'systemd-257'}, 'systemd needs a cgroup of its own'),
    ({'init': 'none', 'act': 'reboot'}, 'there is no init that is told to reboot'),
    ({'init': 'command', 'act': 'reboot'}, 'there is no init that is told to reboot'),
)


def why_not(row):
    """Why this combination cannot be, or None."""
    return next((why for part, why in IMPOSSIBLE if all(row.get(name) == value for name, value in part.items())), None)


def every(parameters, why_not=lambda row: None):
    """All rows that can be."""
    rows = [dict(zip(parameters, values)) for values in itertools.product(*parameters.values())]
    return [row for row in rows if why_not(row) is None]


def pairs(row):
    return set(itertools.combinations(row.items(), 2))


def pairwise(parameters, why_not=lambda row: None):
    """Rows that hold every pair that any possible row holds: always the next that adds most, the first of equals."""
    rows = every(parameters, why_not)
    missing = set().union(*map(pairs, rows))
    chosen = []
    while missing:
        best = max(rows, key=lambda row: len(pairs(row) & missing))
        missing -= pairs(best)
        chosen.append(best)
    return chosen


def scenarios(rows, **fixed):
    """{(init, cgroup): [act]} of the rows with these values: what one running container can show, in the order of PARAMETERS."""
    found = {}
    for row in rows:
        if all(row[name] == value for name, value in fixed.items()):
            found.setdefault((row['init'], row['cgroup']), []).append(row['act'])
    order = PARAMETERS['act'].index
    return {key: sorted(acts, key=order) for key, acts in sorted(found.items())}
