#!/usr/bin/env python3
"""The rules of the house: who may include whom, what a helper is made of, and that SECURITY.md says so.

Reads the source tree and the build; changes nothing, needs no root.
"""

import collections
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import size
import std_headers
import unbound
import words
from harness import build_dir, build_info, case, main, skip

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..'))

# What the front-end may take from common/: mechanism that is not about privilege.
FRONTEND_MAY = {'caller', 'config', 'fd', 'groups', 'namespace_fd', 'netlink', 'process', 'protocol', 'report', 'generate/seccomp_text', 'subid_source',
                # Which bridge is granted, by the files that userns-net reads.
                'policy_files', 'list_directory'}
# userns-policy explains what the helpers' checks of a file say; it asks them, with no privilege to lose. What binds a port is one text, for a new one
# and for one that comes back to its bridge.
POLICY_TOOL_MAY = FRONTEND_MAY | {'trusted_file', 'bridge_port'}
# Headers that do I/O, carry locales or throw as a habit; nowhere in trusted code.
HEAVY = {'iostream', 'fstream', 'sstream', 'istream', 'ostream', 'iomanip', 'locale', 'regex', 'filesystem', 'thread',
         'future', 'iosfwd', 'print', 'format', 'codecvt'}
# What policy may use of the standard library: types and algorithms, nothing that reaches outside of the process.
# arpa/inet.h: inet_pton(3) and inet_ntop(3), which look at nothing but their arguments.
PURE = {'arpa/inet.h', 'algorithm', 'array', 'bit', 'bitset', 'charconv', 'climits', 'cmath', 'compare', 'concepts', 'cstddef', 'cstdint',
        'cstring', 'expected', 'functional', 'initializer_list', 'iterator', 'limits', 'map', 'numeric', 'optional',
        'ranges', 'set', 'span', 'string', 'string_view', 'system_error', 'tuple', 'type_traits', 'utility', 'variant', 'vector'}
# DSOs that a program may need, beyond what all may.
LOADER = re.compile(r'ld-linux(-[\w-]+)?\.so\.\d|ld64\.so\.\d')
NEEDED_BY_ALL = {'libc.so.6'}
NEEDED_BY_ALL_SHARED = NEEDED_BY_ALL | {'libcap.so.2', 'libaudit.so.1', 'libcap-ng.so.0', 'libstdc++.so.6', 'libgcc_s.so.1', 'libm.so.6'}
NEEDED_BY = {'userns-net': {'libmnl.so.0'}}
# What policy/ may leave to the linker: memory and the ends of broken promises.
PURE_IMPORTS = re.compile(r'^(mem\w+|str\w+|__mem\w+_chk|__str\w+_chk|operator (new|delete)(\[\])?\(.*|std::__throw_\w+\(.*'
                          r'|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__cxa_guard_\w+|_Unwind_Resume|__gxx_personality_v0|abort'
                          r'|userns::.*|std::.*|vtable for .*|typeinfo for .*|guard variable for .*|bcmp|inet_(pton|ntop))$')


def sources(*rooms):
    """Paths, relative to the top, of the C++ files in these directories."""
    found = []
    for room in rooms:
        for directory, _, names in os.walk(os.path.join(TOP, room)):
            found += [os.path.relpath(os.path.join(directory, name), TOP) for name in sorted(names)
                      if name.endswith(('.cc', '.h'))]
    return found


def python_files(room):
    found = []
    for directory, _, names in os.walk(os.path.join(TOP, room)):
        found += [os.path.relpath(os.path.join(directory, name), TOP) for name in sorted(names) if name.endswith('.py')]
    return found


def text_of(path):
    with open(os.path.join(TOP, path), encoding='utf-8') as file:
        return file.read()


def includes(path):
    """[('<' or '"', name)]"""
    return re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', text_of(path), re.M)


def sizes(paths):
    """(lines, characters) of these files together."""
    found = [size.size_of(os.path.join(TOP, path)) for path in paths]
    return tuple(map(sum, zip(*found)))


def ours(path):
    """The project's own headers that a file includes, and the implementations that belong to them."""
    for kind, name in includes(path):
        if kind == '"' and os.path.exists(os.path.join(TOP, name)):
            yield name
            if os.path.exists(os.path.join(TOP, name[:-2] + '.cc')):
                yield name[:-2] + '.cc'


