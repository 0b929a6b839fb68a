//! Certificates for servers and clients of one test.

use std::{fs, path::PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use tempfile::TempDir;

/// A certificate authority of its own. Its files are in a temporary directory, in PEM format.
#[derive(Debug)]
pub struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The files of a certificate.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "tests take it apart")]
pub struct CertificateFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// Creates an authority.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut params = CertificateParams::default();
        // Otherwise the authorities of two tests have the same name.
        let name = directory.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("valid parameters");
        let authority = Self { directory, issuer };
        fs::write(authority.roots(), authority.issuer.pem()).expect("the directory exists");
        authority
    }

    /// Returns the file with the certificate of the authority.
    #[must_use]
    pub fn roots(&self) -> PathBuf {
        self.directory.path().join("roots.pem")
    }

    /// Signs a certificate for the server or the client with this name.
    #[must_use]
    pub fn sign(&self, name: &str) -> CertificateFiles {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a valid name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("valid parameters");
        let of = |end| self.directory.path().join(format!("{name}.{end}"));
        let files = CertificateFiles { certificate: of("pem"), key: of("key") };
        fs::write(&files.certificate, certificate.pem()).expect("the directory exists");
        fs::write(&files.key, key.serialize_pem()).expect("the directory exists");
        files
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
