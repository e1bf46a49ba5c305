"""A Slurm of three nodes on this machine, of Debian's own packages: munged, slurmctld and a slurmd for each node.

    cluster = Cluster(root, oci=LINES)          # skips the case if Slurm is not installed
    done = cluster.srun(root.alice, '-N3', 'hostname')
    cluster.end()

The daemons live in a network namespace of their own. Each node has its own host name, its own /run, and its own
directory `local`, which is empty; everything else, such as homes, is shared as on a cluster's file system. Its daemons
stop at end() and, at the latest, with the case.
"""

import glob
import os
import re
import shutil
import signal
import socket
import subprocess

from harness import (CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUTS, MS_BIND, PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, libc, mount,
                     prctl, setns, skip, spawn, unshare, wait_for)

NODES = ('n1', 'n2', 'n3')
PROGRAMS = ('/usr/sbin/slurmctld', '/usr/sbin/slurmd', '/usr/sbin/munged', '/usr/bin/srun')
CONF = '/etc/slurm'
ADDRESS = '192.0.2.1'


def _conf(top, cpus, memory, cgroups, task_prolog):
    first = socket.gethostname()
    task = 'task/cgroup' if cgroups else 'task/none'
    prolog = f'TaskProlog={task_prolog}' if task_prolog else ''
    nodes = '\n'.join(f'NodeName={name} NodeHostname={first} NodeAddr={ADDRESS} Port={17001 + number} CPUs={cpus} '
                      f'RealMemory={memory} State=UNKNOWN' for number, name in enumerate(NODES))
    return f"""ClusterName=test
SlurmctldHost={first}({ADDRESS})
SlurmctldPort=17000
SlurmUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={top}/munge/socket
StateSaveLocation={top}/state
SlurmdSpoolDir={top}/spool.%n
SlurmctldPidFile={top}/slurmctld.pid
SlurmdPidFile={top}/slurmd.%n.pid
SlurmctldLogFile={top}/slurmctld.log
SlurmdLogFile={top}/slurmd.%n.log
ProctrackType=proctrack/cgroup
TaskPlugin={task}
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=2
MaxArraySize=10
PropagateResourceLimits=NONE
{prolog}
{nodes}
PartitionName=all Nodes=n[1-3] Default=YES MaxTime=10 State=UP DefMemPerCPU=1 OverSubscribe=NO
"""


CGROUP_CONF = """CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
ConstrainCores=yes
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
"""