def closure(starts):
    """Every file of ours that a program is built from."""
    found, rest = set(), list(starts)
    while rest:
        path = rest.pop()
        if path not in found:
            found.add(path)
            rest += ours(path)
    return found


def helpers():
    """{program: (its file, its own sources)} of all that is installed with privilege."""
    found = {}
    libraries = {}
    for target in build_info('targets'):
        files = [os.path.relpath(s, TOP) for group in target['target_sources'] for s in group.get('sources', [])]
        where = os.path.relpath(target['defined_in'], TOP)
        if where.startswith('helpers/') and target['type'] == 'executable':
            found[os.path.basename(target['filename'][0])] = (target['filename'][0], files)
        libraries[target['name']] = files
    assert len(found) >= 3, found
    return found


def table_rows(heading, columns, document='SECURITY.md'):
    """The rows of the table with these column heads, somewhere below that heading of the document."""
    section = re.split(r'^##? ', text_of(document), flags=re.M)
    (body,) = [part for part in section if part.startswith(heading)]
    lines = body.splitlines()
    at = next(i for i, line in enumerate(lines)
              if [cell.strip() for cell in line.strip('| ').split('|')][:len(columns)] == columns)
    rows = []
    for line in lines[at + 2:]:
        if not line.startswith('|'):
            break
        rows.append([cell.strip() for cell in line.strip().strip('|').split('|')])
    return rows


def stated(heading, columns, document='SECURITY.md'):
    """{program: row} where the first cell names one or more programs."""
    return {name.strip(' `'): row for row in table_rows(heading, columns, document) for name in row[0].split(',')}


# --- includes -------------------------------------------------------------------------------

@case('policy/ includes only itself and the pure part of the standard library')
def _(_root):
    for path in sources('policy'):
        for kind, name in includes(path):
            assert name.startswith('policy/') if kind == '"' else name in PURE, f'{path} includes {name}'


def all_included(path, seen):
    """The names in angle brackets that a file gets from itself and from our own headers."""
    seen.add(path)
    found = {name for kind, name in includes(path) if kind == '<'}
    for kind, name in includes(path):
        if kind == '"' and name not in seen and os.path.exists(os.path.join(TOP, name)):
            found |= all_included(name, seen)
    return found


@case('no file leaves it to the standard library which of its headers brings another one along')
def _(_root):
    assert std_headers.missing('std::string x; // std::vector', {'string_view'}) == ['string']
    assert not std_headers.missing('std::uint8_t x = errno;', {'stdint.h', 'cerrno'})
    for path in sources('policy', 'common', 'helpers', 'frontend', 'tests'):
        lacking = std_headers.missing(text_of(path), all_included(path, set()))
        assert not lacking, f'{path} does not include {lacking}'


@case('common/ includes only itself and policy/, no Boost, no streams, no locale')
def _(_root):
    for path in sources('common'):
        for kind, name in includes(path):
            if kind == '"':
                assert name.startswith(('common/', 'policy/')), f'{path} includes {name}'
            assert name not in HEAVY and not name.startswith(('boost/', 'nlohmann/')), f'{path} includes {name}'


@case('a helper includes only itself, common/ and policy/, no Boost, no streams, no locale')
def _(_root):
    for path in sources('helpers'):
        own = '/'.join(path.split('/')[:2]) + '/'
        for kind, name in includes(path):
            if kind == '"':
                # A filter that was compiled at build time is text of common/.
                assert name.startswith((own, 'common/', 'policy/')) or name == 'lockdown_blob.h', f'{path} includes {name}'
            assert name not in HEAVY and not name.startswith(('boost/', 'nlohmann/')), f'{path} includes {name}'


@case('frontend/ takes from common/ only what is not about privilege, and nothing from helpers/')
def _(_root):
    for path in sources('frontend'):
        for kind, name in includes(path):
            if name.startswith('common/'):
                may = POLICY_TOOL_MAY if path.startswith(('frontend/policy_tool/', 'frontend/doctor/')) else FRONTEND_MAY
                assert name[len('common/'):-2] in may, f'{path} includes {name}'
            assert not name.startswith(('helpers/', 'tests/')), f'{path} includes {name}'
            assert name != 'sys/capability.h', f'{path} includes {name}'


