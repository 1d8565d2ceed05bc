//! Signatures of JSON Web Tokens, computed by ring, which TLS uses anyway.

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
    signature::{Error, Signer, Verifier},
};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
        ECDSA_P384_SHA384_FIXED_SIGNING, ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm,
        Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
        RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
        RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
        RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaParameters,
        RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
    },
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        let signer = KeyFor {
            algorithm: *algorithm,
            key: key.clone(),
        };
        signer.key.family().check(*algorithm)?;
        Ok(Box::new(signer))
    },
    verifier_factory: |algorithm, key| {
        let verifier = KeyFor {
            algorithm: *algorithm,
            key: key.clone(),
        };
        verifier.key.family().check(*algorithm)?;
        Ok(Box::new(verifier))
    },
    // Only for keys that are converted to JSON, which never happens here.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes ring compute the signatures, unless the application has chosen another library.
pub(super) fn install() {
    // It is installed already after the first call.
    let _ = PROVIDER.install_default();
}

trait CheckFamily {
    /// Returns an error if a key of this family is not for the algorithm.
    fn check(self, algorithm: Algorithm) -> Result<()>;
}

impl CheckFamily for AlgorithmFamily {
    fn check(self, algorithm: Algorithm) -> Result<()> {
        match self.algorithms().contains(&algorithm) {
            true => Ok(()),
            false => Err(ErrorKind::InvalidAlgorithm.into()),
        }
    }
}

/// Key for signatures with one algorithm.
struct KeyFor<K> {
    algorithm: Algorithm,
    key: K,
}

/// Algorithm of ring.
enum Kind {
    Hmac(hmac::Algorithm),
    Rsa(&'static RsaParameters, &'static dyn RsaEncoding),
    Ec(
        &'static dyn VerificationAlgorithm,
        &'static EcdsaSigningAlgorithm,
    ),
    Ed,
}

impl<K> KeyFor<K> {
    /// Returns `None` for an algorithm that ring does not have.
    fn kind(&self) -> Option<Kind> {
        Some(match self.algorithm {
            Algorithm::HS256 => Kind::Hmac(hmac::HMAC_SHA256),
            Algorithm::HS384 => Kind::Hmac(hmac::HMAC_SHA384),
            Algorithm::HS512 => Kind::Hmac(hmac::HMAC_SHA512),
            Algorithm::RS256 => Kind::Rsa(&RSA_PKCS1_2048_8192_SHA256, &RSA_PKCS1_SHA256),
            Algorithm::RS384 => Kind::Rsa(&RSA_PKCS1_2048_8192_SHA384, &RSA_PKCS1_SHA384),
            Algorithm::RS512 => Kind::Rsa(&RSA_PKCS1_2048_8192_SHA512, &RSA_PKCS1_SHA512),
            Algorithm::PS256 => Kind::Rsa(&RSA_PSS_2048_8192_SHA256, &RSA_PSS_SHA256),
            Algorithm::PS384 => Kind::Rsa(&RSA_PSS_2048_8192_SHA384, &RSA_PSS_SHA384),
            Algorithm::PS512 => Kind::Rsa(&RSA_PSS_2048_8192_SHA512, &RSA_PSS_SHA512),
            Algorithm::ES256 => {
                Kind::Ec(&ECDSA_P256_SHA256_FIXED, &ECDSA_P256_SHA256_FIXED_SIGNING)
            }
            Algorithm::ES384 => {
                Kind::Ec(&ECDSA_P384_SHA384_FIXED, &ECDSA_P384_SHA384_FIXED_SIGNING)
            }
            Algorithm::EdDSA => Kind::Ed,
            _ => return None,
        })
    }
}

impl Signer<Vec<u8>> for KeyFor<EncodingKey> {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        let (key, random) = (self.key.as_bytes(), SystemRandom::new());
        let error = |_| Error::new();
        Ok(match self.kind().ok_or_else(Error::new)? {
            Kind::Hmac(algorithm) => {
                let key = hmac::Key::new(algorithm, key);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Kind::Rsa(_, encoding) => {
                let key = RsaKeyPair::from_der(key).map_err(|_| Error::new())?;
                let mut signature = vec![0; key.public().modulus_len()];
                let signed = key.sign(encoding, &random, message, &mut signature);
                signed.map_err(error)?;
                signature
            }
            Kind::Ec(_, algorithm) => {
                let key = EcdsaKeyPair::from_pkcs8(algorithm, key, &random);
                let key = key.map_err(|_| Error::new())?;
                key.sign(&random, message).map_err(error)?.as_ref().to_vec()
            }
            Kind::Ed => {
                let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key);
                let key = key.map_err(|_| Error::new())?;
                key.sign(message).as_ref().to_vec()
            }
        })
    }
}

impl JwtSigner for KeyFor<EncodingKey> {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for KeyFor<DecodingKey> {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let is_valid = match (self.kind().ok_or_else(Error::new)?, self.key.kind()) {
            (Kind::Hmac(algorithm), DecodingKeyKind::SecretOrDer(key)) => {
                let key = hmac::Key::new(algorithm, key);
                hmac::verify(&key, message, signature)
            }
            (Kind::Rsa(algorithm, _), DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(algorithm, key).verify(message, signature)
            }
            (Kind::Rsa(algorithm, _), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(algorithm, message, signature)
            }
            (Kind::Ec(algorithm, _), DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(algorithm, key).verify(message, signature)
            }
            (Kind::Ed, DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature)
            }
            (_, DecodingKeyKind::RsaModulusExponent { .. }) => return Err(Error::new()),
        };
        is_valid.map_err(|_| Error::new())
    }
}

impl JwtVerifier for KeyFor<DecodingKey> {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
