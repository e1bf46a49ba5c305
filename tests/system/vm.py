"""A booted Debian for tests: its own kernel, systemd, pure cgroup v2, auditd, AppArmor, and the users alice and bob.

    image = Image(directory)         # below the build tree; built once, kept there
    if why := image.why_not(): ...   # what this machine lacks
    image.build(say)                 # 2 to 3 minutes; nothing where it is there already
    status = image.run(payload, on_line, seconds)

`payload` is a directory with an executable `run`: the guest boots from a throw-away copy of the image, runs it as root and
powers off in order. Without hardware virtualisation the guest's CPU is some 30 times slower than the host's: nothing in it
may be timed. On the command line: vm.py IMAGE_DIR build | run PAYLOAD.
"""

import fcntl
import glob
import hashlib
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = {'qemu-system-x86_64': 'qemu-system-x86', 'qemu-img': 'qemu-utils', 'mmdebstrap': 'mmdebstrap',
         'mke2fs': 'e2fsprogs', 'cpio': 'cpio', 'busybox': 'busybox-static'}
PACKAGES = ('systemd systemd-sysv dbus dbus-user-session libpam-systemd iproute2 procps auditd apparmor uidmap acl strace '
            'util-linux kmod udev python3 busybox-static passwd login linux-image-cloud-amd64').split()
MASKED = ('getty@tty1 serial-getty@ttyS0 e2scrub_all.timer fstrim.timer apt-daily.timer apt-daily-upgrade.timer '
          'dpkg-db-backup.timer systemd-networkd systemd-resolved systemd-timesyncd').split()
DRIVERS = ('virtio_pci', 'virtio_blk', 'virtio_console', 'ext4')
KERNEL_ARGS = ('console=ttyS0 quiet loglevel=3 rw mitigations=off nokaslr panic=-1 systemd.show_status=0 audit=1 '
               'random.trust_cpu=1 modprobe.blacklist=powernow_k8,kvm,kvm_amd,kvm_intel,acpi_cpufreq,i2c_i801,iTCO_wdt,'
               'lpc_ich,pcspkr,psmouse,button')
INIT = '''#!/bin/busybox sh
B=/bin/busybox
$B mount -t devtmpfs d /dev; $B mount -t proc p /proc; $B mount -t sysfs s /sys
for m in /lib/*.ko; do $B insmod $m; done
i=0; while [ ! -b /dev/vda ] && [ $i -lt 1000 ]; do $B usleep 10000; i=$((i+1)); done
$B mount -t ext4 -o rw,noatime /dev/vda /mnt || exec $B poweroff -f
$B mount --move /dev /mnt/dev; $B umount /proc /sys
exec $B switch_root /mnt /sbin/init
'''


def _run(argv, **how):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **how)
    if done.returncode != 0:
        tail = '\n'.join(done.stdout.decode(errors='replace').splitlines()[-20:])
        raise RuntimeError(f'{" ".join(argv[:3])} ... ended with {done.returncode}:\n{tail}')


def _apt_sources():
    """The package sources of this machine that serve Debian."""
    found = ['/etc/apt/sources.list', *glob.glob('/etc/apt/sources.list.d/*.list'),
             *glob.glob('/etc/apt/sources.list.d/*.sources')]
    texts = {path: open(path).read() for path in found if os.path.exists(path)}
    return [path for path, text in texts.items() if 'bookworm' in text and 'debian' in text]