@case('nothing is included by a relative path')
def _(_root):
    for path in sources('policy', 'common', 'helpers', 'frontend'):
        for kind, name in includes(path):
            assert '..' not in name and (kind == '<' or '/' in name or os.path.exists(os.path.join(build_dir(), name))
                                         or name.endswith('_blob.h')), f'{path} includes "{name}"'


# The front-end's rooms, ground floor first: a room includes itself and what stands before it.
ROOMS = ['spec', 'run', 'run/cgroup', 'nics', 'start/ids', 'start/plan', 'start/mounts', 'start/net', 'start/boot', 'start/inside', 'start',
         'rootfs/archive', 'rootfs', 'events', 'store', 'monitor/console', 'monitor', 'container', 'container/make', 'copy', 'export', 'images', 'doctor', 'shift', 'cli', 'cli/usage', 'cli/shift', 'cli/verbs', 'cli/files', 'cli/watch', 'cli/program', 'cli/completions',
         'policy_tool/check', 'policy_tool/guard', 'policy_tool', 'policy_tool/verbs', 'policy_tool/report', 'policy_tool/program', 'policy_tool/completions', 'lxc_user_nic', 'names', 'oci/config', 'oci/cgroup', 'oci/inside', 'oci/engine', 'oci']
MOST_IN_A_ROOM = 25


@case('no arrow between the rooms of frontend/ runs back up')
def _(_root):
    floor = {f'frontend/{room}': number for number, room in enumerate(ROOMS)}
    for path in sources('frontend'):
        for kind, name in includes(path):
            if name.startswith('frontend/'):
                assert floor[os.path.dirname(name)] <= floor[os.path.dirname(path)], f'{path} includes {name}'


@case('no room has more than 25 files')
def _(_root):
    for directory, _, names in os.walk(os.path.join(TOP, 'frontend')):
        room = os.path.relpath(directory, TOP)
        assert len(names) <= MOST_IN_A_ROOM, f'{room} has {len(names)} files: make a room of those that belong together'


@case('a header of frontend/ has the name of what implements it')
def _(_root):
    for path in sources('frontend'):
        if path.endswith('.cc') and os.path.exists(os.path.join(TOP, path[:-3] + '.h')):
            first = next((name for kind, name in includes(path) if kind == '"'), '')
            assert first == path[:-3] + '.h', f'{path} does not include its own header first'


@case('meson.build names one source file a line')
def _(_root):
    for directory, _, names in os.walk(os.path.join(TOP, 'frontend')):
        if 'meson.build' in names:
            path = os.path.relpath(os.path.join(directory, 'meson.build'), TOP)
            for line in text_of(path).splitlines():
                assert len(re.findall(r"'[\w./]+\.cc'", line)) <= 1, f'{path}: {line.strip()}'


@case('each verb of userns-run has a manual page of its own name, and that page is about it')
def _(_root):
    where = dict(re.findall(r"'(\w+)': \[(.*?)\],", text_of(os.path.join(TOP, 'man/meson.build')).partition('verb_pages')[2], re.S))
    page_of = {verb: page for page, verbs in where.items() for verb in re.findall(r"'([\w-]+)'", verbs)} | {page: page for page in ('doctor', 'shift', 'start')}
    help_text = subprocess.run([os.path.join(build_dir(), 'frontend/cli/userns-run'), '--help', 'all'], capture_output=True, text=True, check=True).stdout
    verbs = re.findall(r'^  ([a-z][\w-]*) ', help_text.partition('Verbs')[2], re.M)
    assert len(verbs) > 20, verbs
    for verb in verbs:
        page = page_of.get(verb)
        assert page, f'man userns-run-{verb}: no such page; add the verb to verb_pages in man/meson.build'
        assert re.search(rf'^\.Cm .*\b{verb}\b|^\.Nm userns-run Cm {verb}\b|^\.Nm userns-run {verb}\b|^\.Ss .*\b{verb}\b', text_of(os.path.join(TOP, f'man/userns-run-{page}.1')), re.M), (verb, page)
    assert set(page_of) <= set(verbs), set(page_of) - set(verbs)


