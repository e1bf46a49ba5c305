"""What the commands of README.md and of the manuals print, as patterns: numbers of processes, times and addresses differ.

A command that ends well and says something else fails its test; nothing may be on stderr but what stands here.
"""

import re

ROW = r'(?:[^\n]*\n)'
LINK = r'[0-9a-f:]{17} <[A-Z_,-]+> *\n'
NO_BRIDGE = (r'/etc/userns/net\.conf:\d+:\d+: warning: there is no interface {} \[bridge-missing\]\n' + ROW + r' +\^~+\n  why: the line gives nothing until '
             r'there is \(NR-BRIDGE\)\n  fix: ip link add {} type bridge && ip link set {} up, or correct the name\n')
DIFF = r'--- {0}\n\+\+\+ {0}\n@@ [-+,\d ]+ @@\n'

# {the command without its comment: what it prints}
README = {
    'userns-run': r'',  # standard input has nothing to say to the shell
    'userns-run -- cat /proc/self/uid_map': r' +0 +\d+ +65536\n',
    'userns-run --map-self --bind $HOME:/root -- ls -l /root': r'total \d+\n(?:[-dlrwxst]{10} +\d+ (?:root|nobody) +(?:root|nogroup) +\d+ [^\n]*\n)*',
    "userns-run --map-self -- sh -c 'ip link add left type veth peer right; ip -br link'":
        rf'lo +UNKNOWN +00:00:00:00:00:00 <LOOPBACK,UP,LOWER_UP> *\nright@left +DOWN +{LINK}left@right +DOWN +{LINK}',
    'userns-run --dry-run -- true':
        r'uids +\[0-65536\) -> \[\d+-\d+\)\nuid_map +newuidmap\ngids +\[0-65536\) -> \[\d+-\d+\)\ngid_map +newgidmap\nnamespaces +user mount pid ipc '
        r"uts net cgroup\nroot +the host's own tree\n(?:mount +[^\n]*\n)+seccomp +default profile\ncommand +uid 0 gid 0: 'true'\n",
    'userns-run create web --template busybox': r'',
    'userns-run start web': r'',
    'userns-run exec web id': r'uid=0\(root\) gid=0\(root\)(?: groups=[^\n]*)?\n',
    'userns-run ps web': r'CONTAINER +PID +INSIDE +UID +INSIDE +GID +INSIDE +USERNS +COMMAND *\n(?:web +\d+ +\d+ +\d+ +0 +\d+ +0 +\d+ +[^\n]*\n)+',
    'userns-run stop web': r'',
    'userns-run destroy web': r'',
}

# {example of a manual that has no check of its own: what it prints}
EXAMPLES = {
    'policy-grant as root': r'alice: subuid \[\d+-\d+\)\nalice: subgid \[\d+-\d+\)\n' + DIFF.format(r'/etc/userns/net\.conf')
        + r'(?: [^\n]*\n)*\+alice  veth  br0  2\n' + DIFF.format(r'/etc/userns/cgroup\.conf') + r'(?: [^\n]*\n)*\+alice memory\.max=4G pids\.max=2048\n'
        + rf'alice: uid \d+, groups [^\n]*\nnewuidmap: \[{ROW}(?:  [^\n]*\n)+newgidmap: \[{ROW}(?:  [^\n]*\n)+net br0: {ROW}(?:  [^\n]*\n)+cgroup: {ROW}(?:  [^\n]*\n)+',
    'policy-students as root': DIFF.format(r'/etc/userns/net\.conf') + r'(?: [^\n]*\n)*\+@students  veth  br-lab  1  vlan=30 isolated=yes\n',
    'policy-usernet as root': r'',
    'policy-import': r'\./web\.conf\n',
    'containers': r'group = lab\nmap = u:0:\d+:65536\nmap = g:0:\d+:65536\nenv = LANG=C\nNAME +STATE [^\n]*\nbox +stopped [^\n]* lab *\n',
    'doctor': rf'userns-run [\w.+~-]+ as \S+ \(uid 1000\)\n(?:\n\w[\w ]*\n(?:  (?:ok|warn|-) +[\w-]+ +[^\n]+\n(?: +-> [^\n]+\n)*)+)+\n\d+ ok{ROW}',
    'suite': r' +0 +\d+ +65536\n',
}

# {a command of a block: what the block says on stderr}
ERRORS = {
    'tar -cf ~/web.tar --exclude=rootfs ~/.local/share/userns/web':
        r"tar: Removing leading `/' from member names\n(?:tar: \S+: socket ignored\n)*",
    'systemctl --user enable userns-autostart': r'Created symlink \S+ (?:→|->) \S+\n',
    'userns-policy grant alice --ids 65536 --net br0:2': NO_BRIDGE.replace('{}', 'br0'),
    'userns-policy grant @students --net br-lab:1,vlan=30,isolated=yes':
        r"/etc/userns/net\.conf:\d+:1: warning: the group 'students' has no members \[group-empty\]\n" + ROW + r' +\^~+\n  why: the line is for nobody\n'
        r'  fix: usermod --append --groups students USER\n' + NO_BRIDGE.replace('{}', 'br-lab'),
}


def check_errors(commands, done):
    wanted = ''.join(ERRORS.get(command, '') for command in commands)
    assert re.fullmatch(wanted, done.err), (wanted, done)


def check_output(wanted, out):
    assert re.fullmatch(wanted, out), f'{out!r} is not what is expected: {wanted!r}'
