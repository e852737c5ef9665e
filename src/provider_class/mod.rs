//! `SecretProviderClass` to files: parameters, objects; pure.