# What writes to a terminal by itself: a container's own output, a line of ours that is written over, and the printers.
WRITES = {'frontend/lxc_user_nic/main.cc', 'frontend/cli/terminal.cc', 'frontend/cli/getsubids.cc', 'frontend/cli/shift/shift_run.cc',
          'frontend/container/console.cc', 'frontend/monitor/main.cc', 'frontend/oci/verbs.cc', 'frontend/start/wait_by_hand.cc',
          'frontend/policy_tool/tool.cc', 'frontend/policy_tool/verbs/edit_verb.cc', 'frontend/policy_tool/verbs/grant_verb.cc', 'frontend/policy_tool/program/main.cc'}


@case('each key of net.conf and cgroup.conf stands in the grammar of its manual')
def _(_root):
    for name, pattern, places in (('net_conf', r'Setting\{"([a-z]+)"', ('man/net.conf.5', 'policy/net_conf.h')),
                                  ('cgroup_conf', r'\n    \{"([a-z.]+)", "', ('man/cgroup.conf.5',))):
        keys = re.findall(pattern, text_of(os.path.join(TOP, f'policy/{name}.cc')))
        assert len(keys) > 10, (name, keys)
        for place in places:
            missing = [key for key in keys if f'"{key}"' not in (text := text_of(os.path.join(TOP, place))) and f'"{key}="' not in text]
            assert not missing, f'{place} does not say {missing}'


@case('no test uses a name that it does not have')
def _(root):
    assert unbound.unbound('import os\ndef f(a):\n    return [os, a, gone, len] + [b for b in a]\n') == ['gone']
    wrong = [(path, names) for path in python_files('tests') if (names := unbound.unbound(text_of(path), path))]
    assert not wrong, wrong


@case('the front-end speaks by its printers: what comes from elsewhere is made safe for a terminal in one place')
def _(_root):
    for path in sources('frontend'):
        code = re.sub(r'//.*', '', text_of(path))
        if path not in WRITES:
            assert not re.search(r'\b(write|dup)\(STD(OUT|ERR)_FILENO', code), f'{path} writes by itself: print(), tell(), put()'
        if path not in {'frontend/spec/tell.h', 'frontend/cli/getsubids.cc', 'frontend/monitor/main.cc'}:
            assert not re.search(r'\breport\("', code), f'{path}: tell() in place of report()'
        assert not re.search(r'\.dump\([^)]*, false', code) or path == 'frontend/store/state.cc', f'{path}: JSON that is not ASCII'


@case('trusted code neither throws nor catches, and keeps no locale')
def _(_root):
    for path in sources('policy', 'common', 'helpers'):
        for number, line in enumerate(text_of(path).splitlines(), 1):
            code = re.sub(r'"(\\.|[^"\\])*"', '""', line.split('//')[0])
            bad = re.search(r'\b(throw|try\s*{|catch\s*\(|dynamic_cast|typeid|setlocale)\b',
                            code)
            assert not bad, f'{path}:{number}: {bad[0]}'


@case('trusted code runs no other program, but for userns-names and the caller\'s command in userns-cgroup')
def _(_root):
    for path in sources('policy', 'common', 'helpers'):
        code = re.sub(r'//.*', '', text_of(path))
        found = re.findall(r'\b(exec[lv]\w*|fexecve|posix_spawn\w*|system|popen)\s*\(', code)
        assert not found or path in ('common/caller_process.cc', 'common/asker.cc'), f'{path}: {found}'
    asks = re.sub(r'//.*', '', text_of('common/asker.cc'))
    assert re.findall(r'\bexec\w*\s*\([^)]*\)', asks) == ['execve(path, words, words + 1)'], 'the child becomes userns-names alone'
    users = {name for name, (_, own) in helpers().items() if 'common/caller_process.cc' in closure(own)}
    assert users <= {'userns-cgroup'}, users


# --- what is built --------------------------------------------------------------------------

