"""A slapd on loopback with people and their subordinate ids, and hosts whose SSSD reads it, of Debian's own packages.

    directory = Directory(root)       # skips the case if it cannot be had
    host = directory.host('n1')       # a mount namespace with an sssd of its own
    host.run([root.program('getsubids'), 'dora'], user)
    directory.end()

SSSD's packages are fetched and unpacked below the private root alone: installed, they would change /etc/nsswitch.conf.
"""

import os
import re
import shutil
import signal
import struct
import subprocess

import cache
from harness import CLONE_NEWNET, CLONE_NEWNS, PR_SET_PDEATHSIG, build_dir, prctl, setns, skip, spawn, unshare, wait_for

PACKAGES = """sssd-common sssd-ipa sssd-ad-common sssd-krb5-common sssd-ldap libnss-sss libsss-nss-idmap0 libsss-idmap0 libsss-certmap0
libdhash1 libini-config5 libref-array1 libcollection4 libbasicobjects0 libpath-utils1 libipa-hbac0 libtalloc2 libtdb1 libtevent0 libldb2 liblmdb0
libnfsidmap1 samba-libs libwbclient0""".split()
PLACES = ('/usr/lib/x86_64-linux-gnu', '/usr/libexec', '/usr/sbin', '/usr/bin', '/usr/share', '/var/lib')
MANUAL = os.path.join(os.path.dirname(__file__), '..', '..', 'man', 'userns-hpc.7')
ADDRESS, PEOPLE = '192.0.2.1', 'cn=users,cn=accounts,dc=lab,dc=example'

with open(MANUAL) as page:
    TEXT = page.read()

# As FreeIPA's schema has them.
SCHEMA = '\n'.join(
    [f"attributetype ( 2.16.840.1.113730.3.8.23.{number} NAME '{name}' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 "
     'SINGLE-VALUE )' for number, name in ((8, 'ipaSubUidNumber'), (9, 'ipaSubUidCount'), (11, 'ipaSubGidNumber'), (12, 'ipaSubGidCount'))] +
    ["attributetype ( 2.16.840.1.113730.3.8.11.99 NAME 'ipaOwner' SUP distinguishedName )",
     "attributetype ( 2.16.840.1.113730.3.8.3.1 NAME 'ipaUniqueID' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )",
     "objectclass ( 2.16.840.1.113730.3.8.24.4 NAME 'ipaSubordinateId' SUP top AUXILIARY MAY "
     '( ipaSubUidNumber $ ipaSubUidCount $ ipaSubGidNumber $ ipaSubGidCount $ ipaOwner ) )',
     "objectclass ( 2.16.840.1.113730.3.8.24.5 NAME 'ipaSubordinateIdEntry' SUP top STRUCTURAL MUST ipaUniqueID )", ''])
SLAPD = """TLSCACertificateFile {0}/ca.crt
TLSCertificateFile {0}/ldap.crt
TLSCertificateKeyFile {0}/ldap.key
TLSVerifyClient try
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include {0}/ipa.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix dc=lab,dc=example
rootdn cn=admin,dc=lab,dc=example
rootpw secret
directory {0}/db
"""
TOP = """dn: dc=lab,dc=example
objectClass: dcObject
objectClass: organization
o: lab
dc: lab

""" + ''.join(f'dn: cn={name},dc=lab,dc=example\nobjectClass: organizationalRole\ncn: {name.split(",")[0]}\n\n'
              for name in ('accounts', 'users,cn=accounts', 'subids,cn=accounts'))


def person(name, uid, first, count=65536):
    return f"""dn: uid={name},{PEOPLE}
objectClass: account
objectClass: posixAccount
uid: {name}
cn: {name}
uidNumber: {uid}
gidNumber: {uid}
homeDirectory: /mnt/home/{name}
loginShell: /bin/sh

dn: ipaUniqueID={name},cn=subids,cn=accounts,dc=lab,dc=example
objectClass: ipaSubordinateIdEntry
objectClass: ipaSubordinateId
ipaUniqueID: {name}
ipaOwner: uid={name},{PEOPLE}
ipaSubUidNumber: {first}
ipaSubUidCount: {count}
ipaSubGidNumber: {first}
ipaSubGidCount: {count}

"""


