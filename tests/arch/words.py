"""Words that a reader whose first language is not English stumbles over (CONTRIBUTING.md, "How we write")."""

import re

# (what must not stand there, what to write instead)
WORDS = [
    (re.compile(r'\b(?:[Hh]e|[Hh]is|[Hh]im)\b'), 'a user is "they", or is named again'),
    (re.compile(r'(?<!there )(?<!There )\b(?:is|are) no (?!longer\b|more\b|such\b|other\b|use\b|way\b|way\'s\b|reason\b|help\b)[A-Za-z]+\b(?!\'[a-z])'),
     '"is not a valid X"'),
    (re.compile(r'\buntil it is mended\b'), '"until it is fixed"'),
    (re.compile(r'\bonce more by itself\b'), '"again"'),
    (re.compile(r'\bis a word too many\b'), '"unexpected argument X"'),
    (re.compile(r'\bfrom what\?'), '"no source given; give one of ..."'),
    (re.compile(r'\bas may be are there\b'), '"the limit on X has been reached"'),
]
MOST_WORDS = 40


def stumbles(text):
    """[(line number, the words, what to write instead)]"""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, instead in WORDS:
            found += [(number, match[0], instead) for match in pattern.finditer(line)]
    return found


def prose_of_manual(text):
    """The text of an mdoc page without its macros, examples and lists of words."""
    kept, is_shown = [], False
    for line in text.splitlines():
        if line.startswith('.Bd'):
            is_shown = True
        elif line.startswith('.Ed'):
            is_shown = False
            kept.append('.')
        elif is_shown or line.startswith('.\\"'):
            continue
        elif re.match(r'\.(Pp|Sh|Ss|It|Bl|El|Nm|Nd|Dd|Dt|Os)\b', line):
            kept.append('.')
        elif line.startswith('.'):
            words = [word for word in line.split()[1:] if not re.fullmatch(r'[A-Z][a-z]', word)]
            kept.append(' '.join(words))
        else:
            kept.append(line)
    return '\n'.join(kept)


def long_sentences(text):
    """[(count, its first words)] of sentences with more than MOST_WORDS words."""
    found = []
    for sentence in re.split(r'[.:;?!](?:[)"\']*)(?=\s|$)', text):
        words = [word for word in sentence.split() if re.search(r'[A-Za-z]', word)]
        if len(words) > MOST_WORDS:
            found.append((len(words), ' '.join(words[:8])))
    return found