@case('policy/ imports nothing but memory')
def _(_root):
    sanitized()
    archive = os.path.join(build_dir(), 'policy', 'libpolicy.a')
    listing = subprocess.check_output(['nm', '-C', '-u', archive], text=True)
    bad = {line.strip()[2:] for line in listing.splitlines()
           if line.strip().startswith('U ') and not PURE_IMPORTS.match(line.strip()[2:])}
    assert not bad, sorted(bad)


def sanitized():
    options = {o['name']: o['value'] for o in build_info('buildoptions')}
    if options['b_sanitize'] != 'none':
        skip('a sanitizer build imports its runtime; the release build is what is shipped')
    return options


def readelf(*options):
    return subprocess.check_output(['readelf', '-W', *options], text=True)


@case('each helper needs no DSO beyond its allow-list, and searches no path for it')
def _(_root):
    of_all = NEEDED_BY_ALL if sanitized()['static_libs'] else NEEDED_BY_ALL_SHARED
    for name, (path, _) in helpers().items():
        dynamic = readelf('-d', path)
        needed = {library for library in re.findall(r'NEEDED.*\[(.*)\]', dynamic) if not LOADER.fullmatch(library)}
        assert needed <= of_all | NEEDED_BY.get(name, set()), (name, needed)
        assert 'RPATH' not in dynamic and 'RUNPATH' not in dynamic, name


@case('each helper is position independent, fully bound before main, without executable stack')
def _(_root):
    sanitized()
    for name, (path, _) in helpers().items():
        assert 'Type:                              DYN' in readelf('-h', path), name
        segments, dynamic = readelf('-l', path), readelf('-d', path)
        assert 'GNU_RELRO' in segments, name
        assert re.search(r'FLAGS.*BIND_NOW', dynamic) and re.search(r'FLAGS_1.*NOW.*PIE', dynamic), name
        (stack,) = re.findall(r'GNU_STACK.*', segments)
        assert ' RW ' in stack and 'RWE' not in stack, (name, stack)
        assert not re.search(r'LOAD.*\bRWE\b', segments), name


def is_x86():
    """Whether the programs are for an x86: only those have CET."""
    path, _ = next(iter(helpers().values()))
    return re.search(r'Machine: +(.*)', readelf('-h', path))[1] in ('Advanced Micro Devices X86-64', 'Intel 80386')


@case('each helper is built with stack protector, fortified calls and, on x86, CET')
def _(_root):
    if sanitized()['buildtype'] != 'release':
        skip('only the release build is fortified')
    for name, (path, _) in helpers().items():
        # A program with libc inside imports nothing.
        symbols = readelf('--syms', path)
        assert '__stack_chk_fail' in symbols, name
    # Of fortified calls only the flag tells: a program whose sizes are all known at build time has none to show.
    with open(os.path.join(build_dir(), 'compile_commands.json')) as file:
        commands = json.load(file)
    for command in commands:
        if re.search(r'(^|/)(policy|common|helpers)/', os.path.relpath(os.path.join(command['directory'], command['file']), TOP)):
            if '/tests/' in os.path.realpath(os.path.join(command['directory'], command['file'])) or command['file'].endswith('_generate.cc'):
                continue
            if command['file'].endswith('_generate.cc'):  # runs while the suite is built
                continue
            for flag in ('-fstack-clash-protection', '-D_FORTIFY_SOURCE=3', '-fstack-protector-strong',
                         '-fno-exceptions', '-fno-rtti', '-fPI', *(['-fcf-protection=full'] if is_x86() else [])):
                assert flag in command['command'], f"{command['file']} is built without {flag}"
            if not is_x86():
                continue
            # Of the whole program only where libc's start files and the static libraries are built so, too: Debian's are not.
            note = readelf('-n', os.path.join(command['directory'], command['output']))
            assert 'IBT' in note and 'SHSTK' in note, f"{command['file']} has no CET note"


@case('every library whose code is inside of a program is in THIRD-PARTY-NOTICES')
def _(_root):
    if not sanitized()['static_libs']:
        skip('no library is inside: built with static_libs=false')
    with open(os.path.join(build_dir(), 'build.ninja')) as file:
        inside = {os.path.basename(path) for path in re.findall(r'(?<=\s)/[\w./+-]+\.a\b', file.read())}
    # gtest is in tests alone; libpthread.a has been empty since glibc 2.34.
    inside -= {'libgtest.a', 'libgtest_main.a', 'libpthread.a'}
    assert {'libarchive.a', 'libcap.a'} <= inside, inside
    unnamed = [name for name in inside if f'| {name} |' not in text_of('THIRD-PARTY-NOTICES')]
    assert not unnamed, unnamed


