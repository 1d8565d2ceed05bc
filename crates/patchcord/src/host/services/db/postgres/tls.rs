//! Encryption of connections to a server: the request for TLS, and what a certificate must prove.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::OnceCell,
};

use crate::host::{
    options::{Encryption, EncryptionMode},
    services::tls::{self, Authorities},
};

/// Message that asks the server for TLS: its length, and its code.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// Answer of a server that begins with TLS after it.
const OFFERED: u8 = b'S';
/// Answer of a server that has no TLS.
const MISSING: u8 = b'N';

/// Connection to a server, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Encryption of all connections to a server.
#[derive(Debug)]
pub(super) struct Tls {
    encryption: Encryption,
    /// Created at the first connection, because it reads certificates.
    config: OnceCell<Arc<ClientConfig>>,
}

/// Reason why a connection is not encrypted.
pub(super) enum TlsFailure {
    Network(io::Error),
    Refused {
        /// Text for the script, without names of certificates and files.
        reason: String,
        /// Text for the operator.
        detail: String,
    },
}

impl From<io::Error> for TlsFailure {
    fn from(error: io::Error) -> Self {
        match tls::reason(&error) {
            Some(reason) => Self::Refused {
                reason,
                detail: error.to_string(),
            },
            None => Self::Network(error),
        }
    }
}

impl TlsFailure {
    fn new(reason: &str) -> Self {
        Self::Refused {
            reason: reason.to_owned(),
            detail: reason.to_owned(),
        }
    }
}

impl Tls {
    pub(super) fn new(encryption: Encryption) -> Self {
        Self {
            encryption,
            config: OnceCell::new(),
        }
    }

    /// Encrypts a new connection to the server with this name, if the URL of the database wants it.
    pub(super) async fn encrypt(
        &self,
        mut stream: TcpStream,
        name: &str,
    ) -> Result<Box<dyn Stream>, TlsFailure> {
        if self.encryption.mode == EncryptionMode::Disable {
            return Ok(Box::new(stream));
        }
        stream.write_all(&REQUEST).await?;
        // Exactly one byte is read: whatever follows it must be TLS, so that nobody can slip in an answer.
        match stream.read_u8().await? {
            OFFERED => {}
            MISSING if self.encryption.mode == EncryptionMode::Prefer => {
                return Ok(Box::new(stream));
            }
            MISSING => return Err(TlsFailure::new("the server does not offer TLS")),
            _ => {
                return Err(TlsFailure::new(
                    "the server does not understand the request",
                ));
            }
        }
        let config = self.config.get_or_try_init(|| self.load()).await;
        let config = config.map_err(|detail| TlsFailure::Refused {
            reason: "the certificates of `sslrootcert` cannot be used".to_owned(),
            detail,
        })?;
        let encrypted = tls::connect(config.clone(), name, stream).await?;
        Ok(Box::new(encrypted))
    }

    async fn load(&self) -> Result<Arc<ClientConfig>, String> {
        let authorities = match &self.encryption.authorities {
            Some(file) => Authorities::File(file.clone()),
            None => Authorities::System,
        };
        let roots = authorities.load().await?;
        if self.encryption.mode != EncryptionMode::VerifyAuthority {
            return tls::client(roots).map(Arc::new);
        }
        let verifier = AnyName::new(roots.clone())?;
        let mut config = tls::client(roots)?;
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(verifier));
        Ok(Arc::new(config))
    }
}

/// Verifier of certificates that an authority has signed for any name.
#[derive(Debug)]
struct AnyName {
    roots: Arc<RootCertStore>,
    /// Verifier of the signatures.
    inner: Arc<WebPkiServerVerifier>,
}

impl AnyName {
    fn new(roots: RootCertStore) -> Result<Self, String> {
        let roots = Arc::new(roots);
        let inner = WebPkiServerVerifier::builder_with_provider(roots.clone(), tls::provider());
        let inner = inner.build().map_err(|error| error.to_string())?;
        Ok(Self { roots, inner })
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        let algorithms = tls::provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
