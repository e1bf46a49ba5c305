#!/usr/bin/env python3
"""How much code is in files of C or C++: lines, and characters, which no width of a line flatters.

usage: size.py FILE...

A line counts unless it is blank or comment alone. A character counts unless it is a blank, in a comment, or inside of a string.
"""

import re
import sys

# A quote inside of a number (1'000) begins no character.
TOKENS = re.compile(r'''//[^\n]*|/\*.*?\*/|R"([^\s()\\]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+\'''', re.S)


def bare(text):
    """Without comments, and without what stands inside of strings."""
    def kept(found):
        if found[0].startswith('/'):
            return ' ' + '\n' * found[0].count('\n')
        return '""' if '"' in found[0][:20] else "''"
    return TOKENS.sub(kept, text)


def size(text):
    """(lines, characters)"""
    # Lines: of strings that go over several, each one.
    without = re.sub(r'/\*.*?\*/', lambda m: '\n' * m[0].count('\n'), text, flags=re.S)
    lines = sum(1 for line in without.splitlines() if line.strip() and not line.strip().startswith('//'))
    return lines, len(''.join(bare(text).split()))


def size_of(path):
    with open(path, encoding='utf-8', errors='replace') as file:
        return size(file.read())


if __name__ == '__main__':
    sizes = [size_of(path) for path in sys.argv[1:]]
    print(f'{sum(lines for lines, _ in sizes)} lines, {sum(characters for _, characters in sizes)} characters')
