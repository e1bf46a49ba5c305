"""What a test in the guest prints where there can be no guest."""

import re


def skip_all(paths, why):
    """Every case of the programs at `paths` as a skip that says why; returns the exit status."""
    sentences = []
    for path in paths:
        with open(path) as file:
            sentences += re.findall(r"""^@case\((['"])(.*)\1\)$""", file.read(), re.M)
    print(f'1..{len(sentences)}')
    for number, (_, sentence) in enumerate(sentences, 1):
        print(f'ok {number} - {sentence} # SKIP {why}')
    return 0