def alive(uids):
    """The command lines of processes with such an effective uid, zombies left out."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if os.stat(f'/proc/{pid}').st_uid in uids:
                with open(f'/proc/{pid}/cmdline') as file:
                    found.append(file.read())
        except OSError:
            pass
    return [line for line in found if line]


class Cluster:
    def __init__(self, root, oci=None, cpus=100, memory=20000, cgroups=False, task_prolog=None):
        missing = [path for path in PROGRAMS if not os.path.exists(path)]
        if missing:
            skip(f'{missing[0]} is not there: install slurmctld, slurmd, slurm-client and munge')
        self.root, self.top = root, f'{root.tmp}/slurm'
        self.local = f'{root.tmp}/local'
        os.makedirs(self.local, exist_ok=True)
        self._sweep()
        self.before = os.open('/proc/self/ns/net', os.O_RDONLY)
        unshare(CLONE_NEWNET)
        # glibc counts an address family as there only if it has an address beside that of the loopback.
        for words in (['link', 'set', 'lo', 'up'], ['address', 'add', f'{ADDRESS}/32', 'dev', 'lo']):
            subprocess.run(['ip', *words], check=True)
        shutil.rmtree(self.top, ignore_errors=True)
        for name in ('munge', 'state', *(f'spool.{n}' for n in NODES), *(f'local.{n}' for n in NODES)):
            os.makedirs(f'{self.top}/{name}')
        for name in NODES:
            os.chmod(f'{self.top}/local.{name}', 0o1777)
        os.makedirs(CONF, exist_ok=True)
        root.write(f'{CONF}/slurm.conf', _conf(self.top, cpus, memory, cgroups, task_prolog))
        root.write(f'{CONF}/cgroup.conf', CGROUP_CONF)
        if oci:
            root.write(f'{CONF}/oci.conf', oci)
        elif os.path.exists(f'{CONF}/oci.conf'):
            os.unlink(f'{CONF}/oci.conf')
        self._start()

    def _start(self):
        munge = f'{self.top}/munge'
        self.root.write(f'{munge}/key', os.urandom(1024), 0o400)
        self.keeper = os.fork()
        if self.keeper == 0:
            self._keep()
        try:
            wait_for(self._all_idle, 'three idle nodes', 60)
        except AssertionError as error:
            raise AssertionError(f'{error}\n{self.said()}') from error

    def _keep(self):
        """The daemons' parent: it collects what they orphan, as init does. Slurm waits until killed processes are gone."""
        try:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            prctl(PR_SET_CHILD_SUBREAPER, 1)
            signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGTERM) for pid in daemons])
            daemons = []
            munge = f'{self.top}/munge'
            daemons.append(self._daemon('/usr/sbin/munged', '--foreground', '--force', f'--key-file={munge}/key',
                                        f'--socket={munge}/socket', f'--pid-file={munge}/pid', f'--log-file={munge}/log',
                                        f'--seed-file={munge}/seed'))
            wait_for(lambda: os.path.exists(f'{munge}/socket'), 'munged')
            daemons.append(self._daemon('/usr/sbin/slurmctld', '-D', '-i'))
            for name in NODES:
                daemons.append(self._daemon('/usr/sbin/slurmd', '-D', '-N', name, node=name))
            while daemons:
                ended, _ = os.wait()
                daemons = [pid for pid in daemons if pid != ended]
        finally:
            os._exit(0)

    def _daemon(self, *argv, node=None):
        pid = os.fork()
        if pid:
            return pid
        try:
            with open(f'{self.top}/{os.path.basename(argv[0])}{node or ""}.err', 'w') as said:
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.chdir('/')
            if node:
                self._be_a_node(node)
            os.execve(argv[0], argv, {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'})
        finally:
            os._exit(121)

    def _be_a_node(self, name):
        unshare(CLONE_NEWNS | CLONE_NEWUTS)
        libc.sethostname(name.encode(), len(name))
        mount('tmpfs', '/run', 'tmpfs', 0, 'mode=0755')
        os.makedirs('/run/user', mode=0o755)
        for user in (self.root.alice, self.root.bob, self.root.carol):
            os.makedirs(f'/run/user/{user.uid}', mode=0o700)
            os.chown(f'/run/user/{user.uid}', user.uid, user.gid)
        mount(f'{self.top}/local.{name}', self.local, None, MS_BIND)

    def _all_idle(self):
        done = self.root.run(['/usr/bin/sinfo', '-h', '-o', '%D %t'])
        return done.out.split() == ['3', 'idle']

    def said(self):
        """What the daemons have complained of."""
        texts = []
        for name in sorted(os.listdir(self.top)):
            if name.endswith(('.log', '.err')):
                with open(f'{self.top}/{name}', errors='replace') as file:
                    lines = [line for line in file if re.search('error|fatal', line) and not re.search('pmi|state file|resv|trigger', line, re.I)]
                texts.append(f'{name}:\n' + ''.join(lines[-15:]))
        return '\n'.join(texts)

    def env(self, user):
        return {'PATH': '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': f'{self.root.tmp}/home/{user.name}',
                'USER': user.name, 'LOGNAME': user.name}

    def argv(self, *words):
        return ['/usr/bin/srun', *words]

    def srun(self, user, *words, seconds=60, env=None):
        return self.start(user, *words, env=env).wait(seconds)

    def start(self, user, *words, env=None):
        return spawn(self.argv(*words), user, env={**self.env(user), **(env or {})}, cwd=f'{self.root.tmp}/home/{user.name}')

    def cancel(self, user, *words):
        done = self.root.run(['/usr/bin/scancel', *words], user, env=self.env(user))
        assert done.code == 0, done

    def jobs(self):
        return self.root.run(['/usr/bin/squeue', '-h', '-o', '%i %t']).out.split('\n')[:-1]

    def end(self):
        os.kill(self.keeper, signal.SIGTERM)
        wait_for(lambda: os.waitpid(self.keeper, os.WNOHANG)[0], f'the daemons to end\n{self.said()}', 30)
        setns(self.before)
        os.close(self.before)
        wait_for(self._sweep, 'the cgroups of the nodes to be empty')

    @staticmethod
    def _sweep():
        """Removes the cgroups that slurmd leaves; false while one is in use."""
        for top in glob.glob('/sys/fs/cgroup/*/slurm_n[1-3]'):
            for directory, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    return False
        return True