# --- SECURITY.md ----------------------------------------------------------------------------

@case('every helper is in SECURITY.md')
def _(_root):
    missing = {name for name in helpers() if f'`{name}`' not in text_of('SECURITY.md')}
    assert not missing, missing


@case('what counts as code: no blanks, no comments, nothing inside of strings')
def _(_root):
    assert size.size('int a = 1;  // one\n\n/* two\n three */\n') == (1, 7)
    assert size.size('f("a // b", \'"\', x);\n') == (1, len('f("",\'\',x);'))
    assert size.size('g(R"(a\n"b")", 1\'000);\n') == (2, len('g("",1\'000);'))


@case('trusted code of each helper, and of all together, is within the budget that SECURITY.md states')
def _(_root):
    notes, wrong = [], []
    rows = stated('Size of the trusted code', ['program', 'lines', 'budget', 'characters', 'budget'])
    of = {name: closure(own) for name, (_, own) in helpers().items()}
    of['all together'] = set().union(*of.values())
    for name, files in of.items():
        lines, characters = sizes(files)
        notes.append(f'{name} {lines} lines, {characters} characters')
        if name not in rows:
            wrong.append(f'SECURITY.md states no size of {name}')
            continue
        said, most, said_characters, most_characters = map(int, rows[name][1:5])
        if lines > most or characters > most_characters:
            wrong.append(f'{name} is beyond its budget')
        if abs(lines - said) > 25 or abs(characters - said_characters) > 1000:
            wrong.append(f'SECURITY.md says {said} lines, {said_characters} characters of {name}')
    assert not wrong, (wrong, notes)
    return '; '.join(notes)


def functions_with_brackets(path):
    """[(name of the enclosing function, whether other files can call it)] for each capability bracket in a file."""
    found, function, local = [], None, False
    for line in text_of(path).splitlines():
        if re.match(r'namespace \{', line):
            local = True
        elif re.match(r'\}  // namespace$', line):
            local = False
        head = re.match(r'[A-Za-z].*?([\w:~]+)\(', line)
        if head and not line.startswith(('using', 'constexpr', 'static_assert', 'template', '//')):
            function = head[1]
        found += [(function, not local)] * line.split('//')[0].count('with_capability(')
    return found


@case('capability brackets of each helper are as many as SECURITY.md lists')
def _(_root):
    rows = stated('Privileged operations', ['program', 'brackets', 'which'])
    for name, (binary, own) in helpers().items():
        linked = subprocess.check_output(['nm', '-C', binary], text=True)
        brackets = []
        for path in sorted(closure(own)):
            if not path.endswith('.cc'):
                continue
            for function, public in functions_with_brackets(path):
                # What the linker threw away is not an operation of this program's.
                if not public or path in own or re.search(rf'\b{re.escape(function.split("::")[-1])}\(', linked):
                    brackets.append(f'{path}: {function}')
        assert name in rows, f'SECURITY.md lists no brackets of {name}: {brackets}'
        assert len(brackets) == int(rows[name][1]), f'{name}: SECURITY.md says {rows[name][1]}, there are {brackets}'


def rules_in_code():
    found = collections.defaultdict(set)
    for path in sources('policy', 'common', 'helpers'):
        for rule in re.findall(r'"([A-Z]{2}-[A-Z][A-Z0-9]*)"', text_of(path)):
            found[rule].add(path)
    return found


def rules_in_document():
    found = set()
    for line in text_of('SECURITY.md').splitlines():
        if line.startswith('|'):
            found |= set(re.findall(r'\b[A-Z]{2}-[A-Z][A-Z0-9]*\b', line.split('|')[1]))
    return found


def rules_in_tests():
    found = set()
    for directory, _, names in os.walk(os.path.join(TOP, 'tests')):
        for name in names:
            if name.endswith(('.py', '.cc', '.sh')) and 'arch' not in directory:
                with open(os.path.join(directory, name), encoding='utf-8') as file:
                    found |= set(re.findall(r'\b[A-Z]{2}-[A-Z][A-Z0-9]*\b', file.read()))
    return found


