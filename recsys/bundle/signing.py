"""Signs bundles: a server with the public key accepts only bundles that were signed with the private key.
The format is our own, on the package cryptography: Sigstore and similar tools need a network and an account.

    recsys releases keygen signing.pem     # the private key into a file, the public one on the screen
    recsys releases sign bundle --key signing.pem

The signature is Ed25519 over the bytes of `manifest.json`, which holds the hash of every other file. It is stored next
to the manifest as `signature.json` and does not change the bundle_id: a bundle can be signed again with another key.
"""

import base64
import binascii
import json
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from recsys.bundle.bundle import UNTRUSTED
from recsys.errors import BundleError
from recsys.output import write_text

ALGORITHM = "ed25519"


def keygen(path: Path) -> str:
    """Write a new private key that only its owner may read; return the public key, base64 of 32 bytes.

    Raises:
        BundleError: "signing.pem: cannot write a new private key there (File exists); choose another path"
    """
    key = Ed25519PrivateKey.generate()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BundleError(
            f"{path}: cannot write a new private key there ({error.strerror}); choose another path"
        ) from error
    with os.fdopen(handle, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return _text(key.public_key())


def sign(manifest: Path, signature: Path, key: Path) -> str:
    """Write the signature of a manifest; return the public key (base64) that verifies it. key: the PEM file.

    Raises:
        BundleError: "signing.pem: not an Ed25519 private key in PEM (...); make one with `recsys releases keygen`"
    """
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError(f"it holds a {type(private).__name__}")
    except (OSError, ValueError, TypeError) as error:
        raise BundleError(
            f"{key}: not an Ed25519 private key in PEM ({error}); make one with `recsys releases keygen`"
        ) from error
    signed = base64.b64encode(private.sign(manifest.read_bytes())).decode()
    public = _text(private.public_key())
    content = {"algorithm": ALGORITHM, "public_key": public, "signature": signed}
    write_text(signature, json.dumps(content, indent=1) + "\n")
    return public


def check(manifest: Path, signature: Path, public_key: str) -> None:
    """Check the signature of a manifest with this public key (base64); the key in signature.json is not trusted.

    Raises:
        BundleError: "bundle/signature.json: missing, and RECSYS_PUBLIC_KEY requires signed bundles; run `recsys ...`"
    """
    key = _public(public_key)
    if not signature.is_file():
        raise BundleError(
            f"{signature}: missing, and RECSYS_PUBLIC_KEY requires signed bundles; run `recsys releases sign`"
        )
    try:
        content = json.loads(signature.read_text(encoding="utf-8"))
        signed = base64.b64decode(content["signature"], validate=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{signature}: not a readable signature ({error}); run `recsys releases sign`") from error
    try:
        key.verify(signed, manifest.read_bytes())
    except InvalidSignature:
        raise BundleError(
            f"{signature}: does not match {manifest.name} and the key in RECSYS_PUBLIC_KEY; {UNTRUSTED}"
        ) from None


def _public(text: str) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error) as error:
        raise BundleError(
            f"RECSYS_PUBLIC_KEY: {text!r} is not an Ed25519 public key, base64 of 32 bytes ({error}); "
            "`recsys releases keygen` prints one"
        ) from error


def _text(key: Ed25519PublicKey) -> str:
    return base64.b64encode(key.public_bytes_raw()).decode()
