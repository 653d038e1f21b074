#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS of `llava serve` with certificates made here, and what is said about files that cannot be used.

usage: tls_test.py PROGRAM ROOT     status 77 where there is no openssl
"""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

PROGRAM, ROOT = str(Path(sys.argv[1]).resolve()), Path(sys.argv[2]).resolve()
MODEL = "llava-v1.5-pad"
SERVE = ["serve", "--no-web", "--host", "127.0.0.1", "--port", "0", "--drain-delay", "0", "--dtype", "float32",
         "--model-path", str(ROOT / "tests/golden/models" / MODEL)]
# Files are read before anything else, so that faults need no model.
QUICK = ["api", "--host", "127.0.0.1", "--port", "0"]
ENVIRONMENT = os.environ | {"LLAVA_THREADS": "2", "LLAVA_LOG": "info"}
CHAT = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0, "max_tokens": 4}

if shutil.which("openssl") is None:
    print("skipped: openssl is not installed")
    sys.exit(77)


def expect(is_right, *what):
    if not is_right:
        raise AssertionError(what)


def openssl(folder, *line):
    done = subprocess.run(["openssl", *line], cwd=folder, capture_output=True, text=True)
    expect(done.returncode == 0, line, done.stderr)


def make_authority(folder, name):
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2",
            "-subj", f"/CN={name}")


def make_certificate(folder, name, authority, dates=()):
    """NAME.pem and NAME.key for localhost, signed by AUTHORITY; `dates` are of the form YYMMDDHHMMSSZ."""
    (folder / "index.txt").write_text("")
    (folder / "serial").write_text(f"{time.monotonic_ns():016X}\n")
    (folder / "ca.conf").write_text(
        "[ca]\ndefault_ca = here\n[here]\nnew_certs_dir = .\ndatabase = index.txt\nserial = serial\ndefault_md = sha256\n"
        "policy = any\nx509_extensions = names\n[any]\ncommonName = supplied\n[names]\n"
        "subjectAltName = DNS:localhost,IP:127.0.0.1\n")
    openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    when = ["-startdate", dates[0], "-enddate", dates[1]] if dates else ["-days", "2"]
    openssl(folder, "ca", "-batch", "-config", "ca.conf", "-notext", "-cert", f"{authority}.pem", "-keyfile", f"{authority}.key",
            "-in", f"{name}.csr", "-out", f"{name}.pem", *when)


class Server:
    def __init__(self, *flags):
        self.process = subprocess.Popen([PROGRAM, *SERVE, *flags], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        self.address = self.process.stdout.readline().strip()
        expect(self.address.startswith("https://127.0.0.1:"), self.address, self.process.poll() and self.process.stderr.read())
        self.port = int(self.address.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.process.terminate()
        self.errors = self.process.stderr.read()
        status = self.process.wait(60)
        if failure[0] is None:
            expect(status == 0, status, self.errors)

    def wait_for_log(self, word):
        for line in self.process.stderr:
            if word in line:
                return line
        raise AssertionError(f"the log has no {word}")


def context_of(folder, authority, client=None, **settings):
    context = ssl.create_default_context(cafile=str(folder / f"{authority}.pem"))
    if client:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    for name, value in settings.items():
        setattr(context, name, value)
    return context


def ask(server, context, path="/v1/models", body=None):
    connection = http.client.HTTPSConnection("localhost", server.port, context=context, timeout=60)
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    expect(reply.status == 200, reply.status, content)
    return content


def refuses(server, context):
    """Whether no request gets through. With TLS 1.3 a client hears of it when it reads."""
    try:
        ask(server, context)
    except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
        return True
    return False


def check_serving(folder):
    with Server("--tls-cert", str(folder / "server.pem"), "--tls-key", str(folder / "server.key")) as server:
        context = context_of(folder, "authority")
        expect(json.loads(ask(server, context))["data"][0]["id"] == MODEL)
        whole = json.loads(ask(server, context, "/v1/chat/completions", CHAT))["choices"][0]["message"]["content"]
        stream = ask(server, context, "/v1/chat/completions", CHAT | {"stream": True}).decode()
        expect(stream.endswith("data: [DONE]\n\n"), stream)
        chunks = [json.loads(event[6:]) for event in stream.split("\n\n") if event.startswith("data: {")]
        expect("".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == whole, stream, whole)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            ask(server, context_of(folder, "authority", minimum_version=version, maximum_version=version))
        expect(refuses(server, context_of(folder, "other")), "a client that does not trust the authority")
        # Who speaks something else is let go of, and harms nobody.
        for words in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 4096, b""):
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as plain:
                plain.sendall(words)
                plain.shutdown(socket.SHUT_WR)
                answer = b""
                try:
                    while piece := plain.recv(4096):
                        answer += piece
                except ConnectionError:
                    pass
                expect(b"HTTP/" not in answer, words[:16], answer)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        expect(refuses(server, old), "TLS 1.1")
        ask(server, context)


def check_clients_with_certificates(folder):
    flags = ["--tls-cert", str(folder / "server.pem"), "--tls-key", str(folder / "server.key"),
             "--tls-client-ca", str(folder / "authority.pem")]
    with Server(*flags) as server:
        ask(server, context_of(folder, "authority", "client"))
        expect(refuses(server, context_of(folder, "authority")), "no certificate")
        expect(refuses(server, context_of(folder, "authority", "stranger")), "another authority's certificate")


def serial_of(server):
    pem = ssl.get_server_certificate(("127.0.0.1", server.port))
    return subprocess.run(["openssl", "x509", "-noout", "-serial"], input=pem, capture_output=True, text=True).stdout


def check_reload(folder):
    """SIGHUP: another certificate for new connections; a bad one leaves the old in use."""
    for kind in ("pem", "key"):
        shutil.copy(folder / f"server.{kind}", folder / f"used.{kind}")
    with Server("--tls-cert", str(folder / "used.pem"), "--tls-key", str(folder / "used.key")) as server:
        first = serial_of(server)
        for kind in ("pem", "key"):
            shutil.copy(folder / f"renewed.{kind}", folder / f"used.{kind}")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("reloaded")
        second = serial_of(server)
        expect(second != first, first)
        shutil.copy(folder / "expired.pem", folder / "used.pem")
        shutil.copy(folder / "expired.key", folder / "used.key")
        server.process.send_signal(signal.SIGHUP)
        expect("valid until 2020-01-02" in server.wait_for_log("reload_failed"))
        expect(serial_of(server) == second)
        ask(server, context_of(folder, "authority"))


def check_faults(folder):
    def error(status, *flags):
        done = subprocess.run([PROGRAM, *QUICK, *flags], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
        expect(done.returncode == status and done.stdout == "", flags, done)
        return done.stderr

    def files(certificate, key):
        return ["--tls-cert", str(folder / certificate), "--tls-key", str(folder / key)]

    (folder / "text.pem").write_text("no certificate\n")
    cases = [
        (3, files("server.pem", "client.key"), "client.key', the TLS key, does not belong to the certificate"),
        (3, files("server.pem", "none.key"), "none.key', the TLS key, does not exist"),
        (3, files("none.pem", "server.key"), "none.pem', the TLS certificate, does not exist"),
        (3, files("text.pem", "server.key"), "text.pem' is no TLS certificate in PEM form"),
        (3, files("server.pem", "text.pem"), "text.pem' is no TLS key in PEM form"),
        (3, files("server.key", "server.key"), "server.key' is no TLS certificate"),
        (3, files("expired.pem", "expired.key"), "expired.pem', the TLS certificate, was valid until 2020-01-02 00:00:00 UTC"),
        (3, files("early.pem", "early.key"), "early.pem', the TLS certificate, is valid from 2045-01-01 00:00:00 UTC"),
        (3, [*files("server.pem", "server.key"), "--tls-client-ca", str(folder / "text.pem")], "is no TLS authority of clients in PEM form"),
        (3, [*files("server.pem", "server.key"), "--tls-client-ca", str(folder / "none.pem")],
         "none.pem', the TLS authority of clients, does not exist"),
        (2, ["--tls-cert", str(folder / "server.pem")], "give --tls-key as well"),
        (2, ["--tls-key", str(folder / "server.key")], "give --tls-cert as well"),
        (2, ["--tls-client-ca", str(folder / "authority.pem")], "give --tls-cert as well"),
    ]
    for status, flags, words in cases:
        said = error(status, *flags)
        expect(words in said, words, said)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_authority(folder, "authority")
        make_authority(folder, "other")
        for certificate in ("server", "client", "renewed"):
            make_certificate(folder, certificate, "authority")
        make_certificate(folder, "stranger", "other")
        make_certificate(folder, "expired", "authority", ("200101000000Z", "200102000000Z"))
        make_certificate(folder, "early", "authority", ("450101000000Z", "460101000000Z"))
        check_faults(folder)
        check_serving(folder)
        check_clients_with_certificates(folder)
        check_reload(folder)
    print("TLS: ok")


main()
