"""Images as OCI layouts, and a registry on loopback."""

import gzip
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from images import busybox_layer  # noqa: E402
from harness import skip, wait_for  # noqa: E402


def _blob(path, data):
    digest = hashlib.sha256(data).hexdigest()
    os.makedirs(f'{path}/blobs/sha256', exist_ok=True)
    with open(f'{path}/blobs/sha256/{digest}', 'wb') as file:
        file.write(data)
    return {'digest': f'sha256:{digest}', 'size': len(data)}


def compressed(data, form):
    if form == 'zstd':
        return subprocess.run(['zstd', '-q', '-c', '-1'], input=data, check=True, capture_output=True).stdout
    return gzip.compress(data, 1, mtime=0) if form == 'gzip' else data


def layout(root, config=None, *layers, name='layout', tag='it', form='gzip'):
    """The path of an OCI layout with one image of these layers (a busybox unless told). form: gzip, zstd or None."""
    path = f'{root.tmp}/{name}'
    shutil.rmtree(path, ignore_errors=True)
    plain = [layer.data() for layer in layers or [busybox_layer()]]
    kind = 'application/vnd.oci.image.layer.v1.tar' + (f'+{form}' if form else '')
    packed = [_blob(path, compressed(data, form)) | {'mediaType': kind} for data in plain]
    text = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': config or {},
                       'rootfs': {'type': 'layers', 'diff_ids': [f'sha256:{hashlib.sha256(data).hexdigest()}' for data in plain]}})
    described = _blob(path, text.encode()) | {'mediaType': 'application/vnd.oci.image.config.v1+json'}
    manifest = _blob(path, json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json',
                                       'config': described, 'layers': packed}).encode())
    manifest |= {'mediaType': 'application/vnd.oci.image.manifest.v1+json',
                 'annotations': {'org.opencontainers.image.ref.name': tag}}
    with open(f'{path}/index.json', 'w') as file:
        json.dump({'schemaVersion': 2, 'manifests': [manifest]}, file)
    with open(f'{path}/oci-layout', 'w') as file:
        file.write('{"imageLayoutVersion": "1.0.0"}')
    return path


def need_skopeo():
    for program in ('skopeo', 'docker-registry'):
        if not shutil.which(program):
            skip(f'{program} is not installed')


def free_port():
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return one.getsockname()[1]


class Registry:
    """Debian's docker-registry; with `password`, by TLS, and only for alice with that password."""

    def __init__(self, root, password=None):
        need_skopeo()
        self.path, self.port = f'{root.tmp}/registry', free_port()
        shutil.rmtree(self.path, ignore_errors=True)
        os.makedirs(f'{self.path}/data')
        os.makedirs(f'{self.path}/certs')
        self.address = f'localhost:{self.port}'
        lines = ['version: 0.1', 'log: {level: error}', 'storage:', f'  filesystem: {{rootdirectory: {self.path}/data}}',
                 '  delete: {enabled: true}', 'http:', f'  addr: 127.0.0.1:{self.port}']
        if password:
            self._make_certificate()
            lines += [f'  tls: {{certificate: {self.path}/cert.pem, key: {self.path}/key.pem}}',
                      f'auth: {{htpasswd: {{realm: it, path: {self.path}/htpasswd}}}}']
            self._make_password(password)
        with open(f'{self.path}/config.yml', 'w') as file:
            file.write('\n'.join(lines) + '\n')
        self.process = subprocess.Popen(['docker-registry', 'serve', f'{self.path}/config.yml'],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._answers, 'the registry')

    def _answers(self):
        with socket.socket() as one:
            return one.connect_ex(('127.0.0.1', self.port)) == 0

    def _make_certificate(self):
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
                        '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', f'{self.path}/key.pem',
                        '-out', f'{self.path}/cert.pem'], check=True, capture_output=True)
        shutil.copy(f'{self.path}/cert.pem', f'{self.path}/certs/ca.crt')

    def _make_password(self, password):
        # crypt(3) has the bcrypt that the registry wants.
        done = subprocess.run(['perl', '-e', r'print crypt($ARGV[0], q($2y$05$abcdefghijklmnopqrstuu))', password],
                              check=True, capture_output=True, text=True)
        assert done.stdout.startswith('$2y$'), done
        with open(f'{self.path}/htpasswd', 'w') as file:
            file.write(f'alice:{done.stdout}\n')

    def fill(self, path, name, *words):
        """From a layout, as root of the tests."""
        done = subprocess.run(['skopeo', 'copy', '--insecure-policy', '-q', *words, f'oci:{path}:it', f'docker://{self.address}/{name}'],
                              capture_output=True, text=True)
        assert done.returncode == 0, done

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
