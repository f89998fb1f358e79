//! A certificate authority and one certificate for all brokers of a cluster, as PEM files that Java reads.

use super::error::KafkaError;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use std::fs;
use std::path::Path;

/// Writes `ca.pem` and `broker.pem` (key, then certificate, then authority) into `folder`.
pub(super) fn write(folder: &Path) -> Result<(), KafkaError> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(DnType::CommonName, "seawall tests");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "broker");
    let certificate = params.signed_by(&key, &authority)?;
    let store = format!("{}{}{}", key.serialize_pem(), certificate.pem(), authority.pem());
    for (name, text) in [("ca.pem", authority.pem()), ("broker.pem", store)] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(KafkaError::io(path.display().to_string()))?;
    }
    Ok(())
}