@case('every rule of the code stands in SECURITY.md, and every rule there is in the code')
def _(_root):
    code, document = rules_in_code(), rules_in_document()
    assert not set(code) - document, f'not in SECURITY.md: {sorted(set(code) - document)}'
    assert not document - set(code), f'in SECURITY.md and not in the code: {sorted(document - set(code))}'
    return f'{len(code)} rules'


@case('every rule of the code is named by a test')
def _(_root):
    code, tests = rules_in_code(), rules_in_tests()
    assert not set(code) - tests, f'no test names: {sorted(set(code) - tests)}'


@case('every rule that a test names is in the code')
def _(_root):
    code = rules_in_code()
    prefixes = {rule[:3] for rule in code}
    unknown = {rule for rule in rules_in_tests() if rule[:3] in prefixes} - set(code)
    # The tests of the error type make up rules of their own.
    assert not unknown - {'IM-X'}, sorted(unknown)


@case('tests/mutate knows how to take each rule out')
def _(_root):
    done = subprocess.run([os.path.join(TOP, 'tests', 'mutate'), build_dir(), '--list'], capture_output=True, text=True, check=False)
    faults = [line for line in done.stdout.splitlines() if line.startswith('ERROR')]
    assert done.returncode == 0 and not faults, (faults, done.stderr)


def test_files(named):
    """{test as a cell of SECURITY.md names it: its files}; the letter of one holds for those behind it."""
    found, room = {}, None
    for word in re.split(r', *', re.sub(r' *\([^)]*\)', '', named)):
        words = word.split()
        if len(words) == 2:
            room = words[0]
        name = words[-1]
        if len(words) > 2 or (len(words) == 2 and room not in ('H', 'U')):
            found[word] = []
        elif os.path.isfile(os.path.join(TOP, name)):
            found[word] = [name]
        elif len(words) == 1 and (room is None or os.path.isdir(os.path.join(TOP, 'tests', name))):
            found[word] = [path for path in test_sources() if path.startswith(f'tests/{name}/')]
        else:
            wanted = {'H': (f'tests/helpers/{name}.py', f'tests/helpers/newidmap_{name}.py')}.get(room, (f'{name}_test.cc',))
            found[word] = [path for path in test_sources() if path.endswith(wanted)]
    return found


def test_sources():
    found = []
    for directory, _, names in os.walk(os.path.join(TOP, 'tests')):
        found += [os.path.relpath(os.path.join(directory, name), TOP) for name in names if name.endswith(('.py', '.cc', '.sh'))]
    return found


@case('the tests that SECURITY.md says hold a rule are there, and each names the rule')
def _(_root):
    wrong, pairs = [], 0
    for line in text_of('SECURITY.md').splitlines():
        cells = [cell.strip() for cell in line.strip().strip('|').split('|')]
        ids = re.findall(r'\b[A-Z]{2}-[A-Z][A-Z0-9]*\b', cells[0]) if line.startswith('|') else []
        if not ids:
            continue
        for word, files in test_files(cells[3]).items():
            texts = ''.join(text_of(path) for path in files)
            wrong += [f'{rule}: {word}' + ('' if files else ' (no such test)') for rule in ids
                      if not re.search(rf'\b{rule}\b', texts)]
            pairs += len(ids)
    assert not wrong, wrong
    return f'{pairs} rules in tests'


@case('the tests that the list of past faults names are there')
def _(_root):
    rows = table_rows('Past faults', ['fault', 'what went wrong', 'here', 'test'], 'tests/evidence/past-faults.md')
    wrong = [f'{row[0]}: {word}' for row in rows for word, files in test_files(row[3]).items() if not files]
    assert rows and not wrong, wrong


# --- how we write ---------------------------------------------------------------------------

