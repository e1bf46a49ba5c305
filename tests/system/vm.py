"""A booted Debian for tests: its own kernel, systemd, pure cgroup v2, auditd, AppArmor, and the users alice and bob.

    image = Image(build, suite)      # Debian 12 ('bookworm') or 13 ('trixie'); built once, kept (lib/cache.py)
    if why := image.why_not(): ...   # what this machine lacks
    image.build(say)                 # 2 to 3 minutes; nothing where it is there already
    status = image.run(payload, on_line, seconds)

`payload` is a directory with an executable `run`: the guest boots from a throw-away copy of the image, runs it as root and
powers off in order. Without hardware virtualisation the guest's CPU is some 30 times slower than the host's: nothing in it
may be timed. On the command line: vm.py BUILD_DIR SUITE build | run PAYLOAD.
"""

import lzma
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import cache  # noqa: E402
import debian  # noqa: E402
from debian import run as _run  # noqa: E402

TOOLS = {'qemu-system-x86_64': 'qemu-system-x86', 'qemu-img': 'qemu-utils', 'mmdebstrap': 'mmdebstrap',
         'mke2fs': 'e2fsprogs', 'cpio': 'cpio', 'busybox': 'busybox-static'}
PACKAGES = ('systemd systemd-sysv dbus dbus-user-session libpam-systemd iproute2 procps auditd apparmor uidmap acl strace '
            'util-linux mount kmod udev python3 busybox-static passwd login passt slirp4netns nftables nfs-kernel-server '
            'linux-image-cloud-amd64').split()
MASKED = ('getty@tty1 serial-getty@ttyS0 e2scrub_all.timer fstrim.timer apt-daily.timer apt-daily-upgrade.timer '
          'dpkg-db-backup.timer systemd-networkd systemd-resolved systemd-timesyncd').split()
DRIVERS = ('virtio_pci', 'virtio_blk', 'virtio_console', 'ext4')
KERNEL_ARGS = ('console=ttyS0 quiet loglevel=3 rw mitigations=off nokaslr panic=-1 no_timer_check systemd.show_status=0 audit=1 '
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


AGENT = HERE + '/guest/agent'
HOOKS = ('chroot "$1" useradd -m -s /bin/bash -u 1000 alice', 'chroot "$1" useradd -m -s /bin/bash -u 1001 bob',
         'echo guest > "$1/etc/hostname"; echo "/dev/vda / ext4 rw,noatime 0 0" > "$1/etc/fstab"',
         f'install -m755 "{AGENT}.py" "$1/usr/local/sbin/userns-test-agent"',
         f'install -m644 "{AGENT}.service" "$1/etc/systemd/system/userns-test-agent.service"',
         'chroot "$1" systemctl enable userns-test-agent',
         'chroot "$1" systemctl disable nfs-server nfs-client.target nfs-blkmap rpcbind rpcbind.socket', f'chroot "$1" systemctl mask {" ".join(MASKED)}',
         'rm -rf "$1/usr/share/doc" "$1/usr/share/man" "$1/usr/share/locale"')


def _recipe(suite):
    """Changes where the image has to be made anew."""
    texts = []
    for path in (AGENT + '.py', AGENT + '.service'):
        with open(path) as file:
            texts.append(file.read())
    return cache.key(suite, PACKAGES, DRIVERS, INIT, *texts, *(hook.replace(HERE, '') for hook in HOOKS))


class Image:
    def __init__(self, build, suite=debian.BOOKWORM):
        self.suite = suite
        self.directory = cache.path(build, 'guests', f'{suite}-{_recipe(suite)}')
        self.disk, self.kernel, self.initrd = self._files(self.directory)

    @staticmethod
    def _files(directory):
        return [os.path.join(directory, name) for name in ('disk', 'kernel', 'initrd')]

    def is_built(self):
        return os.path.exists(self.directory)

    def why_not(self):
        """Why there can be no guest here, or None."""
        needed = ('qemu-system-x86_64', 'qemu-img') if self.is_built() else TOOLS
        missing = [TOOLS[tool] for tool in needed if not shutil.which(tool, path=os.environ['PATH'] + ':/usr/sbin:/sbin')]
        if missing:
            return f'no booted guest without {", ".join(missing)}: apt-get install them'
        if not self.is_built() and os.geteuid() != 0:
            return 'building the guest image needs root'
        return None if self.is_built() else debian.why_not(self.suite)

    def build(self, say):
        """Several may ask at the same time: one builds, the others wait for it."""
        if not self.is_built():
            say(f'building the guest image of Debian {self.suite} (2 to 3 minutes, once)')
        cache.once(self.directory, self._build)

    def _build(self, half):
        disk, kernel, initrd = self._files(half)
        os.makedirs(half)
        with tempfile.TemporaryDirectory(dir=half) as work:
            debian.make(self.suite, work + '/root.tar', PACKAGES, HOOKS)
            os.mkdir(work + '/root')
            _run(['tar', '--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf', work + '/root.tar', '-C', work + '/root'])
            self._boot_files(work + '/root', work + '/early', kernel, initrd)
            _run(['mke2fs', '-q', '-t', 'ext4', '-O', '^has_journal', '-d', work + '/root', disk, '3G'])

    @staticmethod
    def _boot_files(root, early, kernel, initrd):
        """The guest's kernel, and a start that only finds its disk."""
        version, = os.listdir(root + '/lib/modules')
        shutil.copy(f'{root}/boot/vmlinuz-{version}', kernel)
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
            with (lzma.open if module.endswith('.xz') else open)(root + module, 'rb') as file:
                content = file.read()
            with open(f'{early}/lib/{number:03}-{os.path.basename(module).removesuffix(".xz")}', 'wb') as file:
                file.write(content)
        with open(early + '/init', 'w') as file:
            file.write(INIT)
        os.chmod(early + '/init', 0o755)
        _run(['sh', '-c', f'find . | cpio -o -H newc --quiet > "{initrd}"'], cwd=early)

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
    image = Image(sys.argv[1], sys.argv[2])
    why = image.why_not()
    if why:
        sys.exit(why)
    image.build(print)
    if sys.argv[3] == 'run':
        sys.exit(image.run(sys.argv[4], lambda line: print(line, flush=True), 600))
