#!/usr/bin/env python3
"""Makes the certificates and PKCS#12 files of injector/tests/data/certificates with OpenSSL 3 (its legacy provider included).

Run from anywhere; it replaces what is there. Keys are for tests only and differ from run to run.
"""

import hashlib
import hmac
import pathlib
import subprocess
import tempfile

TARGET = pathlib.Path(__file__).resolve().parent.parent / "injector/tests/data/certificates"
work = pathlib.Path(tempfile.mkdtemp())
UNICODE = "p\u00e4ssw\u00f6rd \U0001f511"


def openssl(*arguments, stdin=None):
    return subprocess.run(["openssl", *map(str, arguments)], cwd=work, check=True, input=stdin, capture_output=True).stdout


def key(name, *how):
    openssl("genpkey", *how, "-out", f"{name}.key")
    openssl("pkcs8", "-topk8", "-nocrypt", "-in", f"{name}.key", "-out", TARGET / f"{name}.key.pem")


def certificate(name, issuer=None, authority=True, identifiers=True):
    extensions = ["basicConstraints=critical," + ("CA:TRUE" if authority else "CA:FALSE")]
    extensions.append("subjectKeyIdentifier=" + ("hash" if identifiers else "none"))
    extensions.append("authorityKeyIdentifier=" + ("keyid" if issuer else "none"))
    (work / "extensions").write_text("\n".join(extensions))
    openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", "request")
    how = ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key"] if issuer else ["-signkey", f"{name}.key"]
    openssl("x509", "-req", "-in", "request", "-days", 36500, "-extfile", "extensions", *how, "-out", f"{name}.pem")
    pem = (work / f"{name}.pem").read_text()
    (TARGET / f"{name}.pem").write_text(pem)


def pfx(name, leaf, *how, others=(), password=""):
    (work / "others").write_text("".join((work / f"{other}.pem").read_text() for other in others))
    with_key = [] if "-nokeys" in how else ["-inkey", f"{leaf}.key"]
    more = ["-certfile", "others"] if others else []
    openssl("pkcs12", "-export", "-in", f"{leaf}.pem", *with_key, *more, *how, "-passout", f"pass:{password}",
            "-out", TARGET / f"{name}.pfx")