def read_by_people():
    """What is not a list of the past: code with its messages and comments, manuals, documents."""
    documents = [name for name in os.listdir(TOP) if name.endswith('.md') and name != 'CHANGELOG.md']
    manuals = [f'man/{name}' for name in os.listdir(os.path.join(TOP, 'man')) if name[-1].isdigit()]
    # It has the words as examples.
    documents.remove('CONTRIBUTING.md')
    return sources('policy', 'common', 'helpers', 'frontend') + documents + ['frontend/SECURITY.md'] + manuals


@case('no words that stop a reader: he, "is no X", "until it is mended" and their like')
def _(_root):
    wrong = [f'{path}:{line}: "{found}": write {instead}' for path in read_by_people()
             for line, found, instead in words.stumbles(text_of(path))]
    assert not wrong, wrong


@case('no sentence of a manual has more than forty words')
def _(_root):
    manuals = [path for path in read_by_people() if path.startswith('man/')]
    wrong = [f'{path}: {count} words: {begin} ...' for path in manuals
             for count, begin in words.long_sentences(words.prose_of_manual(text_of(path)))]
    assert manuals and not wrong, wrong


# Not in a helper, but its filter is made from them.
MADE_FROM = {'common/generate/lockdown_profile.h', 'common/generate/lockdown_cpus.h', 'common/generate/lockdown_generate.cc'}


def ledger():
    """[(the files of a row, the change that the row names)]"""
    found = []
    for row in table_rows('Audit ledger', ['file', 'trusted with', 'last gone through with'], 'tests/evidence/audit-ledger.md'):
        files = []
        for name in re.findall(r'`([^`]+)`', row[0]):
            if name.endswith('/*'):
                files += sources(name[:-2])
            else:
                header = name[:-3] + '.h' if name.endswith('.cc') else name
                files += [name] + [header] * (header != name and os.path.exists(os.path.join(TOP, header)))
        found.append((files, row[2]))
    return found


@case('the audit ledger lists the files that helpers are built from, each once, and no others')
def _(_root):
    listed = [path for files, _ in ledger() for path in files]
    every = set().union(MADE_FROM, *(closure(own) for _, own in helpers().values()))
    twice = {path for path in listed if listed.count(path) > 1}
    assert not twice, f'listed twice: {sorted(twice)}'
    assert set(listed) == every, f'not listed: {sorted(every - set(listed))}; in no helper: {sorted(set(listed) - every)}'
    return f'{len(every)} files'


@case('each change that the audit ledger names is in the history')
def _(_root):
    def git(*words):
        return subprocess.run(['git', '-C', TOP, *words], capture_output=True, text=True, check=False)
    log = git('log', '--format=%H %s')
    if log.returncode != 0 or git('rev-parse', '--is-shallow-repository').stdout.strip() != 'false':
        skip('this tree comes without its history')
    commits = {}
    for line in log.stdout.splitlines():
        commits.setdefault(*reversed(line.split(' ', 1)))
    assert not {change for _, change in ledger()} - set(commits), sorted({change for _, change in ledger()} - set(commits))
    since = {files[0]: len(git('log', '--format=%h', f'{commits[change]}..HEAD', '--', *files).stdout.split())
             for files, change in ledger()}
    return 'changes since: ' + (', '.join(f'{path} {count}' for path, count in since.items() if count) or 'none')


@case("the kernel's paths that containers do not see stand in frontend/SECURITY.md, as they are in the code")
def _(_root):
    text = text_of('frontend/start/mounts/kernel_paths.cc')
    code = {'/sys': 'read-only'}  # by plan_mounts.cc
    for where, top, how in (('CoveredInProc', 'proc', 'covered'), ('ReadOnlyInProc', 'proc', 'read-only'),
                            ('ReadOnlyInSysctl', 'proc', 'read-only'), ('AllSysctls', 'proc', 'read-only to the host\'s root'),
                            ('CoveredInSys', 'sys', 'covered')):
        names = re.search(rf'k{where}\{{(.*?)\}};', text, re.S)[1]
        code |= {f'/{top}/{name}': how for name in re.findall('"([^"]+)"', names)}
    rows = stated("The kernel's own paths", ['path', 'how', 'the attack it stops', 'with `--nesting`'],
                  'frontend/SECURITY.md')
    assert {path: row[1] for path, row in rows.items()} == code, (rows, code)
    return f'{len(code)} paths'


if __name__ == '__main__':
    main(need_root=False)