def _fetch(half):
    os.makedirs(half)
    subprocess.run(['apt-get', '-q', '-o', 'APT::Sandbox::User=root', 'download', *PACKAGES], cwd=half, check=True, stdout=subprocess.DEVNULL)


def _packages():
    try:
        return cache.once(cache.path(build_dir(), 'debs', f'sssd-{cache.key(*PACKAGES)}'), lambda half: _fetch(half))
    except subprocess.CalledProcessError:
        skip("SSSD's packages cannot be fetched here")


def _keytab(host):
    """One key that opens nothing: SSSD's provider wants to see a name."""
    def text(value):
        return struct.pack('>H', len(value)) + value
    entry = (struct.pack('>H', 2) + text(b'LAB.EXAMPLE') + text(b'host') + text(host.encode()) + struct.pack('>IIB', 1, 0, 1) +
             struct.pack('>H', 18) + text(b'k' * 32))
    return b'\x05\x02' + struct.pack('>i', len(entry)) + entry


class Directory:
    def __init__(self, root, people):
        if not os.path.exists('/usr/sbin/slapd'):
            skip('slapd is not installed')
        self.root, self.top, self.hosts = root, f'{root.tmp}/ldap', []
        debs = _packages()
        for place in PLACES:
            root.overlay(place)
        for name in sorted(os.listdir(debs)):
            subprocess.run(f'dpkg-deb --fsys-tarfile "{debs}/{name}" | tar -C / -xf - --keep-directory-symlink --no-overwrite-dir '
                           '--exclude=./usr/share/doc --exclude=./usr/share/man', shell=True, check=True)
        subprocess.run(['/sbin/ldconfig'], check=True)
        self.before = os.open('/proc/self/ns/net', os.O_RDONLY)
        unshare(CLONE_NEWNET)
        for words in (['link', 'set', 'lo', 'up'], ['address', 'add', f'{ADDRESS}/24', 'dev', 'lo']):
            subprocess.run(['ip', *words], check=True)
        shutil.rmtree(self.top, ignore_errors=True)
        os.makedirs(f'{self.top}/db')
        root.write(f'{self.top}/ipa.schema', SCHEMA)
        root.write(f'{self.top}/slapd.conf', SLAPD.format(self.top))
        root.write(f'{self.top}/first.ldif', TOP + people)
        self._certificates()
        root.write('/etc/hosts', f'127.0.0.1 localhost\n{ADDRESS} ldap.lab.example\n')
        done = root.run(['/usr/sbin/slapadd', '-f', f'{self.top}/slapd.conf', '-l', f'{self.top}/first.ldif'])
        assert done.code == 0, done
        self.slapd = None
        self.start()

    def _certificates(self):
        base = ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2']
        for name, more in (('ca', []), ('ldap', ['-addext', 'subjectAltName=DNS:ldap.lab.example']), ('host', [])):
            by = [] if name == 'ca' else ['-CA', 'ca.crt', '-CAkey', 'ca.key']
            subprocess.run([*base, '-keyout', f'{name}.key', '-out', f'{name}.crt', '-subj', f'/CN={name}.lab.example', *by, *more],
                           cwd=self.top, check=True, stderr=subprocess.DEVNULL)

    def start(self):
        self.slapd = spawn(['/usr/sbin/slapd', '-d', '0', '-f', f'{self.top}/slapd.conf', '-h', f'ldap://{ADDRESS}'])
        wait_for(lambda: self.root.run(['/usr/bin/ldapwhoami', '-x', '-H', f'ldap://{ADDRESS}']).code == 0, 'slapd')

    def stop(self, number=signal.SIGTERM):
        self.slapd.kill(number)
        if number != signal.SIGSTOP:
            self.slapd.wait()
            self.slapd = None

    def remove(self, name):
        """The user's ids, not the user."""
        done = self.root.run(['/usr/bin/ldapdelete', '-x', '-H', f'ldap://{ADDRESS}', '-D', 'cn=admin,dc=lab,dc=example', '-w', 'secret',
                              f'ipaUniqueID={name},cn=subids,cn=accounts,dc=lab,dc=example'])
        assert done.code == 0, done

    def change(self, text):
        """Applies LDIF."""
        self.root.write(f'{self.top}/change.ldif', text)
        done = self.root.run(['/usr/bin/ldapmodify', '-x', '-H', f'ldap://{ADDRESS}', '-D', 'cn=admin,dc=lab,dc=example', '-w', 'secret', '-f',
                              f'{self.top}/change.ldif'])
        assert done.code == 0, done

    def host(self, name):
        self.hosts.append(Host(self, name))
        return self.hosts[-1]

    def end(self):
        for host in self.hosts:
            host.sssd.kill(signal.SIGKILL)
        if self.slapd:
            self.slapd.kill(signal.SIGKILL)
        setns(self.before)
        os.close(self.before)


