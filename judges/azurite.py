"""Azurite, unmodified, takes a storage token of the sandbox and refuses one that is not for storage.

It reads issuer, audience and times of a token and not its signature, so this says something about the
token's shape, and nothing about who may have one.
"""

import datetime
import ipaddress
import os
import socket
import subprocess
import time

from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError
from azure.storage.blob import BlobServiceClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from azure_client import ARM, STORAGE

SECONDS_MAX = 60


class Fixed:
    """A credential that is a token."""

    def __init__(self, token):
        self.token = token

    def get_token(self, *_, **__):
        return AccessToken(self.token, int(time.time()) + 3600)


def make_certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "azurite")])
    now = datetime.datetime.now(datetime.timezone.utc)
    local = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([local]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    with open(f"{folder}/azurite.pem", "wb") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
    with open(f"{folder}/azurite.key", "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_open(process, port):
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.1)
    return False


def judge_azurite(azure, estate, program, folder):
    make_certificate(folder)
    port = free_port()
    script = os.path.abspath(f"{program}/node_modules/azurite/dist/src/blob/main.js")
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    secure = ["--oauth", "basic", "--cert", f"{folder}/azurite.pem", "--key", f"{folder}/azurite.key"]
    process = subprocess.Popen(
        ["node", script, *options, *secure, "--skipApiVersionCheck", "--disableTelemetry"],
        env={"PATH": os.environ["PATH"], "HOME": folder},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        if azure.verdict.holds("azurite starts", wait_until_open(process, port)):
            judge_tokens(azure, estate, f"https://127.0.0.1:{port}/devstoreaccount1", folder)
    finally:
        process.terminate()
        process.wait(timeout=20)


def judge_tokens(azure, estate, url, folder):
    who = estate.SLOT
    credential = azure.credential(who.client_id, lambda: azure.issuer.assertion(who.subject))

    def container(audience):
        token = credential.get_token(f"{audience}/.default").token
        service = BlobServiceClient(
            url,
            credential=Fixed(token),
            audience=STORAGE,
            connection_verify=f"{folder}/azurite.pem",
            retry_total=0,
            proxies={},
        )
        return service.get_container_client("judged")

    def use(container):
        container.create_container()
        container.upload_blob("a.txt", b"one")
        return container.download_blob("a.txt").readall()

    seen = azure.ok("azurite takes a token for storage", lambda: use(container(STORAGE)))
    azure.verdict.equal("and works with it", seen, b"one")
    azure.verdict.refused(
        "azurite refuses a token for Resource Manager",
        (ClientAuthenticationError, HttpResponseError, ServiceRequestError),
        lambda: use(container(ARM)),
    )