class Image:
    def __init__(self, directory):
        self.directory = os.path.abspath(directory)
        self.disk, self.kernel, self.initrd = (os.path.join(self.directory, n) for n in ('disk', 'kernel', 'initrd'))

    def _recipe(self):
        """Changes where the image has to be made anew."""
        text = ''.join(open(path).read() for path in (__file__, HERE + '/guest/agent.py', HERE + '/guest/agent.service'))
        return hashlib.sha256(text.encode()).hexdigest()

    def is_built(self):
        try:
            with open(self.directory + '/recipe') as file:
                return file.read() == self._recipe()
        except FileNotFoundError:
            return False

    def why_not(self):
        """Why there can be no guest here, or None."""
        needed = ('qemu-system-x86_64', 'qemu-img') if self.is_built() else TOOLS
        missing = [TOOLS[tool] for tool in needed if not shutil.which(tool, path=os.environ['PATH'] + ':/usr/sbin:/sbin')]
        if missing:
            return f'no booted guest without {", ".join(missing)}: apt-get install them'
        if not self.is_built() and os.geteuid() != 0:
            return 'building the guest image needs root'
        if not self.is_built() and not _apt_sources():
            return 'no apt source of this machine serves Debian bookworm'
        return None

    def build(self, say):
        """Several may ask at the same time: one builds, the others wait for it."""
        os.makedirs(os.path.dirname(self.directory), exist_ok=True)
        with open(self.directory + '.lock', 'w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.is_built():
                say('building the guest image (2 to 3 minutes, once)')
                self._build()

    def _build(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)
        with tempfile.TemporaryDirectory(dir=self.directory) as work:
            self._unpack(work + '/root', work + '/root.tar')
            self._boot_files(work + '/root', work + '/early')
            _run(['mke2fs', '-q', '-t', 'ext4', '-O', '^has_journal', '-d', work + '/root', self.disk, '3G'])
        with open(self.directory + '/recipe', 'w') as file:
            file.write(self._recipe())

    @staticmethod
    def _unpack(root, tar):
        agent = HERE + '/guest/agent'
        hooks = ['chroot "$1" useradd -m -s /bin/bash -u 1000 alice', 'chroot "$1" useradd -m -s /bin/bash -u 1001 bob',
                 'echo guest > "$1/etc/hostname"; echo "/dev/vda / ext4 rw,noatime 0 0" > "$1/etc/fstab"',
                 f'install -m755 "{agent}.py" "$1/usr/local/sbin/userns-test-agent"',
                 f'install -m644 "{agent}.service" "$1/etc/systemd/system/userns-test-agent.service"',
                 'chroot "$1" systemctl enable userns-test-agent', f'chroot "$1" systemctl mask {" ".join(MASKED)}',
                 'rm -rf "$1/usr/share/doc" "$1/usr/share/man" "$1/usr/share/locale"']
        _run(['mmdebstrap', '--variant=minbase', '--include=' + ','.join(PACKAGES),
              *[f'--customize-hook={hook}' for hook in hooks], 'bookworm', tar, *_apt_sources()])
        os.mkdir(root)
        _run(['tar', '--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf', tar, '-C', root])

    def _boot_files(self, root, early):
        """The guest's kernel, and a start that only finds its disk."""
        version, = os.listdir(root + '/lib/modules')
        shutil.copy(f'{root}/boot/vmlinuz-{version}', self.kernel)
        for name in ('bin', 'dev', 'proc', 'sys', 'mnt', 'lib'):
            os.makedirs(f'{early}/{name}')
        shutil.copy(root + '/bin/busybox', early + '/bin')
        seen = []
        for driver in DRIVERS:
            listed = subprocess.run(['chroot', root, 'modprobe', '-S', version, '--show-depends', driver],
                                    stdout=subprocess.PIPE, check=True).stdout.decode()
            seen += [m for m in (line.split()[1] for line in listed.splitlines() if line.startswith('insmod'))
                     if m not in seen]
        for number, module in enumerate(seen):
            shutil.copy(root + module, f'{early}/lib/{number:03}-{os.path.basename(module)}')
        with open(early + '/init', 'w') as file:
            file.write(INIT)
        os.chmod(early + '/init', 0o755)
        _run(['sh', '-c', f'find . | cpio -o -H newc --quiet > "{self.initrd}"'], cwd=early)

    def run(self, payload, on_line, seconds):
        """Boots, runs the payload, waits for the orderly power-off; returns the payload's exit status."""
        with tempfile.TemporaryDirectory(prefix='userns-guest.') as work:
            _run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', self.disk, '-F', 'raw', work + '/disk'])
            _run(['tar', '--numeric-owner', '-C', payload, '-cf', work + '/payload', '.'])
            os.truncate(work + '/payload', (os.path.getsize(work + '/payload') + (1 << 20)) // 512 * 512)
            guest = subprocess.Popen(
                ['qemu-system-x86_64', '-M', 'q35', '-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'Nehalem', '-m', '1536',
                 '-smp', '2', '-nodefaults', '-display', 'none', '-no-reboot', '-serial', f'file:{work}/console',
                 '-kernel', self.kernel, '-initrd', self.initrd, '-append', KERNEL_ARGS,
                 '-drive', f'file={work}/disk,if=virtio,format=qcow2,cache=unsafe',
                 '-drive', f'file={work}/payload,if=virtio,format=raw,readonly=on', '-device', 'virtio-rng-pci',
                 '-device', 'virtio-serial-pci', '-chardev', 'stdio,id=out,signal=off',
                 '-device', 'virtserialport,chardev=out,name=userns.test'],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                status = self._listen(guest, on_line, time.monotonic() + seconds)
                if status is None:
                    with open(work + '/console', errors='replace') as file:
                        on_line('# the guest ended or hung; its console: ' + file.read()[-2000:].replace('\n', '\n# '))
                elif guest.wait(60) != 0:
                    raise RuntimeError(f'qemu ended with {guest.returncode}')
                return status
            finally:
                guest.kill()
                guest.wait()

    @staticmethod
    def _listen(guest, on_line, end):
        pending = b''
        with selectors.DefaultSelector() as waiter:
            waiter.register(guest.stdout, selectors.EVENT_READ)
            while time.monotonic() < end:
                if not waiter.select(1):
                    continue
                piece = os.read(guest.stdout.fileno(), 1 << 16)
                *lines, pending = (pending + piece).split(b'\n')
                for line in lines:
                    if line.startswith(b'status '):
                        return int(line.split()[1])
                    on_line(line.removeprefix(b'| ').decode(errors='replace'))
                if not piece:
                    return None
        return None


def copy_launcher(build, payload):
    """What the harness starts programs with (tests/lib/launch.cc), for a payload whose build directory is "."."""
    os.mkdir(payload + '/tests')
    shutil.copy(build + '/tests/launch', payload + '/tests')


if __name__ == '__main__':
    image = Image(sys.argv[1])
    why = image.why_not()
    if why:
        sys.exit(why)
    image.build(print)
    if sys.argv[2] == 'run':
        sys.exit(image.run(sys.argv[3], lambda line: print(line, flush=True), 600))