def tlv(tag, *parts):
    value = b"".join(parts)
    size = len(value)
    length = bytes([size]) if size < 128 else bytes([0x80 | (size.bit_length() + 7) // 8]) + size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + length + value


def oid(text):
    numbers = [int(number) for number in text.split(".")]
    value = bytes([numbers[0] * 40 + numbers[1]])
    for number in numbers[2:]:
        digits = [number & 127]
        while number := number >> 7:
            digits.insert(0, number & 127 | 128)
        value += bytes(digits)
    return tlv(6, value)


def derived(use, salt, iterations, length):
    """RFC 7292 B.2 with SHA-1 and a password of no bytes at all: what OpenSSL's library makes of NULL, and its tool never does."""
    state, output = bytearray(salt * 8)[:64], b""
    while len(output) < length:
        block = bytes([use]) * 64 + state
        for _ in range(iterations):
            block = hashlib.sha1(block).digest()
        output += block
        total = (int.from_bytes(state, "big") + int.from_bytes((block * 4)[:64], "big") + 1) % (1 << 512)
        state = bytearray(total.to_bytes(64, "big"))
    return output[:length]


def no_password_at_all(name, leaf):
    data, salt = "1.2.840.113549.1.7.1", bytes(range(8))
    certificate = openssl("x509", "-in", f"{leaf}.pem", "-outform", "DER")
    plain = openssl("pkcs8", "-topk8", "-nocrypt", "-in", f"{leaf}.key", "-outform", "DER")
    secret = openssl("enc", "-des-ede3-cbc", "-K", derived(1, salt, 2048, 24).hex(), "-iv", derived(2, salt, 2048, 8).hex(), stdin=plain)
    algorithm = tlv(0x30, oid("1.2.840.113549.1.12.1.3"), tlv(0x30, tlv(4, salt), tlv(2, b"\x08\x00")))
    shrouded = tlv(0x30, algorithm, tlv(4, secret))
    bag = tlv(0x30, oid("1.2.840.113549.1.9.22.1"), tlv(0xA0, tlv(4, certificate)))
    bags = [tlv(0x30, oid(f"1.2.840.113549.1.12.10.1.{kind}"), tlv(0xA0, value)) for kind, value in ((3, bag), (2, shrouded))]
    info = lambda content: tlv(0x30, oid(data), tlv(0xA0, tlv(4, content)))
    safe = tlv(0x30, *[info(tlv(0x30, one)) for one in bags])
    mac = hmac.new(derived(3, salt, 2048, 20), safe, "sha1").digest()
    digest = tlv(0x30, tlv(0x30, oid("1.3.14.3.2.26"), tlv(5)), tlv(4, mac))
    whole = tlv(0x30, tlv(2, b"\x03"), info(safe), tlv(0x30, digest, tlv(4, salt), tlv(2, b"\x08\x00")))
    (TARGET / f"{name}.pfx").write_bytes(whole)
    openssl("pkcs12", "-in", TARGET / f"{name}.pfx", "-passin", "pass:", "-nodes")


def main():
    TARGET.mkdir(parents=True, exist_ok=True)
    for old in TARGET.iterdir():
        old.unlink()
    ec = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    for name in ("root", "intermediate", "intermediate2", "leaf", "leaf2", "bare"):
        key(name, *ec)
    key("rsa", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    key("rsa1024", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")
    key("p384", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384")
    key("p521", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521")
    key("ed25519", "-algorithm", "ED25519")
    certificate("root")
    certificate("intermediate", "root")
    certificate("intermediate2", "intermediate")
    certificate("leaf", "intermediate", authority=False)
    certificate("leaf2", "intermediate2", authority=False)
    certificate("bare", "intermediate", authority=False, identifiers=False)
    for name in ("rsa", "rsa1024", "p384", "p521", "ed25519"):
        certificate(name, authority=False)

    above = ("root", "intermediate")
    pfx("default", "rsa")
    pfx("legacy", "rsa", "-legacy")
    pfx("legacy-chain", "leaf", "-legacy", others=above)
    pfx("3des", "rsa", "-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1")
    pfx("rc2-128", "rsa", "-legacy", "-certpbe", "PBE-SHA1-RC2-128", "-keypbe", "PBE-SHA1-2DES", "-macalg", "sha1")
    pfx("rc2-40-key", "rsa", "-legacy", "-certpbe", "PBE-SHA1-RC2-40", "-keypbe", "PBE-SHA1-RC2-40", "-macalg", "sha256")
    pfx("aes-128-sha384", "rsa", "-certpbe", "AES-128-CBC", "-keypbe", "AES-128-CBC", "-macalg", "sha384")
    pfx("aes-192-sha512", "rsa", "-certpbe", "AES-192-CBC", "-keypbe", "AES-192-CBC", "-macalg", "sha512")
    pfx("pbes2-3des", "rsa", "-certpbe", "DES-EDE3-CBC", "-keypbe", "DES-EDE3-CBC")
    pfx("none", "rsa", "-certpbe", "NONE", "-keypbe", "NONE")
    pfx("nomac", "rsa", "-nomac")
    pfx("nomac-3des", "rsa", "-nomac", "-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES")
    pfx("chain", "leaf", others=above)
    pfx("chain-named", "leaf", "-name", "a name", "-CSP", "a provider", "-keysig", "-caname", "x", "-caname", "y", others=above)
    pfx("incomplete", "leaf", others=("root",))
    pfx("without-root", "leaf", others=("intermediate",))
    pfx("keyless", "leaf", "-nokeys", others=above)
    for name in ("p384", "p521", "ed25519"):
        pfx(name, name)
    pfx("password", "rsa", password="secret")
    pfx("password-legacy", "rsa", "-legacy", password="secret")
    pfx("password-nomac", "rsa", "-nomac", password="secret")
    pfx("password-chain", "rsa", others=above, password="secret")
    pfx("password-unicode", "rsa", password=UNICODE)
    pfx("password-unicode-legacy", "rsa", "-legacy", password=UNICODE)
    pfx("camellia", "rsa", "-certpbe", "CAMELLIA-256-CBC", "-keypbe", "CAMELLIA-256-CBC")
    pfx("sha224-mac", "rsa", "-macalg", "sha224")
    pfx("iterations", "rsa", "-certpbe", "NONE", "-keypbe", "NONE", "-iter", "3000000")
    no_password_at_all("no-password-at-all", "rsa")

    openssl("rsa", "-in", "rsa.key", "-traditional", "-out", TARGET / "rsa.pkcs1.pem")
    encrypted = ("-in", "rsa.key", "-passout", "pass:secret", "-out")
    openssl("pkcs8", "-topk8", *encrypted, TARGET / "rsa.encrypted.pem")
    openssl("pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", *encrypted, TARGET / "rsa.encrypted-3des.pem")
    openssl("pkcs8", "-topk8", "-scrypt", *encrypted, TARGET / "rsa.encrypted-scrypt.pem")
    openssl("rsa", "-aes128", "-traditional", *encrypted, TARGET / "rsa.encrypted-traditional.pem")
    for name in ("leaf", "p384", "p521"):
        openssl("ec", "-in", f"{name}.key", "-out", TARGET / f"{name}.sec1.pem")
        openssl("ec", "-in", f"{name}.key", "-no_public", "-out", TARGET / f"{name}.sec1-no-public.pem")
    print(f"{len(list(TARGET.iterdir()))} files in {TARGET}")


main()
