//! `KS755` to `KS799`: the commands that look at keys, at the Azure side and at other injectors.

use keysluice_plan::reasons;

reasons! { COMMANDS:
    KS755
        "a file with the keys of a token issuer cannot be read, or holds no key"
        "name files in PEM format: RSA or EC keys, public or private, or certificates; the API \
         server's own are those of --service-account-key-file";
    KS756
        "a key is not one with which an API server signs tokens"
        "give an RSA key, or an EC key on P-256, P-384 or P-521, without a password";
}
