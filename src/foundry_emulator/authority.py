"""The emulator's own certificate authority: made once per state folder, so that trust in it survives a restart."""

import ssl

import trustme

from foundry_emulator.config import EmulatorConfig
from foundry_emulator.errors import EmulatorError

_NAMES = ("localhost", "127.0.0.1", "::1")


def server_context(config: EmulatorConfig) -> ssl.SSLContext:
    """Return a TLS context with a fresh certificate for loopback, signed by the authority beside the state."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    names = dict.fromkeys([*_NAMES, config.host])
    _authority(config).issue_cert(*names, common_name="localhost").configure_cert(context)
    return context


def _authority(config: EmulatorConfig) -> trustme.CA:
    certificate, key = config.ca_path, config.ca_path.with_suffix(".key")
    try:
        if certificate.exists() and key.exists():
            return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
        authority = trustme.CA()
        certificate.parent.mkdir(parents=True, exist_ok=True)
        key.touch(mode=0o600)
        key.write_bytes(authority.private_key_pem.bytes())
        certificate.write_bytes(authority.cert_pem.bytes())
    except OSError as error:
        raise EmulatorError(f"cannot keep the certificate authority in {config.folder}: {error.strerror}") from error
    return authority