class Host:
    """A mount namespace with its own SSSD and its cache."""

    def __init__(self, directory, name):
        root, top, self.name = directory.root, directory.top, name
        conf = re.search(r'^\.\\" lines: sssd.conf\n\.Bd [^\n]*\n(.*?)^\.Ed', TEXT, re.M | re.S)[1]
        root.write(f'{top}/{name}.conf', conf.replace('/etc/ssl/lab', top).replace('timeout = 60', 'timeout = 1'), 0o600)
        root.write(f'{top}/{name}.keytab', _keytab('n1.lab.example'), 0o600)
        ready, told = os.pipe()
        with open(f'{top}/{name}.err', 'w') as said:
            self.sssd = spawn(['/usr/sbin/sssd', '-i'], before=lambda: self._become(top, told), fds={1: said.fileno(), 2: said.fileno(), 650: told})
        os.close(told)
        assert os.read(ready, 1) == b'r'
        os.close(ready)
        try:
            wait_for(lambda: self.run(['/usr/bin/getent', '-s', 'sss', 'passwd', 'dora']).code == 0, f'SSSD of {name}')
        except AssertionError as error:
            with open(f'{top}/{name}.err') as file:
                raise AssertionError(f'{error}\n{file.read()[-3000:]}') from error

    def _become(self, top, told):
        unshare(CLONE_NEWNS)
        for place in ('/var/lib/sss', '/run', '/var/log'):
            subprocess.run(['mount', '-t', 'tmpfs', '-o', 'mode=0755', 'sss', place], check=True)
        os.makedirs('/var/log/sssd')
        for path in ('db', 'pipes/private', 'mc', 'keytabs', 'gpo_cache', 'deskprofile', 'pubconf', 'pubconf/krb5.include.d', 'secrets'):
            os.makedirs(f'/var/lib/sss/{path}')
        os.makedirs('/etc/sssd', exist_ok=True)
        for source, where in (('conf', '/etc/sssd/sssd.conf'), ('keytab', '/etc/krb5.keytab')):
            with open(where, 'a'):
                os.chmod(where, 0o600)
            subprocess.run(['mount', '--bind', f'{top}/{self.name}.{source}', where], check=True)
        os.write(650, b'r')
        os.close(650)

    def run(self, argv, user=None, **how):
        """As Root.run(), on this host."""
        def become():
            mounts = os.open(f'/proc/{self.sssd.pid}/ns/mnt', os.O_RDONLY)
            setns(mounts)
            os.close(mounts)
            if user:
                user.become()
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.chdir('/')
        return spawn(argv, None, before=become, **how).wait(60)
